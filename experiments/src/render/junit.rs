//! Results as JUnit XML, in the form that Jenkins reads and nextest writes.

use std::fmt::Write as _;

use crate::{
    audit::AuditReport,
    forensics::{Finding, Verdict as Found},
    run::{Judgement, JudgementVerdict, RunRecord},
};

/// Results as one document: a suite for each run, a case for each judgement.
///
/// What failed is a `failure`. What cannot be told is a `failure` too, or `skipped` where the file says so.
#[must_use]
pub fn junit(records: &[&RunRecord]) -> String {
    let mut page = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all = records
        .iter()
        .map(|it| it.deciding().count())
        .sum::<usize>();
    let failed: usize = records.iter().map(|it| failures(it)).sum();
    let seconds: f64 = records.iter().map(|it| seconds(it.length_ms)).sum();
    put(
        &mut page,
        format_args!(
            "<testsuites name=\"brownout\" tests=\"{all}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.3}\">\n"
        ),
    );
    for record in records {
        suite(&mut page, record);
    }
    page.push_str("</testsuites>\n");
    page
}

/// An audit as one document: a suite for each dependency, a case for each finding.
///
/// A defect is a `failure`; what cannot be told, and what does not apply, is `skipped`.
#[must_use]
pub fn audit_junit(report: &AuditReport) -> String {
    let mut page = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let count = |findings: &[&Finding], verdicts: &[Found]| {
        findings
            .iter()
            .filter(|it| verdicts.contains(&it.verdict))
            .count()
    };
    let all: Vec<&Finding> = report.findings.iter().collect();
    put(
        &mut page,
        format_args!(
            "<testsuites name=\"brownout audit\" tests=\"{}\" failures=\"{}\" errors=\"0\">\n",
            all.len(),
            count(&all, &[Found::Defect])
        ),
    );
    for calm in &report.calm {
        let route = escape(&calm.route);
        let own: Vec<&Finding> = all
            .iter()
            .copied()
            .filter(|it| it.route == calm.route)
            .collect();
        put(
            &mut page,
            format_args!(
                "  <testsuite name=\"{route}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\">\n",
                own.len(),
                count(&own, &[Found::Defect]),
                count(&own, &[Found::Undetermined, Found::NotApplicable])
            ),
        );
        for finding in own {
            let told = match finding.verdict {
                Found::Ok => "/>".to_owned(),
                Found::Defect => format!(
                    "><failure message=\"{}\">{}</failure></testcase>",
                    escape(&finding.sentence),
                    escape(&format!("{}\n{}", finding.evidence, finding.fix))
                ),
                Found::Undetermined | Found::NotApplicable => format!(
                    "><skipped message=\"{}\"/></testcase>",
                    escape(&finding.sentence)
                ),
            };
            put(
                &mut page,
                format_args!(
                    "    <testcase classname=\"{route}\" name=\"{}\"{told}\n",
                    finding.id.as_str()
                ),
            );
        }
        page.push_str("  </testsuite>\n");
    }
    page.push_str("</testsuites>\n");
    page
}

fn suite(page: &mut String, record: &RunRecord) {
    let run = &record.run;
    let skipped = record.judged(JudgementVerdict::Inconclusive).count();
    let skipped = if run.inconclusive_fails { 0 } else { skipped };
    put(
        page,
        format_args!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{skipped}\" \
             timestamp=\"{}\" time=\"{:.3}\">\n",
            escape(&run.name),
            record.deciding().count(),
            failures(record),
            escape(seconds_of(&run.started_at)),
            seconds(record.length_ms)
        ),
    );
    let seed = run.seed.to_string();
    let properties = [
        ("title", run.title.as_str()),
        ("file", &run.file),
        ("seed", &seed),
        ("brownout", &run.brownout),
        ("commit", run.commit.as_deref().unwrap_or("unknown")),
        ("verdict", record.verdict.word()),
    ];
    page.push_str("    <properties>\n");
    for (name, value) in properties {
        put(
            page,
            format_args!(
                "      <property name=\"{name}\" value=\"{}\"/>\n",
                escape(value)
            ),
        );
    }
    page.push_str("    </properties>\n");
    for judgement in record.deciding() {
        case(page, record, judgement);
    }
    put(
        page,
        format_args!("    <system-out>{}</system-out>\n", escape(&output(record))),
    );
    page.push_str("  </testsuite>\n");
}

fn case(page: &mut String, record: &RunRecord, judgement: &Judgement) {
    let took: u64 = record
        .phases
        .iter()
        .filter(|it| it.is_named(&judgement.phase))
        .filter_map(|it| Some(it.to_ms?.saturating_sub(it.from_ms)))
        .sum();
    let head = format!(
        "    <testcase name=\"{}\" classname=\"{}.{}\" file=\"{}\" line=\"{}\" time=\"{:.3}\"",
        escape(&judgement.text),
        escape(&record.run.name),
        escape(&judgement.phase),
        escape(&record.run.file),
        judgement.line,
        seconds(took)
    );
    let observed = format!(
        "observed {}, expected {}",
        judgement.observed, judgement.expected
    );
    let why = judgement.why.as_deref().unwrap_or_default();
    let told = match judgement.verdict {
        JudgementVerdict::Passed => {
            put(page, format_args!("{head}/>\n"));
            return;
        }
        JudgementVerdict::Inconclusive if !record.run.inconclusive_fails => {
            format!("<skipped message=\"inconclusive: {}\"/>", escape(why))
        }
        verdict => {
            let kind = match verdict {
                JudgementVerdict::Inconclusive => "inconclusive",
                JudgementVerdict::Failed | JudgementVerdict::Passed => "threshold",
            };
            let place = format!("{}:{}", record.run.file, judgement.line);
            format!(
                "<failure type=\"{kind}\" message=\"{}\">{}</failure>",
                escape(&observed),
                escape(&format!("{}\n{observed}\n{why}\n{place}", judgement.text))
            )
        }
    };
    put(page, format_args!("{head}>{told}</testcase>\n"));
}

/// What a person needs to look further: the verdict, five traces and the command.
fn output(record: &RunRecord) -> String {
    let mut lines = vec![record.sentence.clone()];
    let traces = record.exemplars.iter().filter_map(|it| {
        let trace = it.trace_id.as_ref()?;
        let shown = match &record.run.traces {
            Some(url) => url.replace("{trace_id}", trace),
            None => trace.clone(),
        };
        Some(format!(
            "{} page in {}: {shown} ({}, {} ms)",
            it.why, it.phase, it.outcome, it.latency_ms
        ))
    });
    lines.extend(traces.take(5));
    lines.push(format!("reproduce: {}", record.run.reproduce));
    lines.join("\n")
}

fn failures(record: &RunRecord) -> usize {
    let failed = record.judged(JudgementVerdict::Failed).count();
    match record.run.inconclusive_fails {
        true => failed + record.judged(JudgementVerdict::Inconclusive).count(),
        false => failed,
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a String takes everything");
}

/// Text as XML 1.0 takes it: without the characters that it has no form for.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' | '\r' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// A moment of the wall clock as JUnit's schema has it: without a part of a second.
fn seconds_of(moment: &str) -> &str {
    let whole = moment.split('.').next().unwrap_or(moment);
    whole.trim_end_matches('Z')
}
#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn every_text_can_be_told() {
        assert_eq!(
            escape("a < b & \"c\"\u{0}\u{1b}[1m\nd"),
            "a &lt; b &amp; &quot;c&quot;[1m&#10;d"
        );
    }
}
