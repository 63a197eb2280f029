//! An experiment as it is written in a file: load, steady state, phases with faults, and what each is held to.
//!
//! [`Experiment::read`] takes the text of a TOML file and gives all of it checked, or every problem with its line and
//! column. Nothing here touches the network.

mod checks;
mod demo;
mod fields;
mod load;
mod parts;
mod predicate;
mod read;
mod scale;
mod schema;
mod template;

use std::{path::PathBuf, time::Duration};

use brownout_wire::RouteSpec;
use serde_json::Value;

pub use self::{
    demo::{Demo, DemoPolicy, DemoSystem},
    load::{Arrivals, Load, Marks, Serial, Watch},
    predicate::Predicate,
    read::InvalidExperiment,
    schema::schema,
    template::Template,
};
pub(crate) use self::{load::Asked, template::mix as template_mix};
use crate::expectation::Expectation;

/// An experiment, as it is read from its file and checked.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// A short name: `[a-z0-9][a-z0-9._-]{0,63}`.
    pub name: String,
    /// What it shows, as a sentence; default the name.
    pub title: String,
    /// Why it is there.
    pub because: Option<String>,
    /// Who looks after it.
    pub owner: Option<String>,
    /// To choose experiments by.
    pub tags: Vec<String>,
    /// Where all chance comes from; made at the start where it is left out.
    pub seed: Option<u64>,
    /// The wall clock for the whole run. Default 10 m, at most [`TIMEOUT_MAX`](Self::TIMEOUT_MAX).
    pub timeout: Duration,
    /// The control API of a running proxy, `HOST:PORT` or a URL; none to start one.
    pub control: Option<String>,
    /// Start a proxy where none answers at `control`.
    pub start: bool,
    /// Routes that must be there; those that are missing are made, and deleted in the end.
    pub routes: Vec<RouteSpec>,
    /// The demo that is started for the run, as its system under test.
    pub demo: Option<Demo>,
    /// Who asks for pages.
    pub load: Load,
    /// What must hold before any fault; what it measures is the baseline.
    pub steady: Option<Steady>,
    /// The phases, in order; at least one.
    pub phases: Vec<Phase>,
    /// What happens when all faults are gone.
    pub recovery: Option<Recovery>,
    /// What stops the run at once.
    pub guard: Guard,
    /// How numbers become a verdict.
    pub verdict: VerdictRule,
    /// The files that reports are written to.
    pub report: ReportFiles,
}

/// An expectation with its place in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The expectation, parsed.
    pub expectation: Expectation,
    /// Its line in the file, from 1.
    pub line: usize,
    /// Its column, from 1.
    pub column: usize,
}

/// The time before any fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Steady {
    /// How long pages come before they are measured. Default none.
    pub warmup: Duration,
    /// How long it is measured. Default 10 s.
    pub duration: Duration,
    /// Fewer pages than this make it inconclusive.
    pub min_samples: u64,
    /// What must hold, else nothing is injected.
    pub expect: Vec<Expected>,
}

/// A time with faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// Its name, unique in the file.
    pub name: String,
    /// How long it lasts; none where a serial load counts pages.
    pub duration: Option<Duration>,
    /// What is armed while it lasts.
    pub faults: Vec<PlannedFault>,
    /// What must hold while it lasts.
    pub expect: Vec<Expected>,
    /// What must hold after its faults are removed.
    pub after: Vec<Expected>,
    /// The load leaves at the end of the phase, and the faults stay until nobody works for it any more.
    pub tail: Option<TailWatch>,
    /// How long the callers wait in this phase before they leave on purpose.
    pub leave_after: Option<Duration>,
    /// Its line in the file, from 1.
    pub line: usize,
}

/// What is watched after the load has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailWatch {
    /// The service that is to become idle.
    pub of: String,
    /// How long it is watched. Default 20 s, at most an hour.
    pub limit: Duration,
}

/// A fault of a phase.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFault {
    /// Its id, as armed.
    pub id: String,
    /// As it is sent to the control API, without its ttl.
    pub body: Value,
    /// Where a serial load arms it anew for some of its pages.
    pub pages: Option<EveryPage>,
    /// Its line in the file, from 1.
    pub line: usize,
}

/// The pages of a serial load that a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EveryPage {
    /// One page in so many, at least 1.
    pub every: u64,
    /// So many attempts of that page, at least 1.
    pub attempts: u64,
}

/// The time after all faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovery {
    /// How long it is watched.
    pub observe: Duration,
    /// The expectations that must hold.
    pub expect: Vec<Expected>,
}

/// What stops the run at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// Any of these, measured over the last second or the time behind `for`.
    pub halt_if: Vec<Expected>,
    /// Fewer pages than this halt nothing. Default 50.
    pub min_samples: u64,
    /// How much longer than its phase a fault lives if this run dies. Default 15 s.
    pub lease: Duration,
}

/// How numbers become a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictRule {
    /// How often all is done, from the steady state to the recovery: 1 to [`REPEAT_MAX`](Self::REPEAT_MAX). Default 1.
    pub repeat: u32,
    /// Fewer pages than this in a phase make its expectations on the load inconclusive. Default 20.
    pub min_samples: u64,
    /// Of the interval within which a measured share may be a coin toss. Default 0.95.
    pub confidence: f64,
    /// Whether JUnit tells what is inconclusive as a failure (default) or as skipped.
    pub inconclusive_fails: bool,
}

/// Where reports go, relative to the working directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportFiles {
    /// The path of the JUnit XML.
    pub junit: Option<PathBuf>,
    /// The path of the result as JSON.
    pub json: Option<PathBuf>,
    /// The path of the HTML page.
    pub html: Option<PathBuf>,
    /// The path of the Markdown.
    pub markdown: Option<PathBuf>,
    /// Whether GitHub's step summary and annotations are written where there is a step.
    pub github: bool,
    /// Where a trace is shown, with `{trace_id}` in it.
    pub traces: Option<String>,
}

impl Experiment {
    /// The longest run: 6 hours.
    pub const TIMEOUT_MAX: Duration = Duration::from_secs(6 * 60 * 60);
    /// The most pages of one run.
    pub const PAGES_MAX: u64 = 2_000_000;
    /// The version of the file's form.
    pub const SCHEMA: u64 = 1;

    /// Without `[recovery]` and without `after` of the last phase, this long is watched after the last fault, so that
    /// reports can say how the outage ended.
    pub const END_WATCHED: Duration = Duration::from_secs(2);

    /// Adds a recovery without expectations where nothing else watches what comes after the last fault, and the
    /// timeout leaves room for it.
    fn watch_the_end(&mut self) {
        // A story measures its phases alone, and what they leave behind by a tail.
        let has_end = self.recovery.is_some() || self.demo.is_some();
        let last = self.phases.last();
        if has_end
            || last
                .is_none_or(|it| !it.after.is_empty() || it.faults.is_empty() || it.tail.is_some())
        {
            return;
        }
        let more = Self::END_WATCHED.saturating_mul(self.verdict.repeat);
        if self.expected_length() + more < self.timeout {
            self.recovery = Some(Recovery {
                observe: Self::END_WATCHED,
                expect: Vec::new(),
            });
        }
    }

    /// Whether an expectation is about single attempts, which the proxy's journal tells.
    #[must_use]
    pub fn needs_evidence(&self) -> bool {
        let steady = self.steady.iter().flat_map(|it| &it.expect);
        let phases = self.phases.iter();
        let phases = phases.flat_map(|it| it.expect.iter().chain(&it.after));
        let recovery = self.recovery.iter().flat_map(|it| &it.expect);
        let mut all = steady.chain(phases).chain(recovery);
        all.any(|it| it.expectation.needs_evidence())
    }

    /// How long the run lasts at least: steady state, phases and recovery, as often as they are done. Serial phases
    /// count their pages as one tenth of a second each.
    #[must_use]
    pub fn expected_length(&self) -> Duration {
        let steady = self.steady.as_ref().map(|it| it.warmup + it.duration);
        let phases = self.phases.iter().map(|phase| {
            let after = phase.after_length().unwrap_or_default();
            let tail = phase.tail.as_ref().map_or(Duration::ZERO, |it| it.limit);
            phase.duration.unwrap_or_else(|| self.load.serial_length()) + tail + after
        });
        let recovery = self.recovery.as_ref().map(|it| it.observe);
        let once: Duration = steady.into_iter().chain(phases).chain(recovery).sum();
        once.saturating_mul(self.verdict.repeat)
    }
}

impl Phase {
    /// How long it is watched after its faults are removed; none without anything to expect then.
    #[must_use]
    pub fn after_length(&self) -> Option<Duration> {
        /// Where no expectation says a time.
        const USUAL: Duration = Duration::from_secs(5);
        /// Behind the latest time that is expected, so that there is something to measure.
        const SPARE: Duration = Duration::from_secs(2);
        if self.after.is_empty() {
            return None;
        }
        let latest = self
            .after
            .iter()
            .filter_map(|it| it.expectation.within)
            .max();
        Some(latest.map_or(USUAL, |it| it + SPARE))
    }
}
