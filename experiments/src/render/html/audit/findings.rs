//! Each defect with its evidence and what to change, and in short what else was looked for.

use super::{AuditReport, Page, attempts, escape, of, worst_first};
use crate::{
    forensics::{Finding, Severity, Verdict},
    render::{
        audit::by_reason,
        evidence::{facts, is_about_waits, served, shown_by, title},
        html::histogram,
    },
};

pub(super) fn write(page: &mut Page, report: &AuditReport) {
    let defects = worst_first(report);
    if !defects.is_empty() {
        page.put(format_args!("<section aria-labelledby=\"defects\">\n<h2 id=\"defects\">What is wrong, and what to change</h2>\n"));
        for finding in defects {
            defect(page, report, finding);
        }
        page.put(format_args!("</section>\n"));
    }
    let several = report.calm.len() > 1;
    for (verdict, id, heading) in [
        (
            Verdict::Undetermined,
            "untold",
            "What is undetermined, and why",
        ),
        (
            Verdict::Ok,
            "holds",
            "What holds, and the defects that are not there",
        ),
        (Verdict::NotApplicable, "apart", "What does not apply"),
    ] {
        let found = of(report, verdict);
        if !found.is_empty() {
            in_short(page, (id, heading), &found, several);
        }
    }
}

fn defect(page: &mut Page, report: &AuditReport, finding: &Finding) {
    let class = match finding.severity {
        Severity::High => "bad",
        Severity::Medium => "unsure",
        Severity::Low => "low",
    };
    let severity = finding.severity.as_str();
    let id = format!("{}-{}", finding.id.as_str(), finding.route);
    page.put(format_args!(
        "<article class=\"defect {class}\" id=\"{id}\" aria-labelledby=\"{id}-h\">\n\
         <h3 id=\"{id}-h\">{} <span class=\"badge {class}\">{severity}</span></h3>\n\
         <p class=\"note\"><code>{}</code>, calls to <code>{}</code></p>\n<p>{}.</p>\n\
         <p class=\"change\"><strong>Change:</strong> {}.</p>\n",
        title(finding.id),
        finding.id.as_str(),
        escape(&finding.route),
        escape(&capital(&finding.sentence)),
        escape(&finding.fix),
        id = escape(&id),
    ));
    if !finding.hint.is_empty() {
        page.put(format_args!(
            "<p class=\"note\"><strong>Known from libraries:</strong> {}.</p>\n",
            escape(&finding.hint)
        ));
    }
    let facts = facts(&finding.evidence);
    if !facts.is_empty() {
        page.put(format_args!("<dl class=\"evidence\">\n"));
        for (name, value) in facts {
            page.put(format_args!(
                "<div><dt>{}</dt><dd>{}</dd></div>\n",
                escape(&name),
                escape(&value)
            ));
        }
        page.put(format_args!("</dl>\n"));
    }
    if let Some(record) = shown_by(report, finding) {
        let what = if record.fault.is_empty() {
            "nothing was broken"
        } else {
            &record.fault
        };
        if let Some(over_time) = &record.seen.over_time {
            attempts::over_time(page, over_time, what);
        } else if let Some(exemplar) = &record.seen.exemplar {
            let budget = brownout_fault::units::parse_duration(&report.budget);
            let budget = budget.map_or(0.0, |it| it.as_secs_f64() * 1e3);
            attempts::waterfall(page, exemplar, what, budget);
        } else {
            page.put(format_args!(
                "<p class=\"note\">Seen while {}. Pages: {}.</p>\n",
                escape(what),
                served(record)
            ));
        }
        let waits: Vec<f64> = report
            .experiments
            .iter()
            .filter(|it| it.id == record.id && it.route == record.route && it.form == record.form)
            .flat_map(|it| it.seen.waits_ms.iter().copied())
            .collect();
        if is_about_waits(finding.id) {
            histogram::write(page, &waits);
        }
    }
    page.put(format_args!("</article>\n"));
}

fn in_short(page: &mut Page, (id, heading): (&str, &str), found: &[&Finding], several: bool) {
    page.put(format_args!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n<ul class=\"short\">\n"
    ));
    for (told, ids) in by_reason(found, several) {
        let ids: Vec<String> = ids.iter().map(|it| format!("<code>{it}</code>")).collect();
        page.put(format_args!(
            "<li>{}. <span class=\"ids\">{}</span></li>\n",
            escape(&capital(&told)),
            ids.join(" ")
        ));
    }
    page.put(format_args!("</ul>\n</section>\n"));
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
