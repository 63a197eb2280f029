//! The crate from outside: the breaker, the client and the policy files, all on paused time.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, and means the helpers beside them too"
)]

mod breaker;
mod chain;
mod events;
mod health;
mod observer;
mod policies;
mod retry;
mod timeout;
mod upstream;
mod vectors;
