//! Faults that act on a request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    counters::OnRoute,
    hold::{Held, Released},
    identity::FaultIdentity,
    matcher::Choice,
    origin::Origin,
    phase::Phase,
    told::Asker,
};

/// A fault that acts on a request.
///
/// Dropping it gives back the place it held. If it was still undecided whether it has an effect, it then counts as
/// skipped and its injection is given back.
#[derive(Debug)]
pub struct Fired {
    fault: Arc<FaultIdentity>,
    /// The counters of the route, where the fault names several.
    on_route: Option<Arc<OnRoute>>,
    held: Option<Held>,
    is_undecided: bool,
    asker: Asker,
}

impl Fired {
    pub(crate) fn new(fault: &Arc<FaultIdentity>, held: Option<Held>, asker: Asker) -> Self {
        Self {
            fault: Arc::clone(fault),
            on_route: None,
            held,
            is_undecided: false,
            asker,
        }
    }

    /// Counted on its route too.
    pub(crate) fn on_route(mut self, counted: Option<Arc<OnRoute>>) -> Self {
        self.on_route = counted;
        self
    }

    /// Notes that it shows later whether it has an effect.
    pub(crate) fn set_undecided(&mut self) {
        self.is_undecided = true;
    }

    /// Whether it is not known yet if it has an effect: that shows when it is carried out.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.is_undecided
    }

    /// Notes that it has an effect, now. Returns whether that was undecided until now.
    pub fn mark_injected(&mut self, now: Instant) -> bool {
        let was_undecided = std::mem::take(&mut self.is_undecided);
        if was_undecided {
            self.fault.counters.note_strike(self.fault.limit, now);
        }
        was_undecided
    }

    /// Notes that it has no effect, if that was undecided until now: it then counts as skipped, its injection is given
    /// back to its `limit`, and it holds nothing. Returns whether it was undecided.
    pub fn mark_skipped(&mut self) -> bool {
        if !std::mem::take(&mut self.is_undecided) {
            return false;
        }
        self.fault.counters.give_back_injection();
        if let Some(counted) = &self.on_route {
            counted.give_back_injection();
        }
        self.release();
        true
    }

    /// The fault's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.fault.id
    }

    /// The name of the fault's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.fault.kind
    }

    /// The phase in which the fault acts.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.fault.phase
    }

    /// The number of the change that gave the fault the form in which it acts.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.fault.revision
    }

    /// The call that gave the fault that form, if it is known.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.fault.origin
    }

    /// How the fault chose the request.
    #[must_use]
    pub fn chosen_by(&self) -> Choice {
        self.fault.choice
    }

    /// The value of the header that marks an injected answer, plain ASCII; `None` when the fault is stealthy.
    #[must_use]
    pub fn marker(&self) -> Option<&str> {
        self.fault.marker.as_deref()
    }

    /// Whether it holds the request, counted in `active` until it is [released](Self::release) or dropped.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// Gives back the place that the fault held for the request.
    pub fn release(&mut self) {
        self.held = None;
    }

    /// Tells when the fault is removed, expires or is given other parameters: what it holds must then be released.
    #[must_use]
    pub fn released(&self) -> Released {
        Released::of(&self.fault.hold)
    }

    /// Notes how long the request was held, and how long that was asked for: `None` if the hold was cut short.
    pub fn note_delay(&self, asked: Option<Duration>, achieved: Duration) {
        self.fault.counters.note_delay(asked, achieved);
    }

    /// Notes bytes that went through a shaped body, and how long they took.
    pub fn note_bytes(&self, bytes: u64, took: Duration) {
        self.fault.counters.note_bytes(bytes, took);
    }

    /// Notes that the client was told now to come back after `wait`, by a `Retry-After` of the fault.
    pub fn note_told(&self, wait: Duration, now: Instant) {
        self.fault.counters.told().tell(self.asker, wait, now);
    }

    /// Notes that the client left while the fault acted on its request.
    pub fn note_client_gave_up(&self) {
        self.fault.counters.note_client_gave_up();
    }
}

impl Drop for Fired {
    fn drop(&mut self) {
        self.mark_skipped();
    }
}
