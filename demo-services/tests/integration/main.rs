//! The services seen from outside: real sockets, and upstreams that fail in every way.

#![expect(clippy::unwrap_used, reason = "tests: a failure is a panic")]

mod actuator;
mod answers;
mod deadlines;
mod degradation;
mod example;
mod library;
mod metrics;
mod policies;
mod settings;
mod starting;
mod stopping;
mod system;
mod traces;
mod wire;
mod workers;
