//! All that was told of a run, put together again.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::verdict::unproven;
use super::{
    Account, Verdict,
    event::{
        CallerRecord, Event, Exemplar, FaultTruth, HopSummary, Judgement, JudgementKind,
        JudgementVerdict, PhaseKind, RunStarted, SecondOfHop, TailRecord,
    },
};
use crate::expectation::{CallerCounter, EvidenceMeasure, Measure};

/// All that was told of a run: the result as JSON, and what every report is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The version of this form: 1.
    pub schema: u32,
    /// How it ended; `interrupted` for events that break off.
    pub verdict: Verdict,
    /// The exit code of that verdict.
    pub exit_code: u8,
    /// The verdict in one sentence.
    pub sentence: String,
    /// How long it took, in ms.
    pub length_ms: u64,
    /// What was run.
    pub run: RunStarted,
    /// The phases that began, in order.
    pub phases: Vec<PhaseRecord>,
    /// Faults, in the order of their removal.
    pub faults: Vec<FaultTruth>,
    /// What was judged, in order.
    pub judgements: Vec<Judgement>,
    /// Seconds of each hop, in order.
    pub seconds: Vec<SecondOfHop>,
    /// Pages that are worth a look.
    pub exemplars: Vec<Exemplar>,
    /// What happened: who calls whom, and the story of each outage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// What a reader should know of the run itself.
    pub notes: Vec<String>,
    /// The guard that stopped it, and what was measured.
    pub guard: Option<(String, String)>,
    /// Faults that may still be armed.
    pub left: Vec<String>,
}

/// A phase that began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: PhaseKind,
    /// When it began, in ms.
    pub from_ms: u64,
    /// When it ended; none where it was cut short.
    pub to_ms: Option<u64>,
    /// What was measured.
    pub hops: Vec<HopSummary>,
    /// What services counted of their calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<CallerRecord>,
    /// What went on after the load had left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailRecord>,
}

impl PhaseRecord {
    /// A measure of a hop over this phase, as far as the record has it.
    #[must_use]
    pub fn value(&self, hop: &str, measure: &Measure) -> Option<f64> {
        let caller = || self.callers.iter().find(|it| it.hop == hop);
        let summary = || self.hops.iter().find(|it| it.hop == hop);
        let quantile = |share: f64| {
            let quantiles = &summary()?.quantiles;
            let found = quantiles.iter().find(|it| (it.0 - share).abs() < 1e-9);
            found.map(|it| it.1 / 1_000.0)
        };
        match measure {
            Measure::ErrorRate => summary().map(|it| it.error_rate),
            Measure::SuccessRate => summary().map(|it| 1.0 - it.error_rate),
            Measure::FallbackRate(_) => summary()?.degraded_rate,
            Measure::Latency(share) => quantile(share.0),
            Measure::Max => quantile(1.0),
            Measure::Mean => summary()?.mean_ms.map(|it| it / 1_000.0),
            Measure::Rate => summary().map(|it| it.rate),
            Measure::Requests => summary().map(|it| it.requests as f64),
            Measure::Served => summary()?.served.map(|it| it as f64),
            Measure::Unfinished => summary()?.unfinished.map(|it| it as f64),
            Measure::Tail => {
                let tail = self.tail.as_ref().filter(|it| it.of == hop);
                tail.map(TailRecord::total_seconds)
            }
            Measure::Caller(counter) => caller().map(|it| it.counter(*counter) as f64),
            Measure::Evidence(EvidenceMeasure::Amplification) => caller()?.amplification(),
            Measure::PeakRate
            | Measure::CallsPerPage
            | Measure::BreakerOpens
            | Measure::Answered
            | Measure::Evidence(_) => None,
        }
    }

    /// Whether it is the phase of that name in the file, in whichever repetition.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        let rest = self.name.strip_prefix(name);
        rest.is_some_and(|it| it.is_empty() || it.starts_with(" ("))
    }
}

impl CallerRecord {
    pub(super) fn counter(&self, counter: CallerCounter) -> u64 {
        match counter {
            CallerCounter::Calls => self.calls,
            CallerCounter::Attempts => self.attempts,
            CallerCounter::Timeouts => self.timeouts,
            CallerCounter::Rejected => self.rejected,
            CallerCounter::BreakersOpened => self.breakers_opened,
        }
    }
}

impl RunRecord {
    /// Puts events together; none without a first one that says what was run.
    #[must_use]
    pub fn of<'e>(events: impl IntoIterator<Item = &'e Event>) -> Option<Self> {
        let mut record: Option<Self> = None;
        for event in events {
            match (&mut record, event) {
                (_, Event::RunStarted(run)) => record = Some(Self::begun(run.clone())),
                (Some(record), event) => record.add(event),
                (None, _) => {}
            }
        }
        record
    }

    fn begun(run: RunStarted) -> Self {
        Self {
            schema: 1,
            verdict: Verdict::Interrupted,
            exit_code: Verdict::Interrupted.exit_code(),
            sentence: "Interrupted: the events of this run break off.".to_owned(),
            length_ms: 0,
            run,
            phases: Vec::new(),
            faults: Vec::new(),
            judgements: Vec::new(),
            seconds: Vec::new(),
            exemplars: Vec::new(),
            account: None,
            notes: Vec::new(),
            guard: None,
            left: Vec::new(),
        }
    }

    fn add(&mut self, event: &Event) {
        match event {
            Event::RunStarted(_)
            | Event::FaultArmed { .. }
            | Event::FaultStruck { .. }
            | Event::Tail { .. } => {}
            Event::PhaseStarted { phase, kind, at_ms } => self.phases.push(PhaseRecord {
                name: phase.clone(),
                kind: *kind,
                from_ms: *at_ms,
                to_ms: None,
                hops: Vec::new(),
                callers: Vec::new(),
                tail: None,
            }),
            Event::PhaseEnded {
                phase,
                at_ms,
                hops,
                callers,
                tail,
            } => {
                let found = self.phases.iter_mut().rev().find(|it| it.name == *phase);
                if let Some(found) = found {
                    found.to_ms = Some(*at_ms);
                    found.hops.clone_from(hops);
                    found.callers.clone_from(callers);
                    found.tail.clone_from(tail);
                }
            }
            Event::Second(second) => self.seconds.push(second.clone()),
            Event::Recounted { hop, seconds } => {
                self.seconds.retain(|it| it.hop != *hop);
                self.seconds.extend(seconds.iter().cloned());
            }
            Event::FaultRemoved(truth) => self.faults.push(truth.clone()),
            Event::Judged(judgement) => self.judgements.push(judgement.clone()),
            Event::Exemplar(exemplar) => self.exemplars.push(exemplar.clone()),
            Event::Account(account) => {
                self.correct_faults(account);
                self.account = Some(account.clone());
            }
            Event::Note { text } => self.notes.push(text.clone()),
            Event::GuardTripped {
                guard, observed, ..
            } => self.guard = Some((guard.clone(), observed.clone())),
            Event::RolledBack { left, .. } => self.left.clone_from(left),
            Event::RunEnded {
                verdict,
                exit_code,
                sentence,
                at_ms,
            } => {
                self.verdict = *verdict;
                self.exit_code = *exit_code;
                self.sentence.clone_from(sentence);
                self.length_ms = *at_ms;
            }
        }
    }

    /// Single calls know to the ms when a fault acted for the first time; and it was on then.
    fn correct_faults(&mut self, account: &Account) {
        for first in &account.first_injected {
            let faults = self.faults.iter_mut();
            for fault in faults.filter(|it| it.id == first.id && it.phase == first.phase) {
                fault.armed_ms = fault.armed_ms.min(first.at_ms);
                fault.struck_ms = Some(first.at_ms);
            }
        }
    }

    /// The verdict anew, for judgements that were added after the run.
    pub(crate) fn judge_again(&mut self) {
        let deciding: Vec<Judgement> = self.deciding().cloned().collect();
        self.verdict = Verdict::of(&deciding);
        self.exit_code = self.verdict.exit_code();
        let all = self.expectations().count();
        let first = |verdict| {
            let it = self.judged(verdict).next()?;
            let why = it.why.as_deref().unwrap_or(&it.observed);
            Some(format!("`{}`: {why}", it.text))
        };
        self.sentence = match self.verdict {
            Verdict::Failed => format!(
                "Failed: {} of {all} expectations did not hold; first, {}.",
                self.judged(JudgementVerdict::Failed).count(),
                first(JudgementVerdict::Failed).unwrap_or_default()
            ),
            Verdict::Inconclusive => format!(
                "Inconclusive: {}.",
                first(JudgementVerdict::Inconclusive).unwrap_or_default()
            ),
            _ => format!(
                "Passed: {all} of {all} expectations held{}.",
                unproven(&self.judgements).map_or_else(String::new, |it| format!("; {it}"))
            ),
        };
    }

    /// What counts for the verdict: not what single repetitions came to.
    pub fn deciding(&self) -> impl Iterator<Item = &Judgement> {
        self.judgements.iter().filter(|it| it.repetition.is_none())
    }

    /// What counts for the verdict and came out so, in the order of the file.
    pub fn judged(&self, verdict: JudgementVerdict) -> impl Iterator<Item = &Judgement> {
        self.deciding().filter(move |it| it.verdict == verdict)
    }

    /// The expectations of the file.
    pub fn expectations(&self) -> impl Iterator<Item = &Judgement> {
        self.deciding()
            .filter(|it| it.kind == JudgementKind::Expectation)
    }

    /// The hops that were measured: the load first.
    #[must_use]
    pub fn hops(&self) -> Vec<&str> {
        let mut hops: Vec<&str> = Vec::new();
        let of_phases = self
            .phases
            .iter()
            .flat_map(|it| &it.hops)
            .map(|it| it.hop.as_str());
        let of_seconds = self.seconds.iter().map(|it| it.hop.as_str());
        for hop in self
            .run
            .load_name
            .as_deref()
            .into_iter()
            .chain(of_phases)
            .chain(of_seconds)
        {
            if !hops.contains(&hop) {
                hops.push(hop);
            }
        }
        hops
    }
}

/// The JSON Schema (draft 2020-12) of a [`RunRecord`] as JSON.
#[must_use]
pub fn result_schema() -> Value {
    let number = json!({ "type": "number" });
    let whole = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string" });
    let maybe = |kind: &str| json!({ "type": [kind, "null"] });
    let list = |items: Value| json!({ "type": "array", "items": items });
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let kinds = json!({ "enum": ["steady", "fault", "after", "recovery"] });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "brownout result",
        "type": "object",
        "required": ["schema", "verdict", "exit_code", "sentence", "length_ms", "run", "phases", "faults", "judgements", "seconds", "left"],
        "properties": {
            "schema": { "const": 1 },
            "verdict": { "enum": ["passed", "failed", "steady_not_met", "inconclusive", "halted", "faults_left", "interrupted"] },
            "exit_code": { "enum": [0, 1, 3, 4, 5, 6, 130] },
            "sentence": text,
            "length_ms": whole,
            "run": object(&["schema", "name", "title", "file", "seed", "brownout", "started_at", "load", "phases", "reproduce"], json!({
                "schema": { "const": 1 }, "name": text, "title": text, "because": text, "owner": text, "file": text,
                "seed": whole, "brownout": text, "started_at": { "type": "string", "format": "date-time" },
                "control": text, "load": text, "load_name": maybe("string"), "watch": text, "reproduce": text, "commit": text,
                "routes": list(object(&["name", "listen", "upstream"], json!({ "name": text, "listen": text, "upstream": text }))),
                "traces": text, "inconclusive_fails": { "type": "boolean" },
                "phases": list(object(&["name", "kind", "faults", "expectations"], json!({
                    "name": text, "kind": kinds, "length_ms": maybe("integer"), "faults": list(text.clone()), "expectations": whole,
                }))),
            })),
            "phases": list(object(&["name", "kind", "from_ms", "hops"], json!({
                "name": text, "kind": kinds, "from_ms": whole, "to_ms": maybe("integer"),
                "hops": list(object(&["hop", "is_load", "requests", "rate", "error_rate"], json!({
                    "hop": text, "is_load": { "type": "boolean" }, "requests": whole, "rate": number,
                    "error_rate": number, "degraded_rate": number, "mean_ms": number,
                    "served": whole, "unfinished": whole, "fallback": whole,
                    "quantiles": { "description": "pairs of a share and ms", "type": "array" },
                    "errors": { "description": "pairs of a word and a count", "type": "array" },
                }))),
                "callers": list(object(&["hop", "calls", "attempts"], json!({
                    "hop": text, "calls": whole, "attempts": whole, "timeouts": whole, "rejected": whole,
                    "breakers_opened": whole,
                }))),
                "tail": object(&["of", "seconds", "ended"], json!({
                    "of": text, "seconds": number, "ended": { "type": "boolean" }, "still_waiting": whole,
                    "estimated_rest_seconds": maybe("number"),
                })),
            }))),
            "faults": list(object(&["id", "phase", "what", "armed_ms", "removed_ms"], json!({
                "id": text, "phase": text, "what": text, "armed_ms": whole, "removed_ms": whole,
                "struck_ms": maybe("integer"), "counters": maybe("object"), "magnitude": { "type": "object" },
            }))),
            "judgements": list(object(&["phase", "kind", "text", "line", "verdict", "observed", "expected", "samples"], json!({
                "phase": text, "kind": { "enum": ["expectation", "fault_struck", "load_in_time", "nothing_left"] },
                "text": text, "line": whole, "column": whole,
                "verdict": { "enum": ["passed", "failed", "inconclusive"] },
                "observed": text, "expected": text, "baseline": text, "margin": number, "samples": whole,
                "interval": text, "proven": { "type": "boolean" }, "why": text, "at_ms": whole, "repetition": whole,
            }))),
            "seconds": list(object(&["hop", "second", "requests", "errors"], json!({
                "hop": text, "second": whole, "requests": number, "errors": number, "degraded": number,
                "p50_ms": number, "p99_ms": number, "mean_ms": number,
            }))),
            "exemplars": list(object(&["phase", "why", "outcome", "latency_ms"], json!({
                "phase": text, "why": text, "trace_id": maybe("string"), "outcome": text, "latency_ms": whole, "at_ms": whole,
            }))),
            "account": object(&["routes", "outages"], json!({
                "calls_unknown": text, "fallback": text,
                "routes": list(object(&["route", "calls", "of_pages"], json!({
                    "route": text, "calls": whole, "of_pages": whole, "of_cut_off": whole, "called_by": text,
                    "joined_by": { "enum": ["id", "serial", "totals"] },
                }))),
                "pages": object(&["asked", "ended", "cut_off"], json!({ "asked": whole, "ended": whole, "cut_off": whole })),
                "between": list(object(&["name", "from_ms", "to_ms", "hops"], json!({
                    "name": text, "from_ms": whole, "to_ms": whole, "hops": { "type": "array" },
                }))),
                "first_injected": list(object(&["id", "phase", "at_ms"], json!({ "id": text, "phase": text, "at_ms": whole }))),
                "outages": list(object(&["phase", "from_ms", "to_ms", "moments", "noticed", "readers", "saved"], json!({
                    "phase": text, "from_ms": whole, "to_ms": whole, "readers": text, "noticed": list(text.clone()),
                    "effect": object(&["from_ms", "to_ms", "failed", "fallback", "slow", "goes_on"], json!({
                        "from_ms": whole, "to_ms": whole, "failed": whole, "fallback": whole, "slow": whole,
                        "goes_on": { "type": "boolean" },
                    })),
                    "moments": list(object(&["at_ms", "what", "text"], json!({ "at_ms": whole, "what": text, "text": text }))),
                    "saved": list(object(&["by", "text"], json!({ "by": text, "text": text }))),
                    "retry_waits": list(object(&["route", "waits_ms"], json!({ "route": text, "waits_ms": list(number.clone()) }))),
                }))),
            })),
            "notes": list(text.clone()),
            "guard": { "type": ["array", "null"] },
            "left": list(text),
        },
    })
}
