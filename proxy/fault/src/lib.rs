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
//! let request = http::Request::get("/recommendations").body(()).unwrap();
//! let subject = Subject {
//!     route: "recommendations",
//!     method: request.method(),
//!     uri: request.uri(),
//!     headers: request.headers(),
//!     peer: ([127, 0, 0, 1], 40_000).into(),
//!     connection: 0,
//! };
//! let injection = reader.plan().decide(&subject, now.instant);
//! assert_eq!(injection.fired[0].id(), "reset-1");
//! ```

pub mod read;
pub mod reference;
pub mod units;

mod faults;
mod injection;
mod ledger;
mod matcher;
mod merge;
mod origin;
mod plan;
mod probability;
mod roll;
mod schedule;
mod spec;
mod store;
mod stream;
mod wait;

pub use faults::{Accepts, Draw, Fault, FaultKind, KindInfo, Param, Phase, kinds};
pub use injection::{
    Answer, BodyChange, Break, Bucket, Buckets, COPIED_BYTES_MAX, Change, Considered, Copies,
    Corruption, Cut, CutAt, Delay, Dribble, Ending, Fired, How, Injection, Keep, Later, Malformed,
    Outcome, Reservation, Shape, Shelf, Since, Stall, Then,
};
pub use ledger::{Bell, Counters, Delays, Effects, Magnitude};
pub use matcher::{Choice, FieldMatch, Glob, MatchSpec, Network, Pattern, Per, Subject};
pub use origin::Origin;
pub use plan::{Acting, FaultPlan, Look, StreamFaults};
pub use probability::Percent;
pub use roll::Roll;
pub use schedule::{
    Burst, Course, Moment, Nemesis, Pulse, Ramp, RampOf, RampShape, State, Targets, Wave,
};
pub use spec::{FaultSpec, Routes, is_name};
pub use store::{ArmError, FaultReader, FaultStatus, FaultWriter, PatchError, store};
pub use stream::{Budget, Chance, Damage, Direction, Layer, Link, Pieces, Stage, Waits};
