//! Faults that act on a request.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use crate::{
    faults::Phase,
    ledger::{Bell, Held},
    matcher::Choice,
    origin::Origin,
    plan::ArmedFault,
};

/// A fault that acts on a request. Dropping it gives back the place it held, and the injection if it had no effect.
#[derive(Debug)]
pub struct Fired {
    fault: Arc<ArmedFault>,
    held: Option<Held>,
    /// It depends on the answer if it has an effect, and has had none yet.
    may_pass: bool,
}

impl Fired {
    pub(crate) fn new(fault: &Arc<ArmedFault>, held: Option<Held>) -> Self {
        Self {
            fault: Arc::clone(fault),
            held,
            may_pass: false,
        }
    }

    /// Notes that the answer decides if it has an effect.
    pub(crate) fn depends_on_answer(&mut self) {
        self.may_pass = true;
    }

    /// Whether it is still open if it has an effect at all.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// Notes that it has an effect. Whether that was open until now.
    pub fn acts(&mut self) -> bool {
        std::mem::take(&mut self.may_pass)
    }

    /// Notes that it has none, if that was open until now: it counts as skipped and holds nothing. Whether it was open.
    pub fn passes(&mut self) -> bool {
        if !std::mem::take(&mut self.may_pass) {
            return false;
        }
        self.fault.ledger().give_back_injection();
        self.let_go();
        true
    }

    /// The fault's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.fault.id()
    }

    /// The name of the fault's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.fault.kind()
    }

    /// The phase in which the kind acts.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.fault.phase()
    }

    /// The revision of the fault set in which this form of the fault was made.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.fault.revision()
    }

    /// The call that gave the fault this form, if it is known.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.fault.origin()
    }

    /// By what the request was chosen.
    #[must_use]
    pub fn chosen_by(&self) -> Choice {
        let spec = self.fault.spec();
        Choice::of(&spec.matching, spec.percent)
    }

    /// The value of the header that marks an injected answer; `None` when the fault is stealthy.
    #[must_use]
    pub fn marker(&self) -> Option<&HeaderValue> {
        self.fault.marker()
    }

    /// Whether it holds the request, counted in `active` until this is dropped.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// Gives back the place that the fault held for the request: it holds it no longer.
    pub fn let_go(&mut self) {
        self.held = None;
    }

    /// Ends when the fault is removed, expires or is given other parameters: what it holds is let go.
    pub async fn released(&self) {
        self.bell().released().await;
    }

    /// Tells when the fault is removed, expires or is given other parameters, for as long as one likes.
    #[must_use]
    pub fn bell(&self) -> Bell {
        Bell::of(self.fault.hold())
    }

    /// Notes how long a request was to be held, and how long it really was.
    pub fn note_delay(&self, asked: Option<Duration>, achieved: Duration) {
        self.fault.ledger().note_delay(asked, achieved);
    }

    /// Notes bytes that went through a shaped body, and how long they took.
    pub fn note_bytes(&self, bytes: u64, took: Duration) {
        self.fault.ledger().note_bytes(bytes, took);
    }

    /// Notes that the client left while the fault acted on its request.
    pub fn note_client_gave_up(&self) {
        self.fault.ledger().note_client_gave_up();
    }
}

impl Drop for Fired {
    fn drop(&mut self) {
        self.passes();
    }
}
