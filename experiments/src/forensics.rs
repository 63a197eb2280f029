//! What a client did, read from records of its attempts: pure functions, no I/O.
//!
//! - [`record`]: attempts, connections, pages and faults as records.
//! - [`derive`](mod@derive): numbers made from records, such as waits between attempts.

pub mod derive;
pub mod record;

pub use self::record::{
    AttemptEnd, AttemptRecord, ConnectionRecord, EndPhase, FaultRecord, PageRecord,
};
