//! What happens during a run, told in order.

use brownout_wire::{CountersAnswer, MagnitudeAnswer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Account, Verdict};

/// What happens during a run. Times are in ms since the run began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It begins: the first event.
    RunStarted(RunStarted),
    /// A phase begins: its faults are armed.
    PhaseStarted {
        /// Its name.
        phase: String,
        /// What it is for.
        kind: PhaseKind,
        /// When.
        at_ms: u64,
    },
    /// A fault is armed.
    FaultArmed {
        /// Its id.
        id: String,
        /// For which phase.
        phase: String,
        /// What it does and where, in words.
        what: String,
        /// As it was sent.
        body: Value,
        /// When.
        at_ms: u64,
    },
    /// A fault was seen to have struck for the first time; looked at every 200 ms.
    FaultStruck {
        /// Its id.
        id: String,
        /// In which phase.
        phase: String,
        /// When it was seen.
        at_ms: u64,
    },
    /// What ended on one hop within one second.
    Second(SecondOfHop),
    /// The seconds of a route counted anew, from single calls: they stand for those that were told before.
    Recounted {
        /// The route.
        hop: String,
        /// All its seconds.
        seconds: Vec<SecondOfHop>,
    },
    /// A fault is removed.
    FaultRemoved(FaultTruth),
    /// A phase is over, and everything that began in it has ended.
    PhaseEnded {
        /// Its name.
        phase: String,
        /// When its time was over.
        at_ms: u64,
        /// What was measured.
        hops: Vec<HopSummary>,
        /// What services counted of their calls.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        callers: Vec<CallerRecord>,
        /// What went on after the load had left; none where it did not leave.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tail: Option<TailRecord>,
    },
    /// The load has left; a service works on for nobody. Told every second.
    Tail {
        /// In which phase.
        phase: String,
        /// Requests that wait for a worker of the service, or that a worker has.
        waiting: u64,
        /// When.
        at_ms: u64,
    },
    /// An expectation is judged.
    Judged(Judgement),
    /// A page that is worth a look.
    Exemplar(Exemplar),
    /// What happened, put together from pages and single calls.
    Account(Account),
    /// Something about the run itself that a reader should know.
    Note {
        /// In words.
        text: String,
    },
    /// A guard has stopped the run.
    GuardTripped {
        /// The guard, as written.
        guard: String,
        /// What was measured.
        observed: String,
        /// When.
        at_ms: u64,
    },
    /// All faults of the run are removed, or could not be.
    RolledBack {
        /// Faults that may still be armed.
        left: Vec<String>,
        /// When.
        at_ms: u64,
    },
    /// It is over: the last event.
    RunEnded {
        /// How it ended.
        verdict: Verdict,
        /// The exit code of that verdict.
        exit_code: u8,
        /// The same in one sentence.
        sentence: String,
        /// When.
        at_ms: u64,
    },
}

/// What a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The version of the events' form: 1.
    pub schema: u32,
    /// The experiment's name.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Who looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The file, as given.
    pub file: String,
    /// Where all chance came from.
    pub seed: u64,
    /// The version of brownout.
    pub brownout: String,
    /// The wall clock, RFC 3339.
    pub started_at: String,
    /// The control API.
    pub control: String,
    /// The load, in words.
    pub load: String,
    /// What the load is called in expectations; none where others make it.
    pub load_name: Option<String>,
    /// The endpoint that is watched besides, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<String>,
    /// The routes of the proxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RoutePlace>,
    /// What is to come.
    pub phases: Vec<PlannedPhase>,
    /// The command that does the same again.
    pub reproduce: String,
    /// The commit of what was tested, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Where a trace is shown, with `{trace_id}` in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<String>,
    /// Whether JUnit tells what is inconclusive as a failure.
    pub inconclusive_fails: bool,
}

/// Where a route of the proxy stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutePlace {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub listen: String,
    /// Where it leads.
    pub upstream: String,
}

/// A phase that is to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPhase {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: PhaseKind,
    /// How long it lasts; none where pages are counted.
    pub length_ms: Option<u64>,
    /// The faults, in words.
    pub faults: Vec<String>,
    /// How many expectations it has.
    pub expectations: usize,
}

/// What a phase is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseKind {
    /// Before any fault.
    Steady,
    /// With faults.
    Fault,
    /// Behind the faults of one phase.
    After,
    /// Behind all faults.
    Recovery,
}

/// What ended on one hop within one second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecondOfHop {
    /// The hop: a route, or what the load is called.
    pub hop: String,
    /// The second's number, from 0.
    pub second: u32,
    /// Requests that ended.
    pub requests: f64,
    /// Those without a good answer.
    pub errors: f64,
    /// Those that were answered and told that something is missing.
    #[serde(default)]
    pub degraded: f64,
    /// The median of the load's pages with a whole answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// The 99th percentile of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The mean on a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_ms: Option<f64>,
}

/// What was measured on one hop over one phase.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HopSummary {
    /// The hop.
    pub hop: String,
    /// Whether requests of this run were measured, the load's or those of the watched endpoint; else a route's counters.
    pub is_load: bool,
    /// Requests that began in the phase.
    pub requests: u64,
    /// Those of the load that had a whole answer of 2xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<u64>,
    /// Those of the load that had no answer when it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<u64>,
    /// Those of the load that had a good answer which told that something is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<u64>,
    /// A second.
    pub rate: f64,
    /// Of those that ended, without a good answer.
    pub error_rate: f64,
    /// Of whole answers, those that told that something is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded_rate: Option<f64>,
    /// The mean latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_ms: Option<f64>,
    /// Quantiles of the latency, from 0 to 1, each with its ms; empty on a route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<(f64, f64)>,
    /// Errors by what they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<(String, u64)>,
}

/// What services counted of their calls to one upstream, all callers together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerRecord {
    /// The upstream, by the name of its route where it has one.
    pub hop: String,
    /// Calls, however many attempts each took.
    pub calls: u64,
    /// Requests sent, retries included.
    pub attempts: u64,
    /// Attempts that ran out of time.
    pub timeouts: u64,
    /// Calls that a circuit breaker refused.
    pub rejected: u64,
    /// How often circuit breakers went open.
    pub breakers_opened: u64,
}

impl CallerRecord {
    /// Attempts for each call that was let through.
    #[must_use]
    pub fn amplification(&self) -> Option<f64> {
        let sent = self.calls.saturating_sub(self.rejected);
        (sent > 0).then(|| self.attempts as f64 / sent as f64)
    }
}

/// What a service did after the load had left, for nobody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TailRecord {
    /// The service.
    pub of: String,
    /// How long it was seen with something to do, or how long it was watched.
    pub seconds: f64,
    /// Whether it came to an end while it was watched.
    pub ended: bool,
    /// If not: how many requests waited or were worked on.
    pub still_waiting: u64,
    /// If not: how long those would take at the pace that was seen; none if nothing was done.
    pub estimated_rest_seconds: Option<f64>,
}

impl TailRecord {
    /// How long it lasts in all: as seen, and what is left at the pace that was seen.
    #[must_use]
    pub fn total_seconds(&self) -> f64 {
        self.seconds + self.estimated_rest_seconds.unwrap_or(0.0)
    }
}

/// What a fault was to do and did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultTruth {
    /// Its id.
    pub id: String,
    /// In which phase.
    pub phase: String,
    /// What it does and where, in words.
    pub what: String,
    /// When it was armed.
    pub armed_ms: u64,
    /// When it was removed.
    pub removed_ms: u64,
    /// When it was first seen to have struck; none if it never did.
    pub struck_ms: Option<u64>,
    /// What it did; none where that could not be read.
    pub counters: Option<CountersAnswer>,
    /// What it achieved.
    pub magnitude: MagnitudeAnswer,
}

/// An expectation against what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The phase.
    pub phase: String,
    /// What it is.
    pub kind: JudgementKind,
    /// The expectation, as written.
    pub text: String,
    /// Its line in the file; 0 where it is not written there.
    pub line: usize,
    /// Its column.
    pub column: usize,
    /// How it came out.
    pub verdict: JudgementVerdict,
    /// What was measured, as text.
    pub observed: String,
    /// What it was held to, as text; the baseline written out.
    pub expected: String,
    /// What the steady state measured, as text, where that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// How much room was left, as a share of the threshold: negative where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// How many requests it was made from.
    pub samples: u64,
    /// The interval of a share at the file's confidence, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Of an expectation of a share that held: whether all of that interval is within the limit. Where it is not, there
    /// were too few requests to prove it. None of what is no share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<bool>,
    /// Why it is inconclusive, or what else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When the phase was over.
    pub at_ms: u64,
    /// The repetition that it is of, from 1; it does not count for the verdict then. None of what counts: where the file
    /// is done once, and of what all repetitions come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition: Option<u32>,
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgementKind {
    /// An expectation of the file.
    Expectation,
    /// That a fault struck.
    FaultStruck,
    /// That the load was sent in time.
    LoadInTime,
    /// That no fault is left behind.
    NothingLeft,
}

/// How something came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgementVerdict {
    /// It held.
    Passed,
    /// It did not.
    Failed,
    /// It cannot be told.
    Inconclusive,
}

/// A page that is worth a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exemplar {
    /// The phase.
    pub phase: String,
    /// Why it is worth a look: `slowest`, `typical` or `failed`.
    pub why: String,
    /// Its trace id; none where pages carried none.
    pub trace_id: Option<String>,
    /// How it ended, in words.
    pub outcome: String,
    /// How long it took, in ms.
    pub latency_ms: u64,
    /// When it was to be sent.
    pub at_ms: u64,
}

impl JudgementVerdict {
    /// In capitals, for terminals.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "PASS",
            Self::Failed => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        }
    }
}
