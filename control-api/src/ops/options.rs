//! Options of a route as they are written, those that the proxy knows, and back.

use std::time::Duration;

use brownout_fault::{
    read::Problem,
    units::{parse_duration, show_duration},
};
use brownout_proxy::{InvalidUpstream, PoolOptions, ProxyVersion, Upstream, UpstreamOptions};
use brownout_wire::{PoolSpec, RouteOptions};

/// The upstream with these options; what is not said is as in `options`.
pub(super) fn with_options(
    upstream: Upstream,
    said: &RouteOptions,
    mut options: UpstreamOptions,
) -> Result<Upstream, Problem> {
    if let Some(text) = &said.connect_timeout {
        options.connect_timeout = time("connect_timeout", text)?;
    }
    match said.head_timeout.as_deref() {
        None => {}
        Some("none") => options.head_timeout = None,
        Some(text) => options.head_timeout = Some(time("head_timeout", text)?),
    }
    if let Some(pool) = &said.pool {
        options.pool = pool_options(pool).map_err(|problem| problem.under("pool"))?;
    }
    if let Some(prefix) = &said.path_prefix {
        options.path_prefix = Some(prefix.clone());
    }
    match said.send_proxy.as_deref() {
        None => {}
        Some("v1") => options.send_proxy = Some(ProxyVersion::V1),
        Some("v2") => options.send_proxy = Some(ProxyVersion::V2),
        Some(_) => options.send_proxy = None,
    }
    upstream
        .with_options(options)
        .map_err(|error| match &error {
            InvalidUpstream::Option { option, .. } => Problem::at(option, error.to_string()),
            _ => Problem::at("upstream", error.to_string()),
        })
}

fn pool_options(said: &PoolSpec) -> Result<PoolOptions, Problem> {
    let usual = PoolOptions::default();
    let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let idle_timeout = said.idle_timeout.as_deref();
    Ok(PoolOptions {
        max_connections: said.max_connections.map(count),
        max_idle: said.max_idle.map_or(usual.max_idle, count),
        idle_timeout: match idle_timeout {
            None => usual.idle_timeout,
            Some(text) => time("idle_timeout", text)?,
        },
    })
}

fn time(option: &str, text: &str) -> Result<Duration, Problem> {
    parse_duration(text).map_err(|wrong| Problem::at(option, wrong))
}

/// Options as the API shows them: those that are not the default.
pub(crate) fn shown_options(options: &UpstreamOptions) -> RouteOptions {
    let usual = UpstreamOptions::default();
    let pool = (options.pool != usual.pool).then(|| {
        let (pool, usual) = (options.pool, usual.pool);
        let is_other = pool.idle_timeout != usual.idle_timeout;
        PoolSpec {
            max_connections: pool.max_connections.map(|count| count as u64),
            max_idle: (pool.max_idle != usual.max_idle).then_some(pool.max_idle as u64),
            idle_timeout: is_other.then(|| show_duration(pool.idle_timeout)),
        }
    });
    let connect_timeout = options.connect_timeout;
    RouteOptions {
        connect_timeout: (connect_timeout != usual.connect_timeout)
            .then(|| show_duration(connect_timeout)),
        head_timeout: options.head_timeout.map(show_duration),
        pool,
        path_prefix: options.path_prefix.clone(),
        send_proxy: options.send_proxy.map(|version| {
            let version = match version {
                ProxyVersion::V1 => "v1",
                ProxyVersion::V2 => "v2",
            };
            version.to_owned()
        }),
    }
}
