//! The comparison of a family of stories, as a table.

use serde::{Deserialize, Serialize};

use crate::run::{CallerRecord, PhaseRecord, RunRecord, TailRecord, Verdict};

/// One story in one run, in the numbers of the study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The story.
    pub name: String,
    /// Its phase, where it has several.
    pub phase: Option<String>,
    /// Pages served: whole answers of 2xx.
    pub served: u64,
    /// Pages that failed.
    pub failed: u64,
    /// Pages that had no answer when the load left.
    pub unfinished: u64,
    /// Of the whole answers, those that lacked something, from 0 to 1.
    pub degraded: f64,
    /// Pages begun in each second.
    pub rate: f64,
    /// The median of pages with an answer, in ms; of a closed loop it leaves out those that would have come meanwhile.
    pub p50_ms: Option<f64>,
    /// The same at 99 in a hundred.
    pub p99_ms: Option<f64>,
    /// Requests sent to the upstream that is broken, for whomever.
    pub calls: Option<u64>,
    /// Attempts for each call that was let through.
    pub amplification: Option<f64>,
    /// How long the upstream works for nobody after the load has left: as seen, and what is left at that pace.
    pub tail_seconds: Option<f64>,
    /// How often breakers opened.
    pub breakers_opened: u64,
    /// How the run ended.
    pub verdict: Verdict,
}

/// The smallest, the median and the largest of several runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The median: of an even count the lower one.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of values in any order; none of nothing.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Some(Self {
            min: *values.first()?,
            median: values[(values.len() - 1) / 2],
            max: *values.last()?,
        })
    }
}

/// The rows of a run: one for each phase.
#[must_use]
pub fn rows(record: &RunRecord) -> Vec<Row> {
    let load = record.run.load_name.as_deref().unwrap_or_default();
    let several = record.phases.len() > 1;
    let phases = record.phases.iter();
    phases
        .filter_map(|phase| row(record, phase, load, several))
        .collect()
}

fn row(record: &RunRecord, phase: &PhaseRecord, load: &str, several: bool) -> Option<Row> {
    /// What the stories break.
    const BROKEN: [&str; 2] = ["recommendations", "primary"];
    let pages = phase.hops.iter().find(|it| it.hop == load)?;
    let broken = BROKEN.iter().find_map(|name| {
        let found = phase.hops.iter().find(|it| it.hop == *name);
        found.map(|it| (*name, it.requests))
    });
    let callers = &phase.callers;
    let amplification = callers
        .iter()
        .find(|it| Some(&*it.hop) == broken.map(|it| it.0));
    let quantile = |share: f64| {
        let found = pages
            .quantiles
            .iter()
            .find(|it| (it.0 - share).abs() < 1e-9);
        found.map(|it| it.1)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count, made whole"
    )]
    let failed = (pages.error_rate * pages.requests as f64).round() as u64;
    Some(Row {
        name: record.run.name.clone(),
        phase: several.then(|| phase.name.clone()),
        served: pages.served.unwrap_or(0),
        failed,
        unfinished: pages.unfinished.unwrap_or(0),
        degraded: pages.degraded_rate.unwrap_or(0.0),
        rate: pages.rate,
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        calls: broken.map(|it| it.1),
        amplification: amplification.and_then(CallerRecord::amplification),
        tail_seconds: phase.tail.as_ref().map(TailRecord::total_seconds),
        breakers_opened: callers.iter().map(|it| it.breakers_opened).sum(),
        verdict: record.verdict,
    })
}

/// The table of several runs, one group of rows for each story in `groups`: its repetitions. As plain text; as Markdown
/// where `markdown` is set.
#[must_use]
pub fn table(groups: &[Vec<Row>], markdown: bool) -> String {
    const HEAD: [&str; 10] = [
        "story",
        "served",
        "failed",
        "unfinished",
        "degraded",
        "p50*",
        "upstream calls",
        "amplification",
        "tail",
        "breakers opened",
    ];
    let mut lines: Vec<Vec<String>> = vec![HEAD.map(str::to_owned).to_vec()];
    lines.extend(groups.iter().filter(|it| !it.is_empty()).map(|it| line(it)));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        if markdown {
            put(&mut text, &["| ", &cells.join(" | "), " |\n"]);
            if number == 0 {
                let rules: Vec<String> = widths
                    .iter()
                    .enumerate()
                    .map(|(column, &width)| match column {
                        0 => "-".repeat(width),
                        _ => format!("{}:", "-".repeat(width.max(2) - 1)),
                    })
                    .collect();
                put(&mut text, &["| ", &rules.join(" | "), " |\n"]);
            }
        } else {
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
    }
    text
}

fn put(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
}

/// A group of repetitions as one line: medians, with the spread behind them where they differ.
fn line(group: &[Row]) -> Vec<String> {
    let first = &group[0];
    let whole = |value: f64| format!("{value:.0}");
    let show = |pick: &dyn Fn(&Row) -> Option<f64>, show: &dyn Fn(f64) -> String| match Spread::of(
        group.iter().filter_map(pick),
    ) {
        None => "-".to_owned(),
        Some(Spread { min, median, max }) => {
            let (low, middle, high) = (show(min), show(median), show(max));
            if low == high {
                middle
            } else {
                format!("{middle} ({low} to {high})")
            }
        }
    };
    let count = |pick: fn(&Row) -> u64| show(&|row| Some(pick(row) as f64), &whole);
    let name = match &first.phase {
        Some(phase) => format!("{}: {phase}", first.name),
        None => first.name.clone(),
    };
    vec![
        name,
        count(|it| it.served),
        count(|it| it.failed),
        count(|it| it.unfinished),
        show(&|it| Some(it.degraded), &|it| {
            format!("{:.0} %", it * 100.0)
        }),
        show(&|it| it.p50_ms, &|it| {
            crate::expectation::Unit::Time.show(it / 1_000.0)
        }),
        show(&|it| it.calls.map(|it| it as f64), &whole),
        show(&|it| it.amplification, &|it| format!("{it:.1}")),
        show(&|it| it.tail_seconds, &|it| format!("{it:.0} s")),
        count(|it| it.breakers_opened),
    ]
}

impl Row {
    /// The measures of a row that `--against` and reports go through, by their names.
    #[must_use]
    pub fn numbers(&self) -> [(&'static str, Option<f64>); 7] {
        [
            ("served", Some(self.served as f64)),
            ("failed", Some(self.failed as f64)),
            ("p50 ms", self.p50_ms),
            ("p99 ms", self.p99_ms),
            ("upstream calls", self.calls.map(|it| it as f64)),
            ("amplification", self.amplification),
            ("tail s", self.tail_seconds),
        ]
    }
}
