//! The breaker's rules, without lock and clock: every step is given the time.
//!
//! The rules are those of resilience4j, with its known oddities mended. The mending rests on one idea, the
//! *generation*: each fresh window starts one, each ticket carries the one it was admitted in, and an outcome counts
//! only where the two agree. An open breaker keeps the window that tripped, so a late outcome still shows there; it
//! never decides a later half-open or closed state.

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    Metrics, Rejected, TransitionRefused,
    event::{Event, EventKind, State, Verdict},
    window::{Finished, Rates, Window},
};
use crate::policy::{BreakerPolicy, WindowKind};

/// What one step has to tell the listener; few enough to stay off the heap.
pub(super) type Events = SmallVec<[Event; 4]>;

/// Timed transitions run one by one at most; a breaker that was left alone for longer skips whole cycles.
const TURNS_MAX: u32 = 64;

/// The right to make one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    pub(super) generation: u64,
    admitted: Instant,
}

#[derive(Debug)]
pub(super) struct Machine {
    policy: BreakerPolicy,
    seed: u64,
    /// Whole seconds of time windows are counted from here.
    epoch: Instant,
    phase: Phase,
    /// How often the breaker opened since it was last closed.
    openings: u32,
    window: Window,
    generation: u64,
    not_permitted: u64,
}

/// The state, with what only that state knows.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        permits: u32,
        until: Option<Instant>,
    },
    Disabled,
    ForcedOpen,
    MetricsOnly {
        failure_told: bool,
        slow_told: bool,
    },
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Self::Closed => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen { .. } => State::HalfOpen,
            Self::Disabled => State::Disabled,
            Self::ForcedOpen => State::ForcedOpen,
            Self::MetricsOnly { .. } => State::MetricsOnly,
        }
    }
}

impl Machine {
    pub(super) fn new(policy: BreakerPolicy, seed: u64, epoch: Instant, now: Instant) -> Self {
        let initial = policy.initial_state;
        let mut machine = Self {
            window: Window::of_calls(1, 1),
            policy,
            seed,
            epoch,
            phase: Phase::Closed,
            openings: u32::from(initial == State::HalfOpen),
            generation: 0,
            not_permitted: 0,
        };
        machine.window = machine.fresh_window(initial, now);
        machine.phase = machine.begin(initial, now);
        machine
    }

    pub(super) fn state(&self) -> State {
        self.phase.state()
    }

    /// Runs the timers that are due: the automatic transition to half-open, and the longest stay there.
    pub(super) fn sync(&mut self, now: Instant, events: &mut Events) {
        let mut turns = 0;
        while let Some((due, to)) = self.timer().filter(|(due, _)| *due <= now) {
            self.go_to(to, due, events);
            turns += 1;
            if turns >= TURNS_MAX {
                self.skip_cycles(now);
            }
        }
    }

    pub(super) fn try_acquire(
        &mut self,
        now: Instant,
        events: &mut Events,
    ) -> Result<Ticket, Rejected> {
        self.sync(now, events);
        if let Phase::Open { until } = self.phase
            && now > until
        {
            self.go_to(State::HalfOpen, now, events);
        }
        let admitted = match &mut self.phase {
            Phase::Closed | Phase::Disabled | Phase::MetricsOnly { .. } => true,
            Phase::Open { .. } | Phase::ForcedOpen | Phase::HalfOpen { permits: 0, .. } => false,
            Phase::HalfOpen { permits, .. } => {
                *permits -= 1;
                true
            }
        };
        if admitted {
            return Ok(Ticket {
                generation: self.generation,
                admitted: now,
            });
        }
        self.not_permitted += 1;
        events.push(Event {
            at: now,
            kind: EventKind::NotPermitted,
        });
        Err(Rejected {
            state: self.state(),
        })
    }

    pub(super) fn record(
        &mut self,
        now: Instant,
        ticket: Ticket,
        verdict: Verdict,
        events: &mut Events,
    ) {
        self.sync(now, events);
        let took = now.saturating_duration_since(ticket.admitted);
        if !matches!(self.phase, Phase::Disabled | Phase::ForcedOpen) {
            let kind = match verdict {
                Verdict::Success => EventKind::Success(took),
                Verdict::Failure => EventKind::Error(took),
                Verdict::Ignored => EventKind::IgnoredError(took),
            };
            events.push(Event { at: now, kind });
        }
        let failed = match verdict {
            Verdict::Ignored => return self.release(ticket),
            Verdict::Success => false,
            Verdict::Failure => true,
        };
        if ticket.generation != self.generation || matches!(self.phase, Phase::Disabled) {
            return;
        }
        let slow = took > self.policy.slow_call_duration;
        let second = self.second(now);
        self.window.record(second, Finished { failed, slow });
        if let Some(rates) = self.window.rates() {
            self.judge(rates, now, events);
        }
    }

    /// Records, then opens until the given moment if the call was admitted in the present closed or half-open state.
    /// What the rates decided on the way is replaced: the moment is what the dependency itself asked for.
    pub(super) fn record_and_open(
        &mut self,
        now: Instant,
        ticket: Ticket,
        verdict: Verdict,
        until: Instant,
        events: &mut Events,
    ) {
        self.sync(now, events);
        let admits = matches!(self.phase, Phase::Closed | Phase::HalfOpen { .. });
        let current = admits && ticket.generation == self.generation;
        self.record(now, ticket, verdict, events);
        match &mut self.phase {
            Phase::Open { until: planned } if current => *planned = until,
            Phase::Closed | Phase::HalfOpen { .. } if current => {
                self.enter(Phase::Open { until }, now, events);
            }
            Phase::Closed
            | Phase::Open { .. }
            | Phase::HalfOpen { .. }
            | Phase::Disabled
            | Phase::ForcedOpen
            | Phase::MetricsOnly { .. } => {}
        }
    }

    /// Takes back a ticket whose call came to no outcome.
    pub(super) fn release(&mut self, ticket: Ticket) {
        if let Phase::HalfOpen { permits, .. } = &mut self.phase
            && ticket.generation == self.generation
        {
            *permits = (*permits + 1).min(self.policy.probes);
        }
    }

    pub(super) fn transition_to(
        &mut self,
        to: State,
        now: Instant,
        events: &mut Events,
    ) -> Result<(), TransitionRefused> {
        self.sync(now, events);
        self.check(to)?;
        self.go_to(to, now, events);
        Ok(())
    }

    /// Opens until the given moment instead of for the configured wait; the openings are not counted up.
    pub(super) fn open_until(
        &mut self,
        until: Instant,
        now: Instant,
        events: &mut Events,
    ) -> Result<(), TransitionRefused> {
        self.sync(now, events);
        self.check(State::Open)?;
        self.enter(Phase::Open { until }, now, events);
        Ok(())
    }

    pub(super) fn reset(&mut self, now: Instant, events: &mut Events) {
        self.sync(now, events);
        self.go_to(State::Closed, now, events);
        events.push(Event {
            at: now,
            kind: EventKind::Reset,
        });
    }

    pub(super) fn metrics(&mut self, now: Instant, events: &mut Events) -> Metrics {
        self.sync(now, events);
        let second = self.second(now);
        self.window.slide_to(second);
        let totals = self.window.totals();
        let rates = self.window.rates();
        Metrics {
            state: self.state(),
            failure_rate: rates.map(|rates| rates.failure),
            slow_call_rate: rates.map(|rates| rates.slow),
            buffered_calls: totals.calls,
            failed_calls: totals.failed,
            slow_calls: totals.slow,
            slow_failed_calls: totals.slow_failed,
            not_permitted_calls: self.not_permitted,
        }
    }

    /// Draws the consequence of the rates just reached.
    fn judge(&mut self, rates: Rates, now: Instant, events: &mut Events) {
        let failing = rates.failure >= self.policy.failure_rate;
        let slow = rates.slow >= self.policy.slow_call_rate;
        let mut tell = |kind| events.push(Event { at: now, kind });
        let next = match &mut self.phase {
            Phase::Closed => {
                if failing {
                    tell(EventKind::FailureRateExceeded(rates.failure));
                }
                if slow {
                    tell(EventKind::SlowCallRateExceeded(rates.slow));
                }
                (failing || slow).then_some(State::Open)
            }
            Phase::HalfOpen { .. } if failing || slow => Some(State::Open),
            Phase::HalfOpen { .. } => Some(State::Closed),
            Phase::MetricsOnly {
                failure_told,
                slow_told,
            } => {
                if failing && !*failure_told {
                    *failure_told = true;
                    tell(EventKind::FailureRateExceeded(rates.failure));
                }
                if slow && !*slow_told {
                    *slow_told = true;
                    tell(EventKind::SlowCallRateExceeded(rates.slow));
                }
                None
            }
            Phase::Open { .. } | Phase::Disabled | Phase::ForcedOpen => None,
        };
        if let Some(next) = next {
            self.go_to(next, now, events);
        }
    }

    /// When the present state ends by itself, and what follows.
    fn timer(&self) -> Option<(Instant, State)> {
        match self.phase {
            Phase::Open { until } if self.policy.automatic_transition => {
                Some((until, State::HalfOpen))
            }
            Phase::HalfOpen {
                until: Some(until), ..
            } => Some((until, self.policy.after_max_wait.state())),
            Phase::Open { .. }
            | Phase::HalfOpen { until: None, .. }
            | Phase::Closed
            | Phase::Disabled
            | Phase::ForcedOpen
            | Phase::MetricsOnly { .. } => None,
        }
    }

    /// Moves an open breaker on by whole rounds of open and half-open, as long as the present round.
    fn skip_cycles(&mut self, now: Instant) {
        if let (Phase::Open { until }, Some(stay)) =
            (&mut self.phase, self.policy.max_wait_in_half_open)
        {
            let round = self.policy.wait_before(self.openings, self.seed) + stay;
            let rounds = now.saturating_duration_since(*until).as_nanos() / round.as_nanos();
            let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
            *until += round * rounds;
            self.openings = self.openings.saturating_add(rounds);
        }
    }

    /// The first moment of a state; counts the openings.
    fn begin(&mut self, state: State, at: Instant) -> Phase {
        match state {
            State::Closed | State::Disabled | State::MetricsOnly => self.openings = 0,
            State::Open | State::ForcedOpen => self.openings = self.openings.saturating_add(1),
            State::HalfOpen => {}
        }
        match state {
            State::Closed => Phase::Closed,
            State::Open => Phase::Open {
                until: at + self.policy.wait_before(self.openings, self.seed),
            },
            State::HalfOpen => Phase::HalfOpen {
                permits: self.policy.probes,
                until: self.policy.max_wait_in_half_open.map(|stay| at + stay),
            },
            State::Disabled => Phase::Disabled,
            State::ForcedOpen => Phase::ForcedOpen,
            State::MetricsOnly => Phase::MetricsOnly {
                failure_told: false,
                slow_told: false,
            },
        }
    }

    fn go_to(&mut self, state: State, at: Instant, events: &mut Events) {
        let phase = self.begin(state, at);
        self.enter(phase, at, events);
    }

    fn enter(&mut self, phase: Phase, at: Instant, events: &mut Events) {
        let (from, to) = (self.state(), phase.state());
        let rates = self.window.rates();
        if to != State::Open {
            self.window = self.fresh_window(to, at);
            self.generation += 1;
        }
        self.not_permitted = 0;
        self.phase = phase;
        if from != to {
            events.push(Event {
                at,
                kind: EventKind::StateTransition {
                    from,
                    to,
                    failure_rate: rates.map(|rates| rates.failure),
                    slow_call_rate: rates.map(|rates| rates.slow),
                },
            });
        }
    }

    /// A half-open breaker counts its probes, whatever the configured kind.
    fn fresh_window(&self, state: State, at: Instant) -> Window {
        let policy = &self.policy;
        match (state, policy.window) {
            (State::HalfOpen, _) => {
                Window::of_calls(policy.probes, policy.minimum_calls.min(policy.probes))
            }
            (_, WindowKind::Count) => Window::of_calls(policy.size, policy.minimum_calls),
            (_, WindowKind::Time) => {
                Window::of_seconds(policy.size, policy.minimum_calls, self.second(at))
            }
        }
    }

    fn check(&self, to: State) -> Result<(), TransitionRefused> {
        let from = self.state();
        match (from, to) {
            (State::Closed, State::HalfOpen)
            | (State::MetricsOnly, State::Open | State::HalfOpen) => {
                Err(TransitionRefused { from, to })
            }
            _ => Ok(()),
        }
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs()
    }
}
