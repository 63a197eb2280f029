//! What the control API says: routes, fault answers, problems.
//!
//! The API and its client share these types, so they cannot drift apart. What is *sent to* the API is read by
//! hand-written readers that report every problem with its place; what the API *answers* is plain serde.

mod answers;
mod connection;
mod draft;
mod event;
mod explain;
mod fault;
mod lease;
mod problem;
mod request;
mod route;
pub mod schema;
mod tags;

pub use answers::{Halt, Health, Ready, Removed, RouteReadiness, RouteState, Version};
pub use connection::{ConnectionEnd, ConnectionList, ConnectionQuery, ConnectionRecord};
pub use draft::FaultDraft;
pub use event::{EventRecord, RouteStats};
pub use explain::{
    ExplainAnswer, ExplainSpec, ExplainVerdict, ExplainedFault, ImaginedRequest, RecentAnswer,
};
pub use fault::{
    CountersAnswer, FaultAnswer, FaultEnd, FaultList, FaultTimes, MagnitudeAnswer,
    RouteCountersAnswer,
};
pub use lease::{LeaseAnswer, LeaseList, LeaseRenewal, LeaseSpec};
pub use problem::{ErrorAnswer, ProblemAnswer};
pub use request::{RequestEnd, RequestList, RequestPhase, RequestQuery, RequestRecord};
pub use route::{
    CertificateSpec, ListenerTlsSpec, PoolSpec, Protocol, RouteAnswer, RouteList, RouteOptions,
    RoutePatch, RouteSpec, ServerAnswer, ServerState, UpstreamTlsSpec,
};
pub use tags::FaultTags;
