//! An audit on a terminal.

use super::{Line, Tone};
use crate::{
    audit::{AuditEvent, AuditReport, AuditVerdict, CalmRecord, ExperimentRecord},
    forensics::{Finding, Verdict},
};

/// Where texts begin.
const TEXT: usize = 10;
/// Where lines end.
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
            AuditEvent::Ready => vec![plain("The service serves its page.")],
            AuditEvent::Calm(calm) => calm_lines(calm),
            AuditEvent::Experiment(record) => {
                // Rounds of one experiment are one line each only where their form differs.
                let told = format!("{} {}", record.id, record.form);
                if self.last == told {
                    return Vec::new();
                }
                self.last = told;
                vec![plain(&experiment(record))]
            }
            AuditEvent::Restarted { why, .. } => vec![Line {
                text: format!("  started anew: {why}"),
                tone: Tone::Unsure,
            }],
            AuditEvent::Stopped { route, why } => vec![Line {
                text: format!("  no more can be tried on {route}: {why}"),
                tone: Tone::Unsure,
            }],
        }
    }

    /// What came of it.
    #[must_use]
    pub fn report(report: &AuditReport) -> Vec<Line> {
        let mut lines = Vec::new();
        let of = |verdict: Verdict| {
            let found = report.findings.iter();
            found.filter(move |it| it.verdict == verdict)
        };
        for finding in of(Verdict::Defect) {
            lines.push(plain(""));
            lines.extend(defect(finding));
        }
        let untold: Vec<&Finding> = of(Verdict::Undetermined).collect();
        if !untold.is_empty() {
            lines.push(plain(""));
            lines.push(strong(&format!("Could not be told ({}):", untold.len())));
            lines.extend(by_reason(&untold, Tone::Unsure));
        }
        let apart: Vec<&Finding> = of(Verdict::NotApplicable).collect();
        if !apart.is_empty() {
            lines.push(plain(""));
            lines.push(strong(&format!("Does not apply ({}):", apart.len())));
            lines.extend(by_reason(&apart, Tone::Plain));
        }
        let good: Vec<&Finding> = of(Verdict::Ok).collect();
        if !good.is_empty() {
            lines.push(plain(""));
            lines.push(strong(&format!("Holds ({}):", good.len())));
            for finding in good {
                let text = format!("{}: {}", finding.id.as_str(), finding.sentence);
                lines.extend(wrapped("  ok", &text, Tone::Plain));
            }
        }
        lines.push(plain(""));
        lines.push(verdict(report));
        lines.push(plain(&format!("again     {}", report.reproduce)));
        lines
    }
}

fn calm_lines(calm: &CalmRecord) -> Vec<Line> {
    let calls: Vec<String> = calm
        .calls_per_page
        .iter()
        .map(|(path, calls)| format!("{calls:.2} of {path}"))
        .collect();
    let told = match (calls.is_empty(), calm.background) {
        (true, _) => "no call of it was seen: nothing can be said of it".to_owned(),
        (false, true) => "it is called in the background, not by pages".to_owned(),
        (false, false) => format!("a page makes {} calls", calls.join(", ")),
    };
    vec![
        plain(""),
        strong(&format!(
            "{}: {told}; a page takes {:.1} ms",
            calm.route, calm.page_p50_ms
        )),
    ]
}

fn experiment(record: &ExperimentRecord) -> String {
    let struck = match record.struck {
        None => String::new(),
        Some(0) => "; it never struck".to_owned(),
        Some(times) => format!("; struck {times}x"),
    };
    let busy = if record.busy {
        "; this machine was busy"
    } else {
        ""
    };
    let fault = match record.fault.is_empty() {
        true => &record.form,
        false => &record.fault,
    };
    format!(
        "  {:<5} {fault}: {} pages, {} calls{struck}{busy}",
        record.id, record.pages, record.attempts
    )
}

fn defect(finding: &Finding) -> Vec<Line> {
    let severity = format!("{:?}", finding.severity).to_uppercase();
    let mut lines = vec![Line {
        text: format!("{severity:<9} {} ({})", finding.id.as_str(), finding.route),
        tone: Tone::Bad,
    }];
    lines.extend(wrapped("", &finding.sentence, Tone::Plain));
    lines.extend(wrapped("seen", &finding.evidence.to_string(), Tone::Plain));
    lines.extend(wrapped("change", &finding.fix, Tone::Good));
    if !finding.hint.is_empty() {
        lines.extend(wrapped("known", &finding.hint, Tone::Plain));
    }
    lines
}

/// Findings of one reason on one line.
fn by_reason(findings: &[&Finding], tone: Tone) -> Vec<Line> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for finding in findings {
        let id = finding.id.as_str();
        match reasons.iter_mut().find(|(why, _)| *why == finding.why) {
            Some((_, ids)) => ids.push(id),
            None => reasons.push((&finding.why, vec![id])),
        }
    }
    let lines = reasons.into_iter().flat_map(|(why, ids)| {
        let text = format!("{}: {why}", ids.join(", "));
        wrapped("  -", &text, tone)
    });
    lines.collect()
}

fn verdict(report: &AuditReport) -> Line {
    let defects = report
        .findings
        .iter()
        .filter(|it| it.verdict == Verdict::Defect)
        .count();
    let counted = match defects {
        1 => "1 defect".to_owned(),
        more => format!("{more} defects"),
    };
    let (text, tone) = match report.verdict {
        AuditVerdict::Pass if defects == 0 => {
            ("PASS      no defect was found".to_owned(), Tone::Good)
        }
        AuditVerdict::Pass => (format!("PASS      {counted}, of low severity"), Tone::Good),
        AuditVerdict::Fail => (format!("FAIL      {counted}"), Tone::Bad),
        AuditVerdict::Inconclusive => (
            "UNCLEAR   too much could not be told".to_owned(),
            Tone::Unsure,
        ),
    };
    Line { text, tone }
}

/// A label and a text, wrapped at the terminal's usual width.
fn wrapped(label: &str, text: &str, tone: Tone) -> Vec<Line> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && TEXT + line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    let lines = lines.into_iter().enumerate().map(|(index, line)| Line {
        text: format!("{:<TEXT$}{line}", if index == 0 { label } else { "" }),
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
