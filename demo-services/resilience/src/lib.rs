//! Timeout, retry, circuit breaker, rate limit, bulkhead, hedge and fallback for a client, set by a policy file.
//!
//! A [`Policy`] says how a client protects itself and is read from TOML. A [`Client`] puts it to work for the
//! calls to one dependency: it starts an operation as often, for as long and as soon as the policy permits, and
//! tells what came of it. The operation does the sending, with whatever transport; what its results mean is said
//! in a few neutral words ([`Outcome`], [`ErrorKind`]).
//!
//! It is not a transport, not a connection pool and not a stack of layers: the chain of protections exists in two
//! orders ([`Order`]), each one function. It spawns no task, prints nothing and knows no telemetry; an [`Observer`]
//! watches a call, a [`Listener`] a breaker. All time is tokio's, so tests can pause it, and all chance comes from
//! a seed, so a run can be repeated.
//!
//! ```
//! use brownout_resilience::{Answer, Call, Client, ErrorKind, Outcome, Policy, Setup};
//! use std::io;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Policy::from_toml("gold", r#"
//!     [timeout]
//!     attempt = "500ms"
//!     [retry]
//!     max_attempts = 2
//!     [breaker]
//!     size = 5
//!     [fallback]
//!     kind = "empty"
//! "#)?;
//! let recommendations = Client::new("recommendations", policy, Setup::seeded(42))?;
//!
//! let outcome = |result: &Result<Vec<u32>, io::Error>| match result {
//!     Ok(_) => Outcome::Success,
//!     Err(error) => Outcome::Error(match error.kind() {
//!         io::ErrorKind::ConnectionRefused => ErrorKind::Connect,
//!         io::ErrorKind::ConnectionReset => ErrorKind::Reset,
//!         io::ErrorKind::UnexpectedEof => ErrorKind::Incomplete,
//!         _ => ErrorKind::Other,
//!     }),
//! };
//! let called = recommendations
//!     .call(Call::method("GET").or_else(|_| Vec::new()), outcome, |attempt| async move {
//!         // Send the request here; `attempt.time_limit` is what it may take.
//!         Err(io::Error::from(io::ErrorKind::ConnectionRefused))
//!     })
//!     .await;
//!
//! assert!(called.result.unwrap().is_empty());
//! assert_eq!(called.report.answer, Answer::Fallback);
//! assert_eq!(called.report.attempts, 2);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod breaker;
mod chain;
mod chance;
mod client;
mod deadline;
mod fallback;
mod guards;
pub mod health;
mod observer;
mod outcome;
pub mod policy;
mod report;
mod retry;
pub mod time_left;
mod word;

pub use backoff::{Backoff, Growth, Jitter};
pub use breaker::{
    Breaker, Event, EventKind, EventLog, EventRecord, Listener, Metrics, Permit, Rejected, Setup,
    State, TransitionRefused, Verdict,
};
pub use client::{Attempt, Call, CallError, Called, Client};
pub use deadline::TimeoutError;
pub use fallback::{Fallback, NoFallback};
pub use guards::{Guard, Levels};
pub use observer::Observer;
pub use outcome::{ErrorKind, Outcome, Pushback, Reading};
pub use policy::{InvalidPolicy, Order, Policy};
pub use report::{Answer, Cause, Report, RetryEnd};
