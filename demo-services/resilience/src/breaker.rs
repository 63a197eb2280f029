//! The circuit breaker: stops calling a dependency that fails, and finds out when it works again.
//!
//! The semantics are resilience4j's, checked with test vectors that pass on the real library; where ours
//! differ, it mends a race (see [`Breaker`]).

mod event;
mod log;
mod machine;
#[cfg(test)]
mod stress;
mod window;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::time::Instant;

use self::machine::{Events, Machine, Ticket};
pub use self::{
    event::{Event, EventKind, Listener, State, Verdict},
    log::{EventLog, EventRecord},
};
use crate::{
    backoff::WAIT_MAX,
    chance,
    policy::{BreakerPolicy, InvalidPolicy},
};

/// A circuit breaker, to be shared behind an `Arc` by all who call one dependency.
///
/// Ask for a [`Permit`] before each call and record the outcome in it. The breaker reads tokio's clock
/// (monotonic; pausable in tests) and needs no task and no timer: timed transitions happen when it is next
/// asked for anything, with the result they would have had on time. One `std` mutex guards it, never held
/// across an await; admission and outcome together take well under a microsecond and allocate nothing.
///
/// Differences from resilience4j: an outcome that arrives late, after the state it was admitted in has gone,
/// is shown in the window an open breaker keeps but never decides a half-open or closed one; permits given
/// back never exceed the permitted number of probes; calls refused while forced open are published.
pub struct Breaker {
    name: Box<str>,
    policy: BreakerPolicy,
    machine: Mutex<Machine>,
    listener: Option<Listener>,
}

impl Breaker {
    /// A breaker in its policy's initial state.
    ///
    /// # Errors
    /// When a value of the policy is out of range.
    pub fn new(name: &str, policy: &BreakerPolicy, setup: Setup) -> Result<Self, InvalidPolicy> {
        policy.check(name)?;
        Ok(Self::checked(name, policy, setup))
    }

    /// A breaker whose policy was checked before.
    pub(crate) fn checked(name: &str, policy: &BreakerPolicy, setup: Setup) -> Self {
        let now = Instant::now();
        let seed = chance::seed_for(setup.seed, name);
        let machine = Machine::new(policy.clone(), seed, setup.epoch.unwrap_or(now), now);
        Self {
            name: name.into(),
            policy: policy.clone(),
            machine: Mutex::new(machine),
            listener: setup.listener,
        }
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The policy it works by.
    #[must_use]
    pub fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    /// The present state.
    pub fn state(&self) -> State {
        self.step(|machine, now, events| {
            machine.sync(now, events);
            machine.state()
        })
    }

    /// The present state and what the window holds, as of now.
    pub fn metrics(&self) -> Metrics {
        self.step(Machine::metrics)
    }

    /// Asks to make one call. An open breaker whose wait is over goes half-open by this.
    ///
    /// # Errors
    /// When the breaker is open or forced open, or half-open with all its probes taken.
    pub fn try_acquire(&self) -> Result<Permit<'_>, Rejected> {
        let (ticket, state) = self.step(|machine, now, events| {
            let ticket = machine.try_acquire(now, events)?;
            Ok((ticket, machine.state()))
        })?;
        Ok(Permit {
            breaker: self,
            ticket: Some(ticket),
            state,
        })
    }

    /// Brings the breaker into a state by hand. To the present state is allowed: it begins anew, with no event.
    ///
    /// # Errors
    /// From closed to half-open, and from metrics-only to open or half-open.
    pub fn transition_to(&self, state: State) -> Result<(), TransitionRefused> {
        self.step(|machine, now, events| machine.transition_to(state, now, events))
    }

    /// Opens the breaker for `wait` instead of its configured wait: what a `Retry-After` asks for, for instance.
    ///
    /// # Errors
    /// When the breaker only collects metrics.
    pub fn open_for(&self, wait: Duration) -> Result<(), TransitionRefused> {
        let wait = wait.min(WAIT_MAX);
        self.step(|machine, now, events| machine.open_until(now + wait, now, events))
    }

    /// Closes the breaker and forgets all it has counted.
    pub fn reset(&self) {
        self.step(Machine::reset);
    }

    /// Takes one step under the lock, then tells the listener what happened.
    fn step<R>(&self, act: impl FnOnce(&mut Machine, Instant, &mut Events) -> R) -> R {
        let mut events = Events::new();
        let result = {
            // The machine is never left half changed, so a panic elsewhere is no reason to stop.
            let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
            // Read under the lock, so that time never runs backwards for the machine.
            act(&mut machine, Instant::now(), &mut events)
        };
        if let Some(listener) = &self.listener {
            events.iter().for_each(|event| listener(event));
        }
        result
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("name", &self.name)
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

/// The right to make one call, to be given back with the outcome.
///
/// Dropped without an outcome, as when the call is cancelled, it counts as nothing and frees its place
/// among the probes.
#[derive(Debug)]
#[must_use = "dropping a permit gives it back: hold it while the call runs"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    ticket: Option<Ticket>,
    state: State,
}

impl Permit<'_> {
    /// The state in which the call was admitted; half-open means that it is a probe.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Gives the permit back with the call's outcome. How long the call took is measured from its admission.
    pub fn record(mut self, verdict: Verdict) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker
                .step(|machine, now, events| machine.record(now, ticket, verdict, events));
        }
    }

    /// As [`record`](Self::record), and then opens the breaker for `wait`, whatever the rates say: what an answer with
    /// `Retry-After` asks for. resilience4j's `transitionOnResult`; unlike there, a failure does it as well.
    ///
    /// A late outcome, and one in a state that is left by hand only, is recorded and opens nothing.
    pub fn record_and_open(mut self, verdict: Verdict, wait: Duration) {
        if let Some(ticket) = self.ticket.take() {
            let wait = wait.min(WAIT_MAX);
            self.breaker.step(|machine, now, events| {
                machine.record_and_open(now, ticket, verdict, now + wait, events);
            });
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.step(|machine, _, _| machine.release(ticket));
        }
    }
}

/// What a breaker or client needs besides its policy.
#[derive(Clone, Default)]
pub struct Setup {
    /// Where all chance comes from: the jitter of back-off and of the wait in open.
    pub seed: u64,
    /// From when the whole seconds of time windows are counted; by default from the making of the breaker.
    /// Breakers with one epoch let go of old calls together.
    pub epoch: Option<Instant>,
    /// Who hears the breaker's events.
    pub listener: Option<Listener>,
}

impl Setup {
    /// A setup with this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// The same setup with a listener for the breaker's events.
    #[must_use]
    pub fn listening(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("seed", &self.seed)
            .field("epoch", &self.epoch)
            .field("listener", &self.listener.is_some())
            .finish()
    }
}

/// A breaker at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// The state.
    pub state: State,
    /// Failed calls in the window, in percent; none while it holds fewer calls than the minimum.
    pub failure_rate: Option<f32>,
    /// Slow calls in the window, in percent; none while it holds fewer calls than the minimum.
    pub slow_call_rate: Option<f32>,
    /// Calls in the window.
    pub buffered_calls: u32,
    /// Failed calls in the window, slow or not.
    pub failed_calls: u32,
    /// Slow calls in the window, failed or not.
    pub slow_calls: u32,
    /// Calls in the window that were slow and failed.
    pub slow_failed_calls: u32,
    /// Calls refused since the present state began.
    pub not_permitted_calls: u64,
}

/// The breaker did not admit the call: nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the circuit breaker is {state}")]
pub struct Rejected {
    /// The state that refused it.
    pub state: State,
}

/// There is no such transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a breaker does not go from {from} to {to}")]
pub struct TransitionRefused {
    /// The present state.
    pub from: State,
    /// The state that was asked for.
    pub to: State,
}
