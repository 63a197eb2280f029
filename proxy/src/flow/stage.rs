//! What a stage does to the bytes that pass it: pure, on a clock that is handed in.

mod damage;
mod delay;
mod discard;
mod limit;
mod pace;
mod reset;
mod slice;
mod slow_end;
mod stall;

use std::{collections::VecDeque, fmt, time::Instant};

use brownout_fault::Stage;
use bytes::Bytes;

use super::meter::Meter;

/// What passes from stage to stage, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Bytes(Bytes),
    /// There are no more bytes; the other direction goes on.
    End,
    /// The connection is reset.
    Reset,
    /// The connection is closed in good order, on both sides.
    Close,
}

/// One fault at work on one direction of a connection.
pub(super) trait Machine: fmt::Debug + Send {
    /// Takes what arrives at the time `at`.
    fn push(&mut self, at: Instant, item: Item);

    /// What is through by `now`, with the time at which it was. Notes what that took.
    fn pop(&mut self, now: Instant, meter: &Meter) -> Option<(Instant, Item)>;

    /// When there is something to [`pop`](Self::pop) without a further push.
    fn wake(&self) -> Option<Instant>;

    /// Whether it holds anything that is still to pass.
    fn holds(&self) -> bool;

    /// Whether nothing passes it for now, whatever comes.
    fn stops(&self) -> bool {
        false
    }

    /// Whether more may be read for it.
    fn has_room(&self) -> bool {
        true
    }

    /// Takes note that both sides of the connection have said all. May be called again.
    fn finish(&mut self, _now: Instant) {}

    /// Takes other parameters; what it holds and has counted stays.
    fn renew(&mut self, stage: Stage, now: Instant);

    /// Gives back all it holds, in order: the fault is gone.
    fn flush(&mut self, now: Instant, meter: &Meter) -> VecDeque<Item>;
}

/// The machine that carries out `stage`.
pub(super) fn machine(stage: Stage, now: Instant) -> Box<dyn Machine> {
    match stage {
        Stage::Delay(waits) => Box::new(delay::Delay::new(waits)),
        Stage::Reset { after } => Box::new(reset::Reset::new(after, now)),
        Stage::Pace(budget) => Box::new(pace::Pace::new(&budget)),
        Stage::Discard { hold, idle, then } => {
            Box::new(discard::Discard::new(hold, idle, then, now))
        }
        Stage::Stall { after, hold, then } => Box::new(stall::Stall::new(after, hold, then, now)),
        Stage::Limit { bytes } => Box::new(limit::Limit::new(bytes)),
        Stage::SlowEnd { delay } => Box::new(slow_end::SlowEnd::new(delay)),
        Stage::Slice { pieces, gap } => Box::new(slice::Slice::new(pieces, gap)),
        Stage::Damage(damage) => Box::new(damage::Damaging::new(&damage)),
    }
}
