//! The REST API that starts and ends faults.
//!
//! [`ControlApi::start`] serves it on a thread and runtime of its own, so that `POST /halt` is answered while the
//! data plane suffers. It holds the one [`FaultWriter`](brownout_fault::FaultWriter) and the proxy's
//! [`GatewayHandle`](brownout_proxy::GatewayHandle); the proxy knows nothing of it.
//!
//! A call: `connections` accepts it, `auth` looks at Host and Origin, `router` finds the handler, `extract` reads
//! path, query and body. The handlers in `faults`, `routes`, `halt` and their neighbours are thin: what is done is done
//! by [`Ops`], which the configuration file and the signals use as well. Whatever is wrong becomes a `problem`.

mod answer;
mod audit;
mod auth;
mod bounds;
mod client_connections;
mod connections;
mod control;
mod events;
mod explain;
mod extract;
mod faults;
mod halt;
mod health;
mod leases;
mod metrics;
mod off_thread;
pub mod openapi;
mod ops;
mod problem;
mod requests;
mod router;
mod routes;
mod server;
mod toxiproxy;
mod unread;
mod version;
mod words;

pub use audit::{AUDIT_LOG, Audit, Caller};
pub use auth::{InvalidToken, Token};
pub use ops::{
    Armed, Attributes, Condition, EndReason, Ended, Filter, InvalidRoute, InvalidToxic, Lease,
    OpError, Ops, Reloaded, Revisions, Toxic, ToxicKind, Wanted, check_routes, control_tls,
    new_route,
};
pub use server::{ControlApi, ControlConfig, StartError};
pub use toxiproxy::proxy_route;
pub use version::TOXIPROXY_VERSION;
