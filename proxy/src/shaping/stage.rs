//! What one fault does to the bytes that pass it: pure, on a clock that is handed in.

mod arrival_queue;
mod cut;
mod damage;
mod delay;
mod discard;
mod dribble;
mod pace;
mod passed_queue;
mod slice;
mod slow_end;
mod stall;

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use brownout_fault::{Break, ResetScope, Shape, Stage, Then};
use bytes::Bytes;

/// What passes from stage to stage, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Bytes(Bytes),
    /// The source has ended in order: there are no more bytes. On a connection the other direction goes on.
    End,
    /// A fault ends the connection or the message here. Nothing behind it comes out.
    Cut(EarlyEnd),
}

/// An end that a fault makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EarlyEnd {
    /// The number of the stage that makes it.
    pub(super) by: u64,
    pub(super) how: Break,
}

impl EarlyEnd {
    fn of(by: u64, then: Then) -> Self {
        let how = match then {
            Then::Reset => Break::Reset(ResetScope::AUTO),
            Then::Close => Break::Fin,
        };
        Self { by, how }
    }
}

/// Whether a stage takes items from the stage before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intake {
    Open,
    /// It was closed until then.
    OpenSince(Instant),
    Closed,
}

/// Receives what a stage did, for the counters of its fault.
pub(super) trait Report: fmt::Debug {
    /// The fault has changed something. May be called again.
    ///
    /// Only stages that act on bodies say so: on a connection a fault counts as injected when it is chosen.
    fn acted(&mut self);

    /// Something was held from `since` until `now`. `asked` is how long it was to be held; `None` if the hold ended
    /// early because the fault was removed.
    fn held(&mut self, asked: Option<Duration>, since: Instant, now: Instant);

    /// So many bytes have passed. They waited for `took`; zero where time is not the matter of the fault.
    fn passed(&mut self, bytes: usize, took: Duration);
}

/// A stage at work.
///
/// Times that a machine gives are exact: when an item could leave, not when somebody asked. So a timer that is late
/// delays one item and not those behind it.
pub(super) trait Machine: fmt::Debug + Send {
    /// Takes an item that arrives at the time `at`. Also called while the intake is closed, by the source.
    fn push(&mut self, at: Instant, item: Item);

    /// Gives the next item that may leave by `now`, with the time from which on it could.
    fn pop(&mut self, now: Instant, report: &mut dyn Report) -> Option<(Instant, Item)>;

    /// From when on the item that was popped last took its time, if a budget is what it passed.
    fn paced_since(&self) -> Option<Instant> {
        None
    }

    /// Another budget held the item that is pushed next: since then it takes its time.
    fn pace_since(&mut self, _since: Instant) {}

    /// When there is something to [`pop`](Self::pop) without a further push. May lie in the past.
    fn due(&self) -> Option<Instant>;

    /// Whether it holds anything that is still to leave.
    fn is_holding(&self) -> bool;

    /// Whether nothing passes for now, whatever comes.
    fn is_blocking(&self) -> bool {
        false
    }

    /// Whether more may be read from the source for it.
    fn has_room(&self) -> bool {
        true
    }

    /// Whether the stage before it may pass anything on to it.
    fn intake(&self) -> Intake {
        Intake::Open
    }

    /// The next stage was closed until `at`: nothing leaves at an earlier time.
    fn resume(&mut self, _at: Instant) {}

    /// Both sides of the connection have ended. May be called again.
    fn both_ended(&mut self, _now: Instant) {}

    /// Takes other parameters. What it holds and has counted stays. Called on stages of connections only.
    fn update(&mut self, _stage: Stage, _now: Instant) {}

    /// Gives back everything it holds, in order: the fault is gone.
    fn release(&mut self, now: Instant, report: &mut dyn Report) -> VecDeque<Item>;
}

/// The machine that carries out `stage` on a connection.
pub(super) fn of_stream(number: u64, stage: Stage, now: Instant) -> Box<dyn Machine> {
    match stage {
        Stage::Delay(waits) => Box::new(delay::Delay::new(waits)),
        Stage::Reset { after } => Box::new(cut::Cut::reset(number, after, now)),
        Stage::Pace(budget) => Box::new(pace::Pace::of_stream(&budget)),
        Stage::Discard {
            hold,
            idle,
            from,
            then,
        } => Box::new(discard::Discard::new(number, hold, idle, from, then, now)),
        Stage::Stall { after, hold, then } => {
            Box::new(stall::Stall::of_stream(number, after, hold, then, now))
        }
        Stage::Limit { bytes } => Box::new(cut::Cut::limit(number, bytes)),
        Stage::SlowEnd { delay } => Box::new(slow_end::SlowEnd::new(delay)),
        Stage::Slice { pieces, gap } => Box::new(slice::Slice::new(pieces, gap)),
        Stage::Damage(damage) => Box::new(damage::Damage::new(damage.begin())),
    }
}

/// The machine that carries out `shape` on a body. `length` is that of the body, `None` if it is unknown; `first_bytes`
/// is how many bytes came first, of which a cut at a fraction is taken if the length is unknown.
pub(super) fn of_body(
    number: u64,
    shape: Shape,
    length: Option<u64>,
    first_bytes: u64,
    now: Instant,
) -> Box<dyn Machine> {
    match shape {
        Shape::Corrupt(corruption) => Box::new(damage::Damage::new(corruption)),
        Shape::Pace(bucket) => Box::new(pace::Pace::of_body(bucket)),
        Shape::Dribble { pieces, .. } => {
            let (piece_bytes, gap) = pieces.pieces(length);
            Box::new(dribble::Dribble::new(piece_bytes, gap))
        }
        Shape::Stall(stall) => Box::new(stall::Stall::of_body(number, stall, now)),
        Shape::Cut(shape) => {
            let at = shape.at.bytes(length.unwrap_or(first_bytes));
            Box::new(cut::Cut::of_body(
                number,
                at,
                shape.how,
                length.is_some(),
                now,
            ))
        }
    }
}
