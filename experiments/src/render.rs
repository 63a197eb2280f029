//! Events of a run for people and for other programs.
//!
//! Nothing here knows the runner: every function takes [`Event`](crate::run::Event)s, or the
//! [`RunRecord`] that is put together from them.

mod audit;
mod audit_experiment;
mod audit_markdown;
mod chart;
mod comparison;
mod evidence;
mod html;
mod junit;
mod markdown;
mod plan;
pub mod stories;
mod terminal;

pub use self::{
    audit::AuditTerminal,
    audit_experiment::audit_experiment,
    audit_markdown::audit_markdown,
    comparison::comparison,
    html::{audit_html, html},
    junit::{audit_junit, junit},
    markdown::{annotations, markdown},
    plan::plan,
    terminal::{Line, Terminal, Tone},
};

use crate::run::{PhaseKind, PlannedPhase, RunRecord};

/// `20s`, or what counts instead.
fn length(phase: &PlannedPhase) -> String {
    match phase.length_ms {
        Some(ms) => span(ms),
        None => "as long as its pages take".to_owned(),
    }
}

/// A length of time for a person.
fn span(ms: u64) -> String {
    crate::expectation::show_span(std::time::Duration::from_millis(ms))
}

/// A phase as a heading says it; its name tells its repetition.
fn phase_title(name: &str, kind: PhaseKind) -> String {
    match kind {
        PhaseKind::Steady => {
            format!(
                "steady state{}",
                name.strip_prefix("steady").unwrap_or_default()
            )
        }
        PhaseKind::Fault => format!("phase {name}"),
        PhaseKind::After | PhaseKind::Recovery => name.to_owned(),
    }
}

/// Of each time after the faults in which pages were fallbacks though no expectation asks about that: how many. Green rows do
/// not say so.
fn fallbacks_afterwards(record: &RunRecord) -> Vec<String> {
    /// A smaller share may be the pages that were under way.
    const SHARE_MIN: f64 = 0.05;
    let after = record
        .phases
        .iter()
        .filter(|it| matches!(it.kind, PhaseKind::After | PhaseKind::Recovery));
    let told = after.filter_map(|phase| {
        let load = record.run.load_name.as_deref();
        let hop = phase.hops.iter().find(|it| Some(it.hop.as_str()) == load)?;
        let share = hop.degraded_rate.filter(|it| *it >= SHARE_MIN)?;
        let is_asked = record
            .deciding()
            .any(|it| it.phase == phase.name && it.text.contains("fallback"));
        (!is_asked).then(|| {
            format!(
                "{}: {} of {} pages were still fallbacks. No expectation of it asks about fallbacks.",
                phase.name,
                markdown::percent(share),
                hop.requests
            )
        })
    });
    told.collect()
}

fn kind_word(kind: PhaseKind) -> &'static str {
    match kind {
        PhaseKind::Steady => "steady state",
        PhaseKind::Fault => "phase",
        PhaseKind::After => "after",
        PhaseKind::Recovery => "recovery",
    }
}
