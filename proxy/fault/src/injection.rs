//! What is to be done to one request: the answer of a decision.

mod answer;
mod bucket;
mod change;
mod corruption;
mod fired;
mod shape;
mod shelf;

pub(crate) use self::answer::has_no_body;
pub use self::{
    answer::Answer,
    bucket::{Bucket, Buckets, Reservation},
    change::{BodyChange, Change},
    corruption::{Corruption, How},
    fired::Fired,
    shape::{Break, Cut, CutAt, Dribble, Shape, Stall},
    shelf::{Keep, Shelf},
};

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use crate::{faults::Phase, roll::Roll};

/// What the armed faults do to one request.
///
/// The slots are closed: delays add, the first ending wins, changes and shapes combine in order. The proxy
/// carries out each slot in one place and never asks which kind of fault filled it.
#[derive(Debug, Default)]
pub struct Injection {
    /// Every fault that matched, and what became of it. For counting.
    pub considered: SmallVec<[Considered; 2]>,
    /// The faults that act, in the order of their phases.
    pub fired: SmallVec<[Fired; 2]>,
    /// Waits before the request is forwarded, one after the other.
    pub delays: SmallVec<[Delay; 2]>,
    /// How the exchange ends instead of being forwarded, and the index in `fired` of the fault that ends it.
    pub ending: Option<(usize, Ending)>,
    /// What is done from then on. Boxed, as most requests and most faults have nothing there.
    pub later: Option<Box<Later>>,
    /// The phase of the ending, once there is one.
    ends_in: Option<Phase>,
}

/// What is done to a request that is forwarded, and to its answer. Each slot names the fault that filled it by its
/// index in [`Injection::fired`].
#[derive(Debug, Default)]
pub struct Later {
    /// Changes of the request's head.
    pub request: SmallVec<[(usize, Arc<Change>); 1]>,
    /// What paces the request's body.
    pub upload: SmallVec<[(usize, Arc<Bucket>); 1]>,
    /// How often the request is sent once more.
    pub copies: Option<(usize, Copies)>,
    /// Waits between the upstream's answer and its first byte to the client, one after the other.
    pub delays: SmallVec<[Delay; 1]>,
    /// How the exchange ends instead of the upstream's answer being passed on.
    pub ending: Option<(usize, Ending)>,
    /// Changes of the answer.
    pub answer: SmallVec<[(usize, Arc<Change>); 1]>,
    /// What is done to the answer's body, in this order.
    pub shapes: SmallVec<[(usize, Shape); 1]>,
    /// Keeps the answer as it is, to be given again.
    pub keep: Option<Keep>,
}

impl Injection {
    /// Whether the request goes through untouched.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.fired.is_empty()
    }

    /// The index in [`fired`](Self::fired) of the fault that ends the exchange, before it is forwarded, in place of
    /// the answer or in the answer's body.
    #[must_use]
    pub fn ended_by(&self) -> Option<usize> {
        if let Some((by, _)) = &self.ending {
            return Some(*by);
        }
        let later = self.later.as_ref()?;
        if let Some((by, _)) = &later.ending {
            return Some(*by);
        }
        let ends = |(_, shape): &&(usize, Shape)| shape.ends();
        later.shapes.iter().find(ends).map(|(by, _)| *by)
    }

    /// Whether a fault of `phase` comes too late: an earlier phase ends the exchange, or `ends` and this would be
    /// the second ending.
    pub(crate) fn is_over(&self, phase: Phase, ends: bool) -> bool {
        self.ends_in.is_some_and(|over| ends || phase > over)
    }

    /// Adds a wait before the request is forwarded, on behalf of the fault that is being injected.
    pub(crate) fn delay(&mut self, span: Duration, since: Since) {
        let by = self.injecting();
        self.delays.push(Delay { by, span, since });
    }

    /// Adds a wait before the answer is passed on.
    pub(crate) fn delay_answer(&mut self, span: Duration, since: Since) {
        let by = self.injecting();
        self.later().delays.push(Delay { by, span, since });
    }

    /// Sets the ending. The first ending wins.
    pub(crate) fn end(&mut self, ending: Ending) {
        if self.ends_in.is_none() {
            self.ends_in = Some(Phase::Request);
            self.ending = Some((self.injecting(), ending));
        }
    }

    /// Ends the exchange once the upstream has answered. The first ending wins.
    pub(crate) fn end_answer(&mut self, ending: Ending) {
        if self.ends_in.is_none() {
            self.ends_in = Some(Phase::ResponseHead);
            let by = self.injecting();
            self.later().ending = Some((by, ending));
        }
    }

    /// Does something to the answer's body.
    pub(crate) fn shape(&mut self, shape: Shape) {
        if shape.ends() {
            self.ends_in.get_or_insert(Phase::ResponseBody);
        }
        let by = self.injecting();
        self.depends_on_answer();
        self.later().shapes.push((by, shape));
    }

    /// Changes the request.
    pub(crate) fn change_request(&mut self, change: &Arc<Change>) {
        let by = self.injecting();
        self.later().request.push((by, Arc::clone(change)));
    }

    /// Changes the answer.
    pub(crate) fn change_answer(&mut self, change: &Arc<Change>) {
        let by = self.injecting();
        let later = self.later();
        let is_certain = later.request.iter().any(|(other, _)| *other == by);
        later.answer.push((by, Arc::clone(change)));
        if !is_certain && change.needs_a_fitting_body() {
            self.depends_on_answer();
        }
    }

    /// Paces the request's body.
    pub(crate) fn pace_upload(&mut self, bucket: Arc<Bucket>) {
        let by = self.injecting();
        self.later().upload.push((by, bucket));
    }

    /// Sends the request more than once. The first to ask wins.
    pub(crate) fn copy(&mut self, copies: Copies) {
        let by = self.injecting();
        self.later().copies.get_or_insert((by, copies));
    }

    /// Keeps the answer of this request. The first to ask wins.
    pub(crate) fn keep(&mut self, keep: Keep) {
        self.later().keep.get_or_insert(keep);
    }

    fn later(&mut self) -> &mut Later {
        self.later.get_or_insert_default()
    }

    fn depends_on_answer(&mut self) {
        if let Some(fired) = self.fired.last_mut() {
            fired.depends_on_answer();
        }
    }

    fn injecting(&self) -> usize {
        self.fired.len().saturating_sub(1)
    }
}

/// A fault whose matcher fitted, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Considered {
    /// The kind's name.
    pub kind: &'static str,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a fault that matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It acts on the request.
    Injected,
    /// Its percent, its counts or an earlier ending passed the request by, or the answer left it nothing to act on.
    Skipped,
    /// It holds as many requests as it may; this one passes untouched.
    Overflow,
}

/// One wait.
#[derive(Debug, Clone, Copy)]
pub struct Delay {
    /// The index in [`Injection::fired`] of the fault that asks for it.
    pub by: usize,
    /// How long.
    pub span: Duration,
    /// From when on.
    pub since: Since,
}

/// From when on a wait is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// The moment its turn comes.
    Now,
    /// The arrival of the request: what was spent since then counts.
    Arrival,
}

/// How an exchange ends, before it is forwarded or once the upstream has answered.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The proxy answers.
    Answer(Arc<Answer>),
    /// The client's connection is reset (RST, zero linger). Zero bytes of an answer.
    Reset,
    /// The request is read whole, then the connection is closed in good order (FIN). Zero bytes of an answer.
    Close,
    /// The request is read whole and never answered.
    Hang {
        /// How long; `None` until the fault is removed.
        hold: Option<Duration>,
        /// What then becomes of the connection.
        then: Then,
    },
    /// Bytes that are no HTTP, or wrong HTTP, then a close.
    Malformed(Malformed),
}

/// What becomes of a connection whose request was held without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// A TCP reset.
    Reset,
    /// An orderly close (FIN) without a byte.
    Close,
}

/// What is wrong about an answer. The rest of it is the upstream's own.
#[derive(Debug, Clone)]
pub enum Malformed {
    /// The first chunk's size is no number.
    Chunk,
    /// A field has a byte that no field may have (RFC 9110 §5.5).
    Header,
    /// The status line is none.
    StatusLine,
    /// Bytes drawn by chance instead of an answer.
    Random(Roll),
    /// Two `Content-Length` that differ (RFC 9112 §6.3).
    DupContentLength,
    /// A field of 1 MiB.
    OversizedHeader,
}

/// Further copies of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copies {
    /// How many, besides the request itself.
    pub count: u32,
    /// How long after the one before each is sent.
    pub gap: Duration,
}

/// The longest body of a request that is sent more than once: it must be kept.
pub const COPIED_BYTES_MAX: u64 = 64 * 1024;
