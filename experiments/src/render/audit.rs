//! An audit on a terminal.

use super::{
    Line, Tone,
    evidence::{calls_of, counted, in_one_line, joined, served, shown_by, time, title},
};
use crate::{
    audit::{AuditEvent, AuditReport, AuditVerdict, CalmRecord, ExperimentRecord},
    forensics::{Finding, Verdict},
};

/// The column at which texts begin.
const TEXT: usize = 10;
/// The column at which lines end.
const WIDTH: usize = 80;

/// Turns events of an audit into lines, in their order.
#[derive(Debug, Default)]
pub struct AuditTerminal {
    /// The experiment that was told last.
    last: String,
}

impl AuditTerminal {
    /// The lines that an event adds.
    pub fn lines(&mut self, event: &AuditEvent) -> Vec<Line> {
        match event {
            AuditEvent::Waiting { page, within } => wrapped_at(
                0,
                "",
                &format!(
                    "Waiting for {page} to be served, at most {} (--ready-within).",
                    crate::expectation::show_span(*within)
                ),
                Tone::Plain,
            ),
            AuditEvent::Ready => vec![plain("The service serves its page.")],
            AuditEvent::Calm(calm) => calm_lines(calm),
            AuditEvent::Experiment(record) => {
                // Rounds of one experiment are one line each only where their form or their path differs.
                let told = format!("{} {} {}", record.id, record.form, record.fault);
                if self.last == told {
                    return Vec::new();
                }
                self.last = told;
                experiment(record)
            }
            AuditEvent::Restarted { why, .. } => wrapped(
                "  !",
                &format!("the service was started anew: {why}"),
                Tone::Unsure,
            ),
            AuditEvent::Stopped { route, why } => wrapped(
                "  !",
                &format!("no more can be tried on {route}: {why}"),
                Tone::Unsure,
            ),
        }
    }

    /// What came of it.
    #[must_use]
    pub fn report(report: &AuditReport) -> Vec<Line> {
        let mut lines = Vec::new();
        let of = |verdict: Verdict| {
            let found = report.looked_for();
            found.filter(move |it| it.verdict == verdict)
        };
        for finding in worst_first(report) {
            lines.push(plain(""));
            lines.extend(defect(report, finding));
        }
        // With one dependency its name would be noise.
        let several = report.calm.len() > 1;
        for (verdict, heading, label, tone) in [
            (Verdict::Undetermined, "Undetermined", "  ?", Tone::Unsure),
            (Verdict::NotApplicable, "Does not apply", "  -", Tone::Plain),
            (Verdict::Ok, "Holds", "  ok", Tone::Plain),
        ] {
            let found: Vec<&Finding> = of(verdict).collect();
            if found.is_empty() {
                continue;
            }
            lines.push(plain(""));
            lines.push(strong(&format!("{heading} ({}):", found.len())));
            for (told, ids) in by_reason(&found, several) {
                lines.extend(wrapped(label, &format!("{}: {told}", ids.join(", ")), tone));
            }
        }
        let left_out = report.findings.len() - report.looked_for().count();
        if left_out > 0 {
            lines.push(plain(""));
            lines.push(plain(&format!("Not asked for with --only: {left_out}")));
        }
        lines.push(plain(""));
        lines.extend(verdict(report));
        let how = joined(report.joined_by);
        lines.extend(wrapped(
            "joined",
            &format!("calls to pages {how}"),
            Tone::Plain,
        ));
        // A command to paste is not broken into lines.
        lines.push(plain(&format!("again     {}", report.reproduce)));
        lines
    }
}

fn calm_lines(calm: &CalmRecord) -> Vec<Line> {
    let told = calls_of(calm, str::to_owned);
    let told = format!(
        "{}: {told}; without a fault a page takes {}",
        calm.route,
        time(calm.page_p50_ms)
    );
    let mut lines = vec![plain("")];
    lines.extend(wrapped_at(0, "", &told, Tone::Strong));
    lines
}

fn experiment(record: &ExperimentRecord) -> Vec<Line> {
    let what = match record.fault.is_empty() {
        true => &record.form,
        false => &record.fault,
    };
    let all = u64::try_from(record.attempts).unwrap_or(u64::MAX);
    let struck = match record.struck {
        Some(0) => ", but the fault never struck".to_owned(),
        Some(some) if some < all => format!(", {some} of them struck"),
        _ => String::new(),
    };
    let busy = if record.busy {
        "; this machine was too busy to judge by it"
    } else {
        ""
    };
    let pages = match served(record) {
        how if how.is_empty() => counted(record.pages, "page"),
        how if record.pages == 1 => format!("1 page, {how}"),
        how => format!("{} ({how})", counted(record.pages, "page")),
    };
    let text = format!(
        "{what}: {pages}; {}{struck}{busy}",
        counted(record.attempts, "call")
    );
    wrapped(&format!("  {}", record.id), &text, Tone::Plain)
}

fn defect(report: &AuditReport, finding: &Finding) -> Vec<Line> {
    let severity = finding.severity.as_str().to_uppercase();
    let mut lines = wrapped(
        &severity,
        &format!(
            "{} ({}, {})",
            title(finding.id),
            finding.id.as_str(),
            finding.route
        ),
        Tone::Bad,
    );
    lines.extend(wrapped("", &finding.sentence, Tone::Plain));
    let seen = in_one_line(&finding.evidence);
    if !seen.is_empty() {
        lines.extend(wrapped("seen", &seen, Tone::Plain));
    }
    let page = shown_by(report, finding).and_then(|it| it.seen.exemplar.as_ref());
    if let Some(id) = page.and_then(|it| it.request_id.as_ref()) {
        lines.extend(wrapped("page", &format!("x-request-id {id}"), Tone::Plain));
    }
    lines.extend(wrapped("change", &finding.fix, Tone::Good));
    if !finding.hint.is_empty() {
        lines.extend(wrapped("known", &finding.hint, Tone::Plain));
    }
    lines
}

/// The defects, the worst first.
pub(super) fn worst_first(report: &AuditReport) -> Vec<&Finding> {
    let found = report.findings.iter();
    let mut defects: Vec<&Finding> = found.filter(|it| it.verdict == Verdict::Defect).collect();
    defects.sort_by_key(|it| it.severity as u8);
    defects
}

/// Findings of which the same is told, with their ids.
pub(super) fn by_reason(
    findings: &[&Finding],
    several_routes: bool,
) -> Vec<(String, Vec<&'static str>)> {
    let mut reasons: Vec<(String, Vec<&'static str>)> = Vec::new();
    for finding in findings {
        let reason = match finding.why.is_empty() {
            true => &finding.sentence,
            false => &finding.why,
        };
        let reason = match several_routes {
            true => format!("{reason} ({})", finding.route),
            false => reason.clone(),
        };
        let id = finding.id.as_str();
        match reasons.iter_mut().find(|(told, _)| *told == reason) {
            Some((_, ids)) => ids.push(id),
            None => reasons.push((reason, vec![id])),
        }
    }
    reasons
}

/// The verdict in one sentence.
pub(super) fn sentence(report: &AuditReport) -> String {
    let count = |verdict: Verdict| {
        let found = report.looked_for();
        found.filter(|it| it.verdict == verdict).count()
    };
    let untold = match count(Verdict::Undetermined) {
        0 => String::new(),
        some => format!(", {some} undetermined"),
    };
    let held = format!("{} held{untold}", counted(count(Verdict::Ok), "check"));
    let found = match count(Verdict::Defect) {
        0 => "no defect was found".to_owned(),
        all => {
            let ids: Vec<&str> = worst_first(report)
                .iter()
                .map(|it| it.id.as_str())
                .collect();
            let low = match report.verdict {
                AuditVerdict::Pass => " of low severity",
                AuditVerdict::Fail | AuditVerdict::Inconclusive => "",
            };
            format!("{}{low} ({})", counted(all, "defect"), ids.join(", "))
        }
    };
    match report.verdict {
        _ if report.interrupted => format!("interrupted: {found} by then; {held}"),
        AuditVerdict::Inconclusive => format!("too much is undetermined: {found}; {held}"),
        AuditVerdict::Pass | AuditVerdict::Fail => format!("{found}; {held}"),
    }
}

fn verdict(report: &AuditReport) -> Vec<Line> {
    let (word, tone) = match report.verdict {
        AuditVerdict::Pass => ("PASS", Tone::Good),
        AuditVerdict::Fail => ("FAIL", Tone::Bad),
        AuditVerdict::Inconclusive => ("UNCLEAR", Tone::Unsure),
    };
    wrapped(word, &sentence(report), tone)
}

/// A label and a text, wrapped at the terminal's usual width.
fn wrapped(label: &str, text: &str, tone: Tone) -> Vec<Line> {
    wrapped_at(TEXT, label, text, tone)
}

/// The same with the text at a column.
fn wrapped_at(column: usize, label: &str, text: &str, tone: Tone) -> Vec<Line> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && column + line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    let lines = lines.into_iter().enumerate().map(|(index, line)| Line {
        text: format!("{:<column$}{line}", if index == 0 { label } else { "" }),
        tone,
    });
    lines.collect()
}

fn plain(text: &str) -> Line {
    Line {
        text: text.to_owned(),
        tone: Tone::Plain,
    }
}

fn strong(text: &str) -> Line {
    Line {
        text: text.to_owned(),
        tone: Tone::Strong,
    }
}
