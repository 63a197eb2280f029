//! What a service counts about its calls to one upstream.

use brownout_resilience::{Answer, Attempt, Cause, ErrorKind, Observer, Outcome, Rejected, Report};
use brownout_telemetry::{Counter, Histogram, Metrics, names};
use tokio::time::Instant;

use crate::{
    stats::{BreakerStats, OutcomeStats, UpstreamStats},
    tally::Tally,
};

/// Calls and attempts, by all workers.
#[derive(Debug)]
pub(crate) struct UpstreamTally {
    calls: Tally,
    attempts: Tally,
    retries: Tally,
    timeouts: Tally,
    rejected: Counter,
    fallbacks: Tally,
    outcomes: Outcomes,
    latency: Histogram,
    attempt_latency: Histogram,
    failures: Failures,
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
        Self {
            calls: Tally::new(metrics.counter(names::CLIENT_CALLS, tags)),
            attempts: Tally::new(metrics.counter(names::CLIENT_ATTEMPTS, tags)),
            retries: Tally::new(metrics.counter(names::CLIENT_RETRIES, tags)),
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
        }
    }

    pub(crate) fn stats(&self, policy: &str, breaker: Option<BreakerStats>) -> UpstreamStats {
        let outcomes = &self.outcomes;
        UpstreamStats {
            policy: policy.to_owned(),
            calls: self.calls.total(),
            attempts: self.attempts.total(),
            retries: self.retries.total(),
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

/// Watches one call, and counts.
#[derive(Debug)]
pub(crate) struct Watch<'t> {
    tally: &'t UpstreamTally,
    began: Instant,
    attempt_began: Instant,
}

impl<'t> Watch<'t> {
    pub(crate) fn new(tally: &'t UpstreamTally) -> Self {
        tally.calls.count();
        let now = Instant::now();
        Self {
            tally,
            began: now,
            attempt_began: now,
        }
    }
}

impl Observer for Watch<'_> {
    fn attempt_started(&mut self, attempt: Attempt) {
        self.attempt_began = Instant::now();
        self.tally.attempts.count();
        if attempt.number > 1 {
            self.tally.retries.count();
        }
    }

    fn attempt_ended(&mut self, _: Attempt, outcome: Outcome) {
        let latency = self.attempt_began.elapsed();
        self.tally.attempt_latency.record(latency);
        if outcome == Outcome::Error(ErrorKind::Timeout) {
            self.tally.timeouts.count();
        }
    }

    fn rejected(&mut self, _: Rejected) {
        self.tally.rejected.add(1);
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
