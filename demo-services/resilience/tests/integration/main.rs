//! The crate from outside: the breaker, the client and the policy files, all on paused time.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, and means the helpers beside them too"
)]

mod breaker;
mod budget;
mod chain;
mod events;
mod guards;
mod health;
mod hedge;
mod inheritance;
mod observer;
mod page;
mod policies;
mod properties;
mod retry;
mod shipped;
mod timeout;
mod upstream;
mod vectors;
