//! Options of a route: how long its upstream may take, how many connections it gets, and which part of a path is whose.

mod haproxy;
mod paths;
mod pool;
mod proxy_protocol;
mod servers;
mod timeouts;
mod unix;

use brownout_proxy::{AttemptEnd, JournalQuery, UpstreamOptions};
use brownout_telemetry::names;
use brownout_testkit::{TestProxy, eventually};

/// The default, changed so.
fn options(change: impl FnOnce(&mut UpstreamOptions)) -> UpstreamOptions {
    let mut options = UpstreamOptions::default();
    change(&mut options);
    options
}

fn errors(proxy: &TestProxy, kind: &str) -> u64 {
    let route = proxy.route();
    (proxy.metrics())
        .counter(names::PROXY_ERRORS, &[route, kind])
        .total()
}

/// Who ended the requests so far, once there are so many, the first one first.
async fn ends(proxy: &TestProxy, count: usize) -> Vec<AttemptEnd> {
    let query = JournalQuery {
        limit: 100,
        ..JournalQuery::default()
    };
    let read = || proxy.handle().journal().unwrap().attempts(&query).ended;
    eventually("the requests to end", || read().len() >= count).await;
    let mut ended: Vec<AttemptEnd> = read().iter().map(|it| it.end).collect();
    ended.reverse();
    ended
}

/// The words for how requests ended in the access log, once there are so many.
async fn endings(proxy: &TestProxy, count: usize) -> Vec<String> {
    eventually("the access lines", || proxy.access_lines().len() >= count).await;
    let lines = proxy.access_lines();
    let ending = |line: &serde_json::Map<String, serde_json::Value>| {
        line.get("ending")
            .and_then(|it| it.as_str())
            .unwrap_or("")
            .to_owned()
    };
    lines.iter().map(ending).collect()
}
