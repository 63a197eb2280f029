//! The data plane: a transparent HTTP and TCP proxy that carries out faults.
//!
//! A [`Gateway`] carries routes; its [`GatewayHandle`] makes, changes and shows them. What is armed comes from a
//! [`FaultReader`](brownout_fault::FaultReader); who arms it is not known here.
//!
//! One request: [`listener`](self) accepts it, `connection` lets hyper read its head, `exchange` tells its whole
//! story: record, decide, inject, forward, follow the answer. A route with no fault armed is transparent: no
//! status, reason, field value or body byte changes. A `tcp` route passes bytes on, in `relay`.
//!
//! Each core has a current-thread runtime with its own listening sockets and its own upstream connections, so
//! that a request never crosses a thread.

mod admit;
mod body;
mod client_io;
mod connection;
mod error;
mod exchange;
mod gateway;
mod headers;
mod inject;
mod limits;
mod listener;
mod malformed;
mod record;
mod relay;
mod route;
mod scope;
mod shape;
mod shaping;
mod sys;
mod timer;
mod upgrade;
mod upstream;

pub use gateway::{
    Gateway, GatewayConfig, GatewayHandle, NewRoute, RouteChange, RouteError, RouteStatus,
};
pub use listener::{InvalidListenAddress, ListenAddress};
pub use record::ACCESS_LOG;
pub use upstream::{InvalidUpstream, Protocol, Upstream};
