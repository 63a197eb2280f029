//! What bytes through a `tcp` route cost, beside going direct and haproxy's tcp mode, in turns within one run.
//!
//! `cargo bench -p brownout-proxy --bench tunnel [-- --rounds 5 --seconds 2 --scenario 1]`
//!
//! Load, backend and measure are those of `passthrough`; the bytes are HTTP by chance.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, stops at the first surprise, and counts less than 2^53"
)]

#[path = "passthrough/backend.rs"]
mod backend;
#[path = "passthrough/compare.rs"]
mod compare;
#[path = "passthrough/contender.rs"]
mod contender;
#[path = "passthrough/load.rs"]
mod load;

use load::Scenario;

const SCENARIOS: [Scenario; 4] = [
    Scenario::USUAL,
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
];

/// The allocator of the brownout binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    compare::run("tcp", &SCENARIOS);
}
