//! Test upstreams, proxies, raw clients and receivers; for tests only.

mod access;
mod full;
mod otlp;
mod pauses;
mod proxy;
mod raw;
mod statsd;
mod tls;
mod upstream;
mod wait;

pub use crate::{
    full::FullListener,
    otlp::{AttrValue, OtlpReceiver, ReceivedKind, ReceivedSpan},
    pauses::MachinePauses,
    proxy::{TestProxy, TestProxyBuilder},
    raw::{Ended, How, RawClient, RawMessage},
    statsd::{StatsdReceiver, StatsdTotals},
    tls::{TestAuthority, TestCertificate, TlsFront, TlsTunnel},
    upstream::{Received, TestUpstream},
    wait::{PATIENCE, eventually, within},
};
