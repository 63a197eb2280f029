//! What a client did, read from records of its attempts: pure functions, no I/O.
//!
//! - [`record`]: attempts and pages as records.
//! - [`join`](mod@join): which attempts belong to which page.
//! - [`derive`](mod@derive): numbers made from records, such as waits between attempts.
//! - [`scale`]: what is usual for the client under test.
//! - [`rules`]: from records of the stock experiments to [`Finding`]s.
//!
//! Every bound is taken from the client under test ([`Scale`]): its page budget, its calm page time, its own attempt
//! time-out. The few numbers of milliseconds in the rules are what machines and languages need, and say so.

mod content;
pub mod derive;
mod finding;
pub mod join;
pub mod record;
pub mod rules;
pub mod scale;

pub use self::{
    content::{Content, Usual},
    finding::{Finding, FindingId, Group, Severity, Verdict},
    record::{AttemptRecord, PageRecord, path_pattern},
    scale::{Calm, PathCalm, Scale},
};
