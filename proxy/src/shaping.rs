//! What faults do to bytes on their way: one engine for connections and for bodies of HTTP messages.
//!
//! The engine is [`shaper::Shaper`]: a pure state machine that is given bytes and the time, and asked what may be
//! written now. It is a row of *stages*, one for each fault; each stage holds, damages or cuts what passes it. Two
//! adaptors use it:
//!
//! - [`StreamShaper`]: one direction of a connection. The faults on it may change at any time.
//! - [`BodyShaper`]: the body of one request or response. Its faults are decided with the head; they may only go away.
//!
//! Neither reads a socket. What waits for a time waits on the core's [`Timer`](crate::timer::Timer).

mod body;
mod changes;
mod shaper;
mod stage;
mod stream;

pub(crate) use self::{
    body::{BodyNext, BodyNote, BodyShaper},
    changes::PlanChanges,
    stream::{StreamNext, StreamShaper},
};
