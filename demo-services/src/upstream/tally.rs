//! What a service counts about its calls to one upstream.

use brownout_resilience::{
    Answer, Attempt, Cause, Client, ErrorKind, Guard, Observer, Outcome, Policy, Rejected, Report,
};
use brownout_telemetry::{Counter, Gauge, Histogram, Metrics, names};
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::{
    stats::{BreakerStats, OutcomeStats, RefusalStats, UpstreamStats},
    tally::Tally,
};

/// Calls and attempts, by all workers.
#[derive(Debug)]
pub(crate) struct UpstreamTally {
    calls: Tally,
    attempts: Tally,
    retries: Tally,
    budget_exhausted: Tally,
    hedges: Tally,
    refused: Refusals,
    timeouts: Tally,
    rejected: Counter,
    fallbacks: Tally,
    outcomes: Outcomes,
    latency: Histogram,
    attempt_latency: Histogram,
    failures: Failures,
    in_flight: Gauge,
    bulkhead_free: Gauge,
}

/// Calls that a guard other than the breaker refused.
#[derive(Debug)]
struct Refusals {
    rate_limit: Tally,
    bulkhead: Tally,
    adaptive: Tally,
}

#[derive(Debug)]
struct Outcomes {
    ok: Tally,
    retried_ok: Tally,
    fallback: Tally,
    failed: Tally,
    rejected: Tally,
}

/// Why calls failed, by the names of the original. Each failed call counts once, also if a fallback answered.
#[derive(Debug)]
struct Failures {
    connection_error: Counter,
    timeout: Counter,
    error: Counter,
    breaker_open: Counter,
}

impl UpstreamTally {
    /// For the calls of `client` to `upstream`, whose resource is at `path`.
    pub(crate) fn new(client: &str, upstream: &str, path: &str, metrics: &Metrics) -> Self {
        let tags = &[client, upstream];
        let outcome = |answer: Answer| {
            let tags = &[tags[0], tags[1], answer.as_str()];
            Tally::new(metrics.counter(names::CLIENT_OUTCOME, tags))
        };
        let refused = |guard: Guard| {
            let tags = &[tags[0], tags[1], guard.as_str()];
            Tally::new(metrics.counter(names::CLIENT_REFUSED, tags))
        };
        Self {
            calls: Tally::new(metrics.counter(names::CLIENT_CALLS, tags)),
            attempts: Tally::new(metrics.counter(names::CLIENT_ATTEMPTS, tags)),
            retries: Tally::new(metrics.counter(names::CLIENT_RETRIES, tags)),
            budget_exhausted: Tally::new(
                metrics.counter(names::CLIENT_RETRY_BUDGET_EXHAUSTED, tags),
            ),
            hedges: Tally::new(metrics.counter(names::CLIENT_HEDGES, tags)),
            refused: Refusals {
                rate_limit: refused(Guard::RateLimit),
                bulkhead: refused(Guard::Bulkhead),
                adaptive: refused(Guard::Adaptive),
            },
            timeouts: Tally::new(metrics.counter(names::CLIENT_TIMEOUTS, tags)),
            rejected: Counter::default(),
            fallbacks: Tally::new(metrics.counter(names::CLIENT_FALLBACKS, tags)),
            outcomes: Outcomes {
                ok: outcome(Answer::Ok),
                retried_ok: outcome(Answer::RetriedOk),
                fallback: outcome(Answer::Fallback),
                failed: outcome(Answer::Failed),
                rejected: outcome(Answer::Rejected),
            },
            latency: metrics.histogram(names::CLIENT_LATENCY, tags),
            attempt_latency: metrics.histogram(names::CLIENT_ATTEMPT_LATENCY, tags),
            failures: Failures {
                connection_error: metrics.counter_named(format!("{path}.connection_error")),
                timeout: metrics.counter_named(format!("{path}.timeout")),
                error: metrics.counter_named(format!("{path}.error")),
                breaker_open: metrics.counter_named(format!("circuitbreaker.{path}_breaker_open")),
            },
            in_flight: metrics.gauge(names::CLIENT_IN_FLIGHT, tags),
            bulkhead_free: metrics.gauge(names::CLIENT_BULKHEAD_FREE, tags),
        }
    }

    pub(crate) fn stats(&self, policy: &Policy, breaker: Option<BreakerStats>) -> UpstreamStats {
        let (outcomes, refused) = (&self.outcomes, &self.refused);
        UpstreamStats {
            policy: policy.name.clone(),
            calls: self.calls.total(),
            attempts: self.attempts.total(),
            retries: self.retries.total(),
            retry_budget_exhausted: self.budget_exhausted.total(),
            hedges: self.hedges.total(),
            refused: RefusalStats {
                rate_limited: refused.rate_limit.total(),
                bulkhead_full: refused.bulkhead.total(),
                load_shed: refused.adaptive.total(),
            },
            timeouts: self.timeouts.total(),
            rejected: self.rejected.total(),
            fallbacks: self.fallbacks.total(),
            outcomes: OutcomeStats {
                ok: outcomes.ok.total(),
                retried_ok: outcomes.retried_ok.total(),
                fallback: outcomes.fallback.total(),
                failed: outcomes.failed.total(),
                rejected: outcomes.rejected.total(),
            },
            breaker,
        }
    }
}

impl Outcomes {
    fn of(&self, answer: Answer) -> &Tally {
        match answer {
            Answer::Ok => &self.ok,
            Answer::RetriedOk => &self.retried_ok,
            Answer::Fallback => &self.fallback,
            Answer::Failed => &self.failed,
            Answer::Rejected => &self.rejected,
        }
    }
}

impl Failures {
    fn of(&self, cause: Cause) -> &Counter {
        match cause {
            Cause::Rejected => &self.breaker_open,
            Cause::Refused(_) => &self.error,
            Cause::Outcome(Outcome::Error(kind)) => match kind {
                ErrorKind::Connect | ErrorKind::Reset => &self.connection_error,
                ErrorKind::Timeout => &self.timeout,
                ErrorKind::Incomplete | ErrorKind::Protocol | ErrorKind::Other => &self.error,
            },
            Cause::Outcome(Outcome::Success | Outcome::Ignored | Outcome::Status(_)) => &self.error,
        }
    }
}

/// Watches one call, and counts. Dropped before the call has ended, it no longer counts as under way.
#[derive(Debug)]
pub(crate) struct Watch<'t> {
    tally: &'t UpstreamTally,
    client: &'t Client,
    began: Instant,
    /// When the present attempt's requests were sent, by the number of the hedge.
    sent: SmallVec<[Instant; 2]>,
}

impl<'t> Watch<'t> {
    pub(crate) fn new(tally: &'t UpstreamTally, client: &'t Client) -> Self {
        tally.calls.count();
        tally.in_flight.add(1);
        Self {
            tally,
            client,
            began: Instant::now(),
            sent: SmallVec::new(),
        }
    }

    fn show_room(&self) {
        if let Some(free) = self.client.levels().bulkhead_free {
            self.tally.bulkhead_free.set(free.into());
        }
    }
}

impl Observer for Watch<'_> {
    fn attempt_started(&mut self, attempt: Attempt) {
        if attempt.hedge > 0 {
            self.tally.hedges.count();
        } else {
            self.sent.clear();
            if attempt.number > 1 {
                self.tally.retries.count();
            }
        }
        self.sent.push(Instant::now());
        self.tally.attempts.count();
        self.show_room();
    }

    fn attempt_ended(&mut self, attempt: Attempt, outcome: Outcome) {
        if let Some(sent) = self.sent.get(attempt.hedge as usize) {
            self.tally.attempt_latency.record(sent.elapsed());
        }
        if outcome == Outcome::Error(ErrorKind::Timeout) {
            self.tally.timeouts.count();
        }
    }

    fn rejected(&mut self, _: Rejected) {
        self.tally.rejected.add(1);
    }

    fn refused(&mut self, guard: Guard) {
        let refused = &self.tally.refused;
        match guard {
            Guard::RateLimit => refused.rate_limit.count(),
            Guard::Bulkhead => refused.bulkhead.count(),
            Guard::Adaptive => refused.adaptive.count(),
        }
        self.show_room();
    }

    fn retry_budget_exhausted(&mut self) {
        self.tally.budget_exhausted.count();
    }

    fn fell_back(&mut self, _: Cause) {
        self.tally.fallbacks.count();
    }

    fn ended(&mut self, report: &Report) {
        self.tally.latency.record(self.began.elapsed());
        self.tally.outcomes.of(report.answer).count();
        if let Some(cause) = report.cause {
            self.tally.failures.of(cause).add(1);
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.tally.in_flight.sub(1);
        self.show_room();
    }
}
