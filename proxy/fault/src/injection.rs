//! What is to be done to one request: the result of a decision.

mod answer;
mod bucket;
mod change;
mod copies;
mod corruption;
mod delay;
mod ending;
mod fired;
mod http2;
mod outcome;
mod phases;
mod response_cache;
mod shape;

pub(crate) use self::answer::has_no_body;
pub use self::{
    answer::{Answer, Content, GrpcStatus, RetryDate},
    bucket::{Bucket, Buckets, Reservation},
    change::{BodyChange, Change},
    copies::{COPIED_BYTES_MAX, Copies},
    corruption::{Corruption, How},
    delay::{Delay, Since},
    ending::{Malformed, RequestEnding, ResponseEnding, Then},
    fired::Fired,
    http2::{ErrorCode, GoAway, Http2Fault, Http2Settings, LastStream, ResetScope},
    outcome::{Considered, MatchOutcome},
    phases::{ForwardFaults, RequestFaults, ResponseFaults},
    response_cache::{Keep, ResponseCache},
    shape::{Break, Cut, CutAt, CutFraming, Dribble, Shape, Stall},
};

use std::{sync::Arc, time::Duration};

use smallvec::SmallVec;

use crate::{edits::FieldEdit, phase::Phase};

/// What the armed faults do to one request.
///
/// Delays add up, the first ending wins, changes and shapes combine in order. The proxy carries out each part in one
/// place and never asks which kind of fault filled it.
#[derive(Debug, Default)]
pub struct Injection {
    /// Every fault that matched, and what became of it. For counting.
    pub considered: SmallVec<[Considered; 2]>,
    /// The faults that act, in the order of their phases. It has as many members as `considered` has
    /// [`MatchOutcome::Injected`], in the same order.
    pub fired: SmallVec<[Fired; 2]>,
    /// What is done before the request is forwarded.
    pub before: RequestFaults,
    /// What is done to the request on its way to the upstream. Boxed, as most requests have nothing there.
    pub forward: Option<Box<ForwardFaults>>,
    /// What is done once the upstream has answered. Boxed, as most requests have nothing there.
    pub after: Option<Box<ResponseFaults>>,
}

impl Injection {
    /// Whether no fault acts on the request. An answer may still be [kept](ResponseFaults::keep).
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.fired.is_empty()
    }

    /// The index in [`fired`](Self::fired) of the fault that ends the exchange: before the request is forwarded, in
    /// place of the answer, or in the answer's body.
    #[must_use]
    pub fn ended_by(&self) -> Option<usize> {
        self.ending().map(|(_, by)| by)
    }

    /// Whether a fault of `phase` comes too late: an earlier phase ends the exchange, or the fault `ends` it and
    /// another does so already.
    pub(crate) fn is_over(&self, phase: Phase, ends: bool) -> bool {
        self.ending().is_some_and(|(over, _)| ends || phase > over)
    }

    /// The phase of the ending, and the fault that asked for it.
    fn ending(&self) -> Option<(Phase, usize)> {
        if let Some((by, _)) = &self.before.ending {
            return Some((Phase::Request, *by));
        }
        let after = self.after.as_ref()?;
        if let Some((by, _)) = &after.ending {
            return Some((Phase::ResponseHead, *by));
        }
        let mut shapes = after.shapes.iter();
        let (by, _) = shapes.find(|(_, shape)| shape.ends())?;
        Some((Phase::ResponseBody, *by))
    }

    /// Adds a delay before the request is forwarded, on behalf of the fault that is being injected.
    pub(crate) fn delay(&mut self, span: Duration, since: Since) {
        let by = self.injecting();
        if span.is_zero() || since == Since::Arrival {
            self.leaves_open();
        }
        self.before.delays.push(Delay { by, span, since });
    }

    /// Adds a delay before the answer is passed on.
    pub(crate) fn delay_answer(&mut self, span: Duration, since: Since) {
        let by = self.injecting();
        self.leaves_open();
        self.after().delays.push(Delay { by, span, since });
    }

    /// Ends the exchange before the request is forwarded. The first ending wins.
    pub(crate) fn end(&mut self, ending: RequestEnding) {
        if self.ending().is_none() {
            self.before.ending = Some((self.injecting(), ending));
        }
    }

    /// Does something to the request's connection, which speaks HTTP/2. Allocates, as hardly any request has that.
    pub(crate) fn on_connection(&mut self, fault: Http2Fault) {
        let by = self.injecting();
        self.leaves_open();
        self.before.http2.get_or_insert_default().push((by, fault));
    }

    /// Ends the exchange once the upstream has answered. The first ending wins.
    pub(crate) fn end_answer(&mut self, ending: ResponseEnding) {
        if self.ending().is_none() {
            let by = self.injecting();
            self.leaves_open();
            self.after().ending = Some((by, ending));
        }
    }

    /// Does something to the answer's body.
    pub(crate) fn shape(&mut self, shape: Shape) {
        let by = self.injecting();
        self.leaves_open();
        self.after().shapes.push((by, shape));
    }

    /// Changes the request's header fields.
    pub(crate) fn edit_request(&mut self, edits: &Arc<[FieldEdit]>) {
        let by = self.injecting();
        self.leaves_open();
        self.forward().edits.push((by, Arc::clone(edits)));
    }

    /// Changes the answer.
    pub(crate) fn change_answer(&mut self, change: &Arc<Change>) {
        let by = self.injecting();
        self.leaves_open();
        self.after().changes.push((by, Arc::clone(change)));
    }

    /// Paces the request's body.
    pub(crate) fn pace_upload(&mut self, bucket: Arc<Bucket>) {
        let by = self.injecting();
        self.leaves_open();
        self.forward().pace.push((by, bucket));
    }

    /// Sends copies of the request. The first fault that asks for copies wins.
    pub(crate) fn copy(&mut self, copies: Copies) {
        let by = self.injecting();
        self.leaves_open();
        self.forward().copies.get_or_insert((by, copies));
    }

    /// Keeps the answer of this request. The first fault that asks for it wins.
    pub(crate) fn keep(&mut self, keep: Keep) {
        self.after().keep.get_or_insert(keep);
    }

    fn forward(&mut self) -> &mut ForwardFaults {
        self.forward.get_or_insert_default()
    }

    fn after(&mut self) -> &mut ResponseFaults {
        self.after.get_or_insert_default()
    }

    /// Whether the fault has an effect shows when it is carried out: only then it counts as injected.
    fn leaves_open(&mut self) {
        if let Some(fired) = self.fired.last_mut() {
            fired.set_undecided();
        }
    }

    fn injecting(&self) -> usize {
        self.fired.len().saturating_sub(1)
    }
}
