//! Stories for people, in a few lines.

use super::chart;
use crate::{
    run::{PhaseRecord, RunRecord},
    stories::{Row, rows},
};

/// What the stars in a table mean.
pub const FOOTNOTE: &str = "* of pages with an answer; where each connection waits for its answer before it asks again (a closed \
     loop), pages that nobody could ask for meanwhile are not in it";

/// What came of a story, in a few lines.
#[must_use]
pub fn in_words(record: &RunRecord) -> Vec<String> {
    let mut lines = Vec::new();
    let closed = record.run.load.contains("again after");
    for (row, phase) in rows(record).iter().zip(&record.phases) {
        let name = row
            .phase
            .as_ref()
            .map_or_else(String::new, |it| format!("{it}: "));
        lines.push(format!("{name}{}", pages(row, closed)));
        lines.extend(failures(record, phase));
        lines.extend(upstream(row, phase));
        lines.extend(phase.tail.as_ref().map(tail));
    }
    lines
}

/// `28 served, 0 failed, 10 unfinished; …`
fn pages(row: &Row, closed: bool) -> String {
    let time = |ms: f64| crate::expectation::Unit::Time.show(ms / 1_000.0);
    let p50 = row.p50_ms.map_or_else(String::new, |it| {
        let of = if closed { " of a closed loop" } else { "" };
        format!("; median{of} {}", time(it))
    });
    let p99 = row
        .p99_ms
        .map_or_else(String::new, |it| format!(", p99 {}", time(it)));
    format!(
        "{} served ({:.0} % degraded), {} failed, {} unfinished{p50}{p99}",
        row.served,
        row.degraded * 100.0,
        row.failed,
        row.unfinished
    )
}

/// What failed, each kind by itself: a page that came too late is not one that was refused.
fn failures(record: &RunRecord, phase: &PhaseRecord) -> Option<String> {
    let load = record.run.load_name.as_deref()?;
    let pages = phase.hops.iter().find(|it| it.hop == load)?;
    let kinds = pages.errors.iter();
    let kinds: Vec<String> = kinds
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    (!kinds.is_empty()).then(|| format!("failed: {}", kinds.join(", ")))
}

fn upstream(row: &Row, phase: &PhaseRecord) -> Option<String> {
    let calls = row.calls?;
    let timeouts: u64 = phase.callers.iter().map(|it| it.timeouts).sum();
    let amplification = row.amplification.map_or_else(String::new, |it| {
        format!(", {it:.1} for each call let through")
    });
    Some(format!(
        "{calls} requests sent to the upstream{amplification}; {timeouts} timed out; breakers opened {} times",
        row.breakers_opened
    ))
}

fn tail(tail: &crate::run::TailRecord) -> String {
    match (tail.ended, tail.estimated_rest_seconds) {
        (true, _) if tail.seconds < 0.05 => format!("{} had nothing to do for nobody", tail.of),
        (true, _) => format!(
            "{} worked for nobody for {:.1} s more",
            tail.of, tail.seconds
        ),
        (false, Some(rest)) => format!(
            "{} worked for nobody for {:.1} s more, and would for about {rest:.0} s after that: {} requests wait",
            tail.of, tail.seconds, tail.still_waiting
        ),
        (false, None) => format!(
            "{} has {} requests for nobody, and did none of them in {:.0} s",
            tail.of, tail.still_waiting, tail.seconds
        ),
    }
}

/// Pages served over time, drawn with blocks.
#[must_use]
pub fn drawing(record: &RunRecord, width: usize) -> String {
    let load = record.run.load_name.as_deref().unwrap_or_default();
    let seconds = record.seconds.iter().filter(|it| it.hop == load);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count, made whole"
    )]
    let served: Vec<u64> = seconds
        .map(|it| (it.requests - it.errors).max(0.0).round() as u64)
        .collect();
    chart::draw(&served, width)
}
