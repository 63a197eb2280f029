//! The REST API that starts and ends faults.
//!
//! [`ControlApi::start`] serves it on a thread and runtime of its own, so that `POST /halt` is answered while the
//! data plane suffers. It holds the one [`FaultWriter`](brownout_fault::FaultWriter) and the proxy's
//! [`GatewayHandle`](brownout_proxy::GatewayHandle); the proxy knows nothing of it.
//!
//! A call: `auth` looks at Host and Origin, `router` finds the handler, `extract` reads path, query and body,
//! `faults`, `routes` or `halt` does it on the `control` state, and whatever is wrong becomes a `problem`.

mod answer;
mod auth;
mod control;
mod extract;
mod faults;
mod halt;
mod problem;
mod router;
mod routes;
mod server;

pub use routes::{InvalidRoute, new_route};
pub use server::{ControlApi, ControlConfig, StartError};
