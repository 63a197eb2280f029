//! Any text as a fault, in JSON and in TOML: read, written out, armed, patched, met by requests and connections, removed.
//!
//! The input is the fault, and behind a NUL byte, if there is one, a patch of it.
#![no_main]

use std::time::{Duration, Instant, SystemTime};

use brownout_fault::{Direction, FaultSpec, Link, Moment, StreamFaults, Subject, store};
use http::Request;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

// The reader of TOML files, which says where in a file a problem is.
#[path = "../../../experiments/src/toml_tree.rs"]
#[allow(dead_code, reason = "its display is not needed here")]
mod toml_tree;

use toml_tree::TomlTree;

fuzz_target!(|text: &str| {
    let (fault, patch) = text.split_once('\0').unwrap_or((text, "{}"));
    if let Ok(tree) = TomlTree::parse(fault) {
        if let Err(problems) = FaultSpec::read(&tree.value) {
            for problem in &problems {
                assert!(!tree.place(problem).to_string().is_empty());
            }
        }
        meet(&tree.value, patch);
    }
    if let Ok(value) = serde_json::from_str(fault) {
        meet(&value, patch);
    }
});

/// What happens to a fault in its life.
fn meet(value: &Value, patch: &str) {
    let spec = match FaultSpec::read(value) {
        Ok(spec) => spec,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            return;
        }
    };
    let written = spec.to_value();
    let again = FaultSpec::read(&written).unwrap_or_else(|problems| {
        panic!("what was understood is refused: {written}: {problems:?}")
    });
    assert_eq!(again.to_value(), written, "it is not what it was");

    let (mut writer, reader) = store(7);
    let now = Moment {
        instant: Instant::now(),
        wall: SystemTime::now(),
    };
    let status = writer.arm(vec![spec], now).expect("nothing else is armed");
    let id = status[0].id.clone();
    let mut streams = [Direction::Upstream, Direction::Downstream].map(StreamFaults::new);
    let mut matched = 0;
    for (step, path) in ["/", "/v1/items?q=1", "/v1/%00/.."].into_iter().enumerate() {
        let at = now.instant + Duration::from_millis(700) * u32::try_from(step).expect("three");
        let request = Request::get(path)
            .header("x-user", "user-7")
            .header("cookie", "sid=1; sid=2")
            .header("baggage", "a=b,c;d")
            .header(
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .body(())
            .expect("these are requests");
        let peer = ([127, 0, 0, 1], 40_000).into();
        let injection = reader.plan().decide(
            &Subject {
                route: "web",
                method: request.method().as_str(),
                path: request.uri().path(),
                query: request.uri().query(),
                host: None,
                fields: request.headers(),
                peer,
                connection: 1,
                request: 0,
                is_http2: false,
            },
            at,
        );
        drop(injection);
        for stream in &mut streams {
            let link = Link {
                route: "web",
                peer,
                connection: 1,
                has_requests: step == 1,
            };
            stream.look(&reader.plan(), &link, at);
            assert!(stream.acting("web").count() <= 1, "one fault, one stage");
        }
        if let Some(status) = writer.status(&id, at) {
            assert!(status.counters.matched >= matched, "counts go back");
            matched = status.counters.matched;
        }
        if step == 1
            && let Ok(patch) = serde_json::from_str::<Value>(patch)
        {
            let before = writer.status(&id, at).map(|status| status.spec);
            let later = Moment {
                instant: at,
                wall: now.wall,
            };
            if writer.patch(&id, &patch, later).is_err() {
                let after = writer.status(&id, at).map(|status| status.spec);
                assert_eq!(before, after, "half a patch was applied");
            }
        }
        writer.expire(at);
    }
    drop(streams);
    if let Some(status) = writer.status(&id, now.instant + Duration::from_secs(2)) {
        assert_eq!(status.counters.active, 0, "something is still held");
    }
    writer.clear();
    assert!(writer.statuses(now.instant).next().is_none());
}
