//! Results as Markdown, for step summaries and comments; and GitHub's annotations.

use std::fmt::Write as _;

use super::span;
use crate::run::{HopSummary, Judgement, JudgementVerdict, PhaseKind, RunRecord, Verdict};

/// GitHub takes 1 MiB a step; of that this much is used at most.
const BYTES_MAX: usize = 200 * 1024;
/// GitHub shows so many annotations of a kind for a step.
const ANNOTATIONS_MAX: usize = 10;

/// Results for a step summary or a comment: at most 200 KiB.
#[must_use]
pub fn markdown(records: &[&RunRecord]) -> String {
    let mut page = String::new();
    for record in records {
        let mut part = String::new();
        one(&mut part, record);
        if page.len() + part.len() > BYTES_MAX {
            page.push_str("\nFurther results did not fit here.\n");
            break;
        }
        page.push_str(&part);
    }
    page
}

fn one(page: &mut String, record: &RunRecord) {
    let run = &record.run;
    let sign = match record.verdict {
        Verdict::Passed => "✅",
        Verdict::Failed | Verdict::FaultsLeft | Verdict::Halted => "❌",
        Verdict::SteadyNotMet | Verdict::Inconclusive | Verdict::Interrupted => "⚠️",
    };
    put(
        page,
        format_args!(
            "### {sign} {}\n\n{}\n\n",
            escape(&run.title),
            escape(&record.sentence)
        ),
    );
    page.push_str(
        "| | phase | expectation | observed | expected | requests |\n|---|---|---|---|---|---|\n",
    );
    let of_rank = |rank: JudgementVerdict| record.judged(rank);
    let worst_first = of_rank(JudgementVerdict::Failed)
        .chain(of_rank(JudgementVerdict::Inconclusive))
        .chain(of_rank(JudgementVerdict::Passed));
    for it in worst_first {
        let sign = match it.verdict {
            JudgementVerdict::Passed => "✅",
            JudgementVerdict::Failed => "❌",
            JudgementVerdict::Inconclusive => "⚠️",
        };
        let why = it
            .why
            .as_ref()
            .map_or_else(String::new, |why| format!("<br>{}", escape(why)));
        let samples = match it.samples {
            0 => String::new(),
            count => count.to_string(),
        };
        put(
            page,
            format_args!(
                "| {sign} | {} | {}{why} | {} | {} | {samples} |\n",
                escape(&it.phase),
                code(&it.text),
                escape(&it.observed),
                escape(&it.expected)
            ),
        );
    }
    for line in super::fallbacks_afterwards(record) {
        put(page, format_args!("\n{}\n", escape(&line)));
    }
    phases(page, record);
    put(
        page,
        format_args!(
            "\nReproduce: {}, {}\n\n",
            code(&run.reproduce),
            span(record.length_ms / 1_000 * 1_000)
        ),
    );
}

fn phases(page: &mut String, record: &RunRecord) {
    let Some(load) = &record.run.load_name else {
        return;
    };
    page.push_str("\n<details><summary>Phases</summary>\n\n");
    put(
        page,
        format_args!(
            "| phase | {load}: pages | errors | p50 | p99 | degraded |\n|---|---|---|---|---|---|\n"
        ),
    );
    for phase in &record.phases {
        for hop in phase.hops.iter().filter(|it| it.is_load) {
            let mut name = match phase.kind {
                PhaseKind::Steady => super::phase_title(&phase.name, phase.kind),
                PhaseKind::Fault | PhaseKind::After | PhaseKind::Recovery => phase.name.clone(),
            };
            if hop.hop != *load {
                name = format!("{name}: {}", hop.hop);
            }
            put(
                page,
                format_args!(
                    "| {} | {} | {} | {} | {} | {} |\n",
                    escape(&name),
                    hop.requests,
                    percent(hop.error_rate),
                    at(hop, 0.5),
                    at(hop, 0.99),
                    percent(hop.degraded_rate.unwrap_or(0.0))
                ),
            );
        }
    }
    page.push_str("\n</details>\n");
}

/// What GitHub shows at the lines of a file: a command on a line each, the worst first, at most ten.
#[must_use]
pub fn annotations(records: &[&RunRecord]) -> Vec<String> {
    let told = |verdict: JudgementVerdict| {
        records
            .iter()
            .flat_map(move |record| record.judged(verdict).map(move |it| (*record, it)))
    };
    let all: Vec<(&RunRecord, &Judgement)> = told(JudgementVerdict::Failed)
        .chain(told(JudgementVerdict::Inconclusive))
        .collect();
    let shown = if all.len() > ANNOTATIONS_MAX {
        ANNOTATIONS_MAX - 1
    } else {
        all.len()
    };
    let mut lines: Vec<String> = all[..shown]
        .iter()
        .map(|(record, it)| annotation(record, it))
        .collect();
    if all.len() > shown {
        let rest = all.len() - shown;
        lines.push(format!(
            "::error title=brownout::{rest} more did not hold; see the step's summary"
        ));
    }
    lines
}

fn annotation(record: &RunRecord, judgement: &Judgement) -> String {
    let place = match judgement.line {
        0 => String::new(),
        line => format!(
            "file={},line={line},col={},",
            property(&record.run.file),
            judgement.column
        ),
    };
    let why = judgement
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!("\n{why}"));
    let text = format!(
        "{}: observed {}, expected {}{why}",
        judgement.text, judgement.observed, judgement.expected
    );
    format!(
        "::error {place}title={}::{}",
        property(&format!(
            "{} in {}",
            judgement.verdict.word(),
            judgement.phase
        )),
        message(&text)
    )
}

/// A message of a workflow command.
fn message(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

pub(super) fn percent(share: f64) -> String {
    crate::expectation::Unit::Share.show(share)
}

/// A quantile of a hop as text.
pub(super) fn at(hop: &HopSummary, share: f64) -> String {
    let found = hop
        .quantiles
        .iter()
        .find(|(of, _)| (of - share).abs() < 1e-9);
    found.map_or_else(
        || "–".to_owned(),
        |(_, ms)| crate::expectation::Unit::Time.show(ms / 1_000.0),
    )
}

pub(super) fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a String takes everything");
}

/// Text that is no markup, in one cell of a table.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text as code, in one cell of a table.
pub(super) fn code(text: &str) -> String {
    let text: String = text
        .chars()
        .filter(|c| *c != '`' && !c.is_control())
        .collect();
    format!("`{}`", text.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflow_commands_are_escaped() {
        assert_eq!(property("a:b,c\n100%"), "a%3Ab%2Cc%0A100%25");
        assert_eq!(message("a:b,c\n100%"), "a:b,c%0A100%25");
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(
            escape("<b>*x*|_y_</b>"),
            "&lt;b&gt;\\*x\\*\\|\\_y\\_&lt;/b&gt;"
        );
        assert_eq!(code("a|b`c"), "`a\\|bc`");
    }
}
