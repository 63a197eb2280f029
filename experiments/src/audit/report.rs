//! What came of an audit, for machines: `brownout audit --json`.

use std::collections::BTreeMap;

use brownout_fault::units::show_duration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Options, Seen};
use crate::forensics::{Calm, Finding, FindingId, Severity, Verdict, join::JoinedBy, rules};

/// What came of an audit. Its JSON form is `schema` 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// The form of this object: 1.
    pub schema: u32,
    /// What is said of the service.
    pub verdict: AuditVerdict,
    /// When it began, by the wall clock; empty where that was not recorded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub started_at: String,
    /// The page that was asked for.
    pub page: PageAddress,
    /// How long a page may take.
    pub budget: String,
    /// What told that something was missing on a page, as `--degraded-if` has it; empty where it was something else, such as a
    /// member that differs from calm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degraded_if: Vec<String>,
    /// How attempts were joined to pages; `serial` where nothing better is known.
    pub joined_by: JoinedBy,
    /// Each id for each dependency.
    pub findings: Vec<Finding>,
    /// What was seen of each dependency in calm.
    pub calm: Vec<CalmRecord>,
    /// The experiments that were run, in order.
    pub experiments: Vec<ExperimentRecord>,
    /// Dependencies whose experiments ended early, and why.
    pub stopped: BTreeMap<String, String>,
    /// Whether it was interrupted: what had not been tried by then is undetermined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// The command that does the same again.
    pub reproduce: String,
    /// The findings that were wanted; all without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    only: Vec<FindingId>,
}

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageAddress {
    /// `http://HOST:PORT`.
    pub origin: String,
    /// The path and the query of the page.
    pub path: String,
}

/// What is said of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditVerdict {
    /// No defect of high or medium severity was found.
    Pass,
    /// At least one was.
    Fail,
    /// None was found, and too much could not be told.
    Inconclusive,
}

/// Why a check was not made with `--only`.
const NOT_ASKED_FOR: &str = "it was not asked for with --only";

/// Why a check was not made with `--fast`.
pub(super) const LEFT_OUT_BY_FAST: &str = "it takes load, which --fast leaves out";
pub(super) const INTERRUPTED: &str = "it was not tried: the audit was interrupted";

/// What was seen of a dependency in calm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalmRecord {
    /// The name of the dependency's route.
    pub route: String,
    /// The median of a page, in ms.
    pub page_p50_ms: f64,
    /// Its 95th percentile, in ms.
    pub page_p95_ms: f64,
    /// The median of a call, in ms.
    pub call_p50_ms: f64,
    /// Calls of a page, by path.
    pub calls_per_page: BTreeMap<String, f64>,
    /// Whether calls come without pages.
    pub background: bool,
}

/// An experiment that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExperimentRecord {
    /// Its id, `S0` to `S25`.
    pub id: String,
    /// The name of the dependency's route.
    pub route: String,
    /// Its form, such as a status.
    pub form: String,
    /// The fault, in words.
    pub fault: String,
    /// The same as it was armed, without ids and route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Value>,
    /// The path whose calls alone it struck, where pages call several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Pages that were asked for.
    pub pages: usize,
    /// Attempts that were seen.
    pub attempts: usize,
    /// How often the fault struck; none without one.
    pub struck: Option<u64>,
    /// When it began, since the first one did.
    #[serde(default)]
    pub at_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Whether this machine was too busy to judge by it.
    pub busy: bool,
    /// What the callers and the proxy saw.
    #[serde(default)]
    pub seen: Seen,
}

impl AuditReport {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            schema: 1,
            verdict: AuditVerdict::Inconclusive,
            started_at: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
            page: PageAddress {
                origin: format!("http://{}", options.page.host),
                path: options.page.path.clone(),
            },
            budget: show_duration(options.budget),
            degraded_if: Vec::new(),
            joined_by: JoinedBy::Serial,
            findings: Vec::new(),
            calm: Vec::new(),
            experiments: Vec::new(),
            stopped: BTreeMap::new(),
            interrupted: false,
            reproduce: options.reproduce.clone(),
            only: options.only.clone(),
        }
    }

    pub(super) fn calm(&mut self, calm: CalmRecord) {
        self.calm.push(calm);
    }

    pub(super) fn joined(&mut self, by: JoinedBy) {
        self.joined_by = by;
    }

    pub(super) fn experiments(&mut self, records: Vec<ExperimentRecord>) {
        self.experiments.extend(records);
    }

    pub(super) fn stopped(&mut self, route: &str, why: &str) {
        self.stopped.insert(route.to_owned(), why.to_owned());
    }

    /// It ends early, of these dependencies.
    pub(super) fn interrupted(&mut self, routes: &[String]) {
        self.interrupted = true;
        for route in routes {
            if !self.findings.iter().any(|it| it.route == *route) {
                self.findings(rules::unseen(route, INTERRUPTED));
            }
        }
    }

    /// Takes what is said of one dependency; what was not wanted is not told.
    pub(super) fn findings(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            let wanted = self.wants(&finding);
            self.findings.push(match wanted {
                true => finding,
                false => finding.untold(NOT_ASKED_FOR),
            });
        }
    }

    fn wants(&self, finding: &Finding) -> bool {
        self.only.is_empty() || self.only.contains(&finding.id)
    }

    /// The findings without those that `--only` left out.
    pub fn looked_for(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|it| it.why != NOT_ASKED_FOR)
    }

    /// Says the verdict.
    pub(super) fn closed(mut self) -> Self {
        let first = self
            .experiments
            .iter()
            .map(|it| it.at_ms)
            .min()
            .unwrap_or(0);
        for record in &mut self.experiments {
            record.at_ms -= first;
        }
        // What --fast leaves out is told as undetermined, and counts for nothing.
        let looked_at = |it: &&Finding| self.wants(it) && it.why != LEFT_OUT_BY_FAST;
        let wanted = self.findings.iter().filter(looked_at);
        let is = |wanted: Verdict| move |it: &&Finding| it.verdict == wanted;
        let all = wanted.clone().count();
        let untold = wanted.clone().filter(is(Verdict::Undetermined)).count();
        let fails = wanted
            .filter(is(Verdict::Defect))
            .any(|it| it.severity != Severity::Low);
        self.verdict = if fails {
            AuditVerdict::Fail
        } else if self.interrupted || untold * 2 > all || !self.stopped.is_empty() {
            AuditVerdict::Inconclusive
        } else {
            AuditVerdict::Pass
        };
        self
    }
}

impl CalmRecord {
    pub(super) fn of(route: &str, calm: &Calm) -> Self {
        let ms = |micros: u64| micros as f64 / 1_000.0;
        let paths = calm.paths.iter();
        Self {
            route: route.to_owned(),
            page_p50_ms: ms(calm.scale.page_p50),
            page_p95_ms: ms(calm.scale.page_p95),
            call_p50_ms: ms(calm.scale.call_p50),
            calls_per_page: paths
                .map(|it| (it.path.clone(), it.scale.calls_per_page))
                .collect(),
            background: calm.scale.background,
        }
    }
}
