//! The breakers before one upstream: one for all workers, or one for each.

use std::sync::{Mutex, PoisonError};

use brownout_resilience::{
    Client, Event, EventKind, EventLog, EventRecord, State,
    policy::{BreakerPolicy, Scope},
};
use brownout_telemetry::{Counter, Gauge, Metrics, names};

use crate::{stats::BreakerStats, tally::Tally};

/// What they do, all together.
#[derive(Debug)]
pub(crate) struct BreakerTally {
    scope: Scope,
    opened: Tally,
    closed: Counter,
    half_open: Counter,
    not_permitted: Tally,
    /// The worst of them: 0 closed, 1 half-open, 2 open.
    state: Gauge,
    /// How many are at each of these. Two threads' events may come in either order, so for a moment one may be below 0.
    levels: Mutex<[i64; 3]>,
    /// The last events of all of them.
    log: EventLog,
}

impl BreakerTally {
    /// For the breakers `name` of so many workers.
    pub(crate) fn new(
        name: &str,
        policy: &BreakerPolicy,
        workers: usize,
        metrics: &Metrics,
    ) -> Self {
        let to = |state: State| {
            metrics.counter(names::CIRCUITBREAKER_TRANSITIONS, &[name, state.as_str()])
        };
        let breakers = match policy.scope {
            Scope::Shared => 1,
            Scope::Worker => workers,
        };
        let mut levels = [0; 3];
        levels[level(policy.initial_state)] = i64::try_from(breakers).unwrap_or(i64::MAX);
        let tally = Self {
            scope: policy.scope,
            opened: Tally::new(to(State::Open)),
            closed: to(State::Closed),
            half_open: to(State::HalfOpen),
            not_permitted: Tally::new(metrics.counter(names::CIRCUITBREAKER_REJECTED, &[name])),
            state: metrics.gauge(names::CIRCUITBREAKER_STATE, &[name]),
            levels: Mutex::new(levels),
            log: EventLog::new(name, policy.event_buffer),
        };
        tally.show();
        tally
    }

    /// Sets the gauge, which several tallies of one name share, to what these breakers are at.
    pub(super) fn show(&self) {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.set(worst(&levels));
    }

    /// With the states of the breakers of all workers' `clients`.
    pub(crate) fn stats(&self, clients: &[Client]) -> BreakerStats {
        let (scope, clients) = match self.scope {
            Scope::Shared => ("shared", &clients[..1]),
            Scope::Worker => ("worker", clients),
        };
        let states = clients.iter().filter_map(Client::breaker);
        BreakerStats {
            scope: scope.to_owned(),
            states: states.map(|it| it.state().to_string()).collect(),
            opened: self.opened.total(),
            not_permitted: self.not_permitted.total(),
        }
    }

    /// Their last events, oldest first.
    pub(super) fn events(&self) -> Vec<EventRecord> {
        self.log.records()
    }

    pub(crate) fn hear(&self, event: &Event) {
        self.log.hear(event);
        match event.kind {
            EventKind::NotPermitted => self.not_permitted.count(),
            EventKind::StateTransition { from, to, .. } => self.went(from, to),
            EventKind::Success(_)
            | EventKind::Error(_)
            | EventKind::IgnoredError(_)
            | EventKind::FailureRateExceeded(_)
            | EventKind::SlowCallRateExceeded(_)
            | EventKind::Reset => {}
        }
    }

    fn went(&self, from: State, to: State) {
        match to {
            State::Open => self.opened.count(),
            State::HalfOpen => self.half_open.add(1),
            State::Closed => self.closed.add(1),
            // Entered by hand only, and nobody here does.
            State::Disabled | State::ForcedOpen | State::MetricsOnly => {}
        }
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels[level(from)] -= 1;
        levels[level(to)] += 1;
        self.state.set(worst(&levels));
    }
}

fn level(state: State) -> usize {
    match state {
        State::Closed | State::Disabled | State::MetricsOnly => 0,
        State::HalfOpen => 1,
        State::Open | State::ForcedOpen => 2,
    }
}

fn worst(levels: &[i64; 3]) -> i64 {
    match *levels {
        [_, _, open] if open > 0 => 2,
        [_, half_open, _] if half_open > 0 => 1,
        _ => 0,
    }
}
