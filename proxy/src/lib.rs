//! The data plane: a transparent HTTP and TCP proxy that carries out faults.
//!
//! A [`Gateway`] carries routes; its [`GatewayHandle`] makes, changes and shows them. What is armed comes from a
//! [`FaultReader`](brownout_fault::FaultReader); who arms it is not known here.
//!
//! One request: a [`listener`](self) accepts its connection, `http1` reads its head and its body, `exchange` is its whole
//! story: decide, record, wait or end, forward, pass the answer on. A route with no fault armed is transparent: no byte of
//! a head or body changes but what belongs to the hop (RFC 9110 §7.6.1). A `tcp` route passes bytes on, in `relay`.
//!
//! Each core has a current-thread runtime with its own listening sockets and its own upstream connections, so
//! that a request never crosses a thread.

mod access_log;
mod admit;
mod clock;
mod crowd;
mod downstream;
mod error;
mod exchange;
mod gateway;
mod http1;
mod http2;
mod journal;
mod limits;
mod listener;
mod loops;
mod proxy_protocol;
mod relay;
mod route;
mod scope;
mod shaping;
mod sys;
mod timer;
mod tls;
mod transport;
mod upstream;

pub use access_log::ACCESS_LOG;
pub use gateway::{
    Gateway, GatewayConfig, GatewayHandle, ListenerTlsChange, NewRoute, RouteChange, RouteError,
    RouteStatus, ServedTls,
};
pub use journal::{
    Attempt, AttemptEnd, AttemptPhase, Connection, ConnectionEnd, Journal, JournalPage,
    JournalQuery, RecordState,
};
pub use limits::ClientTimeouts;
pub use listener::{InvalidListenAddress, ListenAddress, UnixAddress};
pub use proxy_protocol::ProxyVersion;
pub use tls::{
    AuthorityError, CertificateFiles, InvalidTls, ListenerTls, ListenerTlsOptions, LocalAuthority,
    UpstreamTls, UpstreamTlsOptions,
};
pub use upstream::{
    HostField, HttpVersion, InvalidUpstream, PoolOptions, Protocol, Resolver, ServerStatus,
    Upstream, UpstreamOptions,
};
