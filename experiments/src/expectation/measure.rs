//! The measures that an expectation may name.

use std::time::Duration;

use super::Unit;
use crate::experiment::Predicate;

/// A measure of a hop.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// Requests without a good answer, of all. On the load: no whole answer, or a status of 400 and above. On a route:
    /// a status of 500 and above, or no answer.
    ErrorRate,
    /// 1 less the error rate.
    SuccessRate,
    /// Whole answers of the load that fit the predicate, of all whole answers.
    FallbackRate(Predicate),
    /// How long whole answers of the load took, from the intended time of sending.
    Latency(Quantile),
    /// The mean of the same; on a route from the head of the request to the end of the answer.
    Mean,
    /// The longest of the load.
    Max,
    /// Requests begun in each second.
    Rate,
    /// Requests begun in the second that had most, moved by steps of 100 ms.
    PeakRate,
    /// How many requests began.
    Requests,
    /// Requests on the route for each page of the load.
    CallsPerPage,
    /// The rate of the route falls below 5 % of the baseline for a second.
    BreakerOpens,
    /// Every page of the load has a whole answer, whatever it says.
    Answered,
    /// Pages of the load that were served: a whole answer of 2xx before the load left.
    Served,
    /// Pages of the load that had no answer when the load left.
    Unfinished,
    /// How long the service of that name worked for nobody after the load had left.
    Tail,
    /// A counter of the callers of this hop, as they tell at `GET /stats`.
    Caller(CallerCounter),
    /// What only single attempts tell.
    Evidence(EvidenceMeasure),
}

/// What services count of their calls to one upstream. All callers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerCounter {
    /// Calls, however many attempts each took.
    Calls,
    /// Requests sent, retries included.
    Attempts,
    /// Attempts that ran out of time.
    Timeouts,
    /// Calls that a circuit breaker refused.
    Rejected,
    /// How often circuit breakers went open.
    BreakersOpened,
}

/// A measure of single attempts: forensics, from the proxy's journal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EvidenceMeasure {
    /// How long attempts on the route took.
    AttemptLatency(Quantile),
    /// Attempts for each logical request that reached the route.
    Amplification,
    /// Retries that came no earlier than `Retry-After` told, of those that were told.
    RetryAfterHonoured,
    /// The form of the waits between attempts.
    Backoff,
    /// A quantile of the waits from the end of an attempt to the start of the next.
    RetryGap(Quantile),
    /// The middle spread of those waits, as a share of their median.
    RetrySpread,
    /// The time after which the client itself ended attempts: the median.
    ClientTimeout,
    /// Attempts of the phase that were open for longer than that.
    OpenAfter(Duration),
    /// Connections that carried another attempt after one that failed.
    ReusedAfterError,
    /// Most starts within 150 ms after a silence of 0.4 s or longer.
    BurstAfterSilence,
    /// From a caller's leaving to the last attempt that began for it.
    LastStartAfterLeave,
}

/// A quantile as its share, such as 0.99.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile(pub f64);

/// A counter of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCounter {
    /// Requests that it acted on.
    Injected,
    /// Requests that fitted its `match`.
    Matched,
    /// Clients that left while it acted on their request.
    ClientGaveUp,
}

/// Where a measure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The load's own requests.
    Load,
    /// Counters of a route.
    Route,
}

/// Every measure by its name, for messages.
pub(super) const NAMES: [&str; 34] = [
    "error_rate",
    "success_rate",
    "fallback_rate",
    "p50",
    "p90",
    "p95",
    "p99",
    "p99.9",
    "mean",
    "max",
    "rate",
    "peak_rate",
    "requests",
    "calls_per_page",
    "breaker_opens",
    "answered",
    "served",
    "unfinished",
    "tail",
    "calls",
    "attempts",
    "timeouts",
    "rejected",
    "breakers_opened",
    "amplification",
    "retry_after_honoured",
    "backoff",
    "retry_gap.p50",
    "retry_gap.spread",
    "attempt.client_timeout",
    "open_after",
    "connections_reused_after_error",
    "burst_after_silence",
    "last_start_after_leave",
];

impl Quantile {
    fn named(word: &str) -> Option<Self> {
        let percent: f64 = word.strip_prefix('p')?.parse().ok()?;
        // To a thousandth of a percent, so that p99.9 is 0.999 and not a little more.
        let share = (percent * 1_000.0).round() / 100_000.0;
        (1.0..100.0).contains(&percent).then_some(Self(share))
    }
}

/// What stands in brackets behind a measure's name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Argument {
    Predicate(Predicate),
    Duration(Duration),
}

/// What a measure takes in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Predicate,
    Duration,
}

/// What `name` takes in brackets, whether or not there is such a measure.
pub(super) fn takes(name: &str) -> Takes {
    match name {
        "fallback_rate" => Takes::Predicate,
        "open_after" => Takes::Duration,
        _ => Takes::Nothing,
    }
}

impl Measure {
    /// The measure `name` on a hop of this source; `None` if there is none of that name, or its argument is missing.
    pub(super) fn named(name: &str, argument: Option<Argument>, source: Source) -> Option<Self> {
        use EvidenceMeasure as E;
        Some(match name {
            "error_rate" => Self::ErrorRate,
            "success_rate" => Self::SuccessRate,
            "fallback_rate" => match argument {
                Some(Argument::Predicate(predicate)) => Self::FallbackRate(predicate),
                Some(Argument::Duration(_)) | None => return None,
            },
            "mean" => Self::Mean,
            "max" => match source {
                Source::Load => Self::Max,
                Source::Route => Self::Evidence(E::AttemptLatency(Quantile(1.0))),
            },
            "rate" => Self::Rate,
            "peak_rate" => Self::PeakRate,
            "requests" => Self::Requests,
            "calls_per_page" => Self::CallsPerPage,
            "breaker_opens" => Self::BreakerOpens,
            "answered" => Self::Answered,
            "served" => Self::Served,
            "unfinished" => Self::Unfinished,
            "tail" => Self::Tail,
            "calls" => Self::Caller(CallerCounter::Calls),
            "attempts" => Self::Caller(CallerCounter::Attempts),
            "timeouts" => Self::Caller(CallerCounter::Timeouts),
            "rejected" => Self::Caller(CallerCounter::Rejected),
            "breakers_opened" => Self::Caller(CallerCounter::BreakersOpened),
            "amplification" => Self::Evidence(E::Amplification),
            "retry_after_honoured" => Self::Evidence(E::RetryAfterHonoured),
            "backoff" => Self::Evidence(E::Backoff),
            "retry_gap.spread" => Self::Evidence(E::RetrySpread),
            "attempt.client_timeout" => Self::Evidence(E::ClientTimeout),
            "open_after" => match argument {
                Some(Argument::Duration(after)) => Self::Evidence(E::OpenAfter(after)),
                Some(Argument::Predicate(_)) | None => return None,
            },
            "connections_reused_after_error" => Self::Evidence(E::ReusedAfterError),
            "burst_after_silence" => Self::Evidence(E::BurstAfterSilence),
            "last_start_after_leave" => Self::Evidence(E::LastStartAfterLeave),
            other => match other.strip_prefix("retry_gap.") {
                Some(word) => Self::Evidence(E::RetryGap(Quantile::named(word)?)),
                None => match (Quantile::named(other)?, source) {
                    (quantile, Source::Load) => Self::Latency(quantile),
                    (quantile, Source::Route) => Self::Evidence(E::AttemptLatency(quantile)),
                },
            },
        })
    }

    /// The unit in which it is written.
    #[must_use]
    pub fn unit(&self) -> Unit {
        use EvidenceMeasure as E;
        match self {
            Self::ErrorRate | Self::SuccessRate | Self::FallbackRate(_) => Unit::Share,
            Self::Latency(_)
            | Self::Mean
            | Self::Max
            | Self::BreakerOpens
            | Self::Answered
            | Self::Tail => Unit::Time,
            Self::Rate | Self::PeakRate => Unit::Rate,
            Self::Requests
            | Self::CallsPerPage
            | Self::Served
            | Self::Unfinished
            | Self::Caller(_) => Unit::Count,
            Self::Evidence(evidence) => match evidence {
                E::AttemptLatency(_)
                | E::RetryGap(_)
                | E::ClientTimeout
                | E::LastStartAfterLeave => Unit::Time,
                E::RetryAfterHonoured | E::RetrySpread => Unit::Share,
                E::Amplification
                | E::Backoff
                | E::OpenAfter(_)
                | E::ReusedAfterError
                | E::BurstAfterSilence => Unit::Count,
            },
        }
    }

    /// Why a hop of this source has no such measure.
    pub(super) fn missing_on(&self, source: Source) -> Option<&'static str> {
        match (self, source) {
            (
                Self::FallbackRate(_)
                | Self::Answered
                | Self::Latency(_)
                | Self::Max
                | Self::Served
                | Self::Unfinished,
                Source::Route,
            ) => Some("is known of the load's own requests alone"),
            (
                Self::CallsPerPage
                | Self::BreakerOpens
                | Self::Evidence(_)
                | Self::Tail
                | Self::Caller(_),
                Source::Load,
            ) => Some("is known of routes alone"),
            _ => None,
        }
    }

    /// Whether it is an event, which has `within` and no comparison.
    pub(super) fn is_event(&self) -> bool {
        matches!(self, Self::BreakerOpens | Self::Answered)
    }
}

impl FaultCounter {
    pub(super) const NAMES: [&'static str; 3] = ["injected", "matched", "client_gave_up"];

    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "injected" => Self::Injected,
            "matched" => Self::Matched,
            "client_gave_up" => Self::ClientGaveUp,
            _ => return None,
        })
    }
}
