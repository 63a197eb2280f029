//! What a request through the proxy costs, beside going direct, haproxy and nginx, in turns within one run.
//!
//! `cargo bench -p brownout-proxy --bench passthrough [-- --rounds 5 --seconds 2 --scenario 1 --only "brownout,no evidence"]`
//!
//! The load and the backend share one core, the proxy has another to itself. CPU is user plus system time of the
//! proxy's process for each request; ratios are taken within a round, against haproxy where it is installed, and
//! their median is shown. Read ratios, not seconds: machines are shared, and within 10 % is a tie.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, stops at the first surprise, and counts less than 2^53"
)]

mod backend;
mod compare;
mod contender;
mod load;

use load::Scenario;

const SCENARIOS: [Scenario; 11] = [
    Scenario::USUAL,
    Scenario {
        name: "1 KiB, 256 connections",
        connections: 256,
        ..Scenario::USUAL
    },
    Scenario {
        name: "64 KiB, 32 connections",
        path: "/64k",
        ..Scenario::USUAL
    },
    Scenario {
        name: "1 MiB, 8 connections",
        path: "/1m",
        connections: 8,
        ..Scenario::USUAL
    },
    Scenario {
        name: "1 KiB, a new connection each",
        keep_alive: false,
        ..Scenario::USUAL
    },
    Scenario {
        name: "TLS 1.3, 1 KiB, 32 connections",
        tls: true,
        ..Scenario::USUAL
    },
    Scenario {
        name: "TLS 1.3, 64 KiB, 32 connections",
        path: "/64k",
        tls: true,
        ..Scenario::USUAL
    },
    Scenario {
        name: "TLS 1.3, 1 KiB, a new connection each",
        keep_alive: false,
        tls: true,
        ..Scenario::USUAL
    },
    HTTP2,
    Scenario {
        name: "HTTP/2 in TLS 1.3, 1 KiB, 2 connections with 100 streams each",
        tls: true,
        ..HTTP2
    },
    Scenario {
        name: "HTTP/2 on both sides, 1 KiB, 2 connections with 100 streams each",
        http2_upstream: true,
        ..HTTP2
    },
];

/// By prior knowledge, with HTTP/1.1 to the upstream.
const HTTP2: Scenario = Scenario {
    name: "HTTP/2, 1 KiB, 2 connections with 100 streams each",
    connections: 2,
    streams: 100,
    ..Scenario::USUAL
};

/// The allocator of the brownout binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    compare::run("http", &SCENARIOS);
}
