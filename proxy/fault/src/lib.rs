//! What a fault is: decides, never acts.
//!
//! This crate is the ground floor of brownout. It reads a fault as a person writes it ([`FaultSpec`]),
//! compiles what is armed into an immutable plan ([`FaultPlan`]), and answers one question for each
//! request: what shall happen to it ([`FaultPlan::decide`] gives an [`Injection`])? Carrying the answer
//! out is the proxy's work.
//!
//! It knows no runtime, socket, clock or global generator: time and chance come in as arguments, so the
//! same seed gives the same draws under any concurrency.
//!
//! ```
//! use std::time::{Instant, SystemTime};
//! use brownout_fault::{FaultSpec, Moment, Subject, store};
//!
//! let (mut writer, reader) = store(42);
//! let now = Moment { instant: Instant::now(), wall: SystemTime::now() };
//! let outage = FaultSpec::read(&serde_json::json!({ "route": "recommendations", "reset": {} })).unwrap();
//! writer.arm(vec![outage], now).unwrap();
//!
//! let subject = Subject {
//!     route: "recommendations",
//!     method: "GET",
//!     path: "/recommendations",
//!     query: None,
//!     host: None,
//!     fields: &http::HeaderMap::new(),
//!     peer: ([127, 0, 0, 1], 40_000).into(),
//!     connection: 0,
//!     request: 0,
//!     is_http2: false,
//! };
//! let injection = reader.plan().decide(&subject, now.instant);
//! assert_eq!(injection.fired[0].id(), "reset-1");
//! ```

pub mod read;
pub mod reference;
pub mod units;

mod atomics;
mod caller;
mod counters;
mod edits;
mod faults;
mod fields;
mod hold;
mod identity;
mod injection;
mod json_text;
mod matcher;
mod merge;
mod name;
mod origin;
mod phase;
mod plan;
mod probability;
mod roll;
mod schedule;
mod spec;
mod store;
mod stream;
mod strikes;
mod subject;
mod told;
mod wait;
mod written;

pub use caller::{CALLER_FIELDS, CallerAsked, CallerFaults, MayAsk};
pub use counters::{Counters, Delays, Effects, Magnitude, RouteCounters};
pub use edits::{EditFields, Field, FieldEdit, FieldName, apply};
pub use faults::{
    Accepts, AtListener, CommonFields, Draw, Fault, FaultKind, KindInfo, Param, kinds, unknown_kind,
};
pub use fields::Fields;
pub use hold::Released;
pub use injection::{
    Answer, BodyChange, Break, Bucket, Buckets, COPIED_BYTES_MAX, Change, Considered, Content,
    Copies, Corruption, Cut, CutAt, CutFraming, Delay, Dribble, ErrorCode, Fired, ForwardFaults,
    GoAway, GrpcStatus, How, Http2Fault, Http2Settings, Injection, Keep, LastStream, Malformed,
    MatchOutcome, RequestEnding, RequestFaults, Reservation, ResetScope, ResponseCache,
    ResponseEnding, ResponseFaults, RetryDate, Shape, Since, Stall, Then,
};
pub use json_text::inexact_number;
pub use matcher::{
    Choice, Conditions, FieldMatch, Fit, Glob, Knowledge, MatchSpec, Network, Pattern, Per, Places,
};
pub use name::is_name;
pub use origin::Origin;
pub use phase::Phase;
pub use plan::{
    Explained, FaultPlan, Verdict,
    streams::{Acting, Look, StreamFaults},
};
pub use probability::Percent;
pub use roll::Roll;
pub use schedule::{
    Burst, Moment, Nemesis, Pulse, Ramp, RampOf, RampShape, Schedule, State, Targets, Wave,
};
pub use spec::{FaultSpec, Routes};
pub use store::{
    ArmError, EndedFault, FaultReader, FaultStatus, FaultWriter, News, PatchError,
    behalf::OnBehalf,
    patch::{PatchBase, PatchedFault},
    store,
};
pub use stream::{
    Budget, Chance, Damage, Direction, DiscardFrom, Layer, Link, Pieces, Stage, Waits,
};
pub use strikes::Strikes;
pub use subject::Subject;
