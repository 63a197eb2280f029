//! An audit as one HTML page.

use super::{Page, STYLE, escape};
use crate::{
    audit::{AuditReport, AuditVerdict},
    forensics::{Finding, Verdict},
};

/// An audit as one HTML page that needs no network, for a person who was not there.
#[must_use]
pub fn audit_html(report: &AuditReport) -> String {
    let mut page = Page(String::new());
    let (class, word) = match report.verdict {
        AuditVerdict::Pass => ("good", "Passed"),
        AuditVerdict::Fail => ("bad", "Failed"),
        AuditVerdict::Inconclusive => ("unsure", "Unclear"),
    };
    let of = |verdict: Verdict| {
        report
            .findings
            .iter()
            .filter(move |it| it.verdict == verdict)
    };
    let routes: Vec<&str> = report.calm.iter().map(|it| it.route.as_str()).collect();
    let title = format!("What happens when {} fails", routes.join(" or "));
    page.put(format_args!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{word}: {title}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<header class=\"{class}\">\n<p class=\"kicker\">brownout audit</p>\n<h1>{title}</h1>\n\
         <p class=\"verdict\"><strong>{word}</strong> {} of {} checks found a defect; {} hold, {} could not be told, {} do not apply.</p>\n\
         <p class=\"facts\">a page may take {}</p>\n</header>\n<main>\n",
        of(Verdict::Defect).count(),
        report.findings.len(),
        of(Verdict::Ok).count(),
        of(Verdict::Undetermined).count(),
        of(Verdict::NotApplicable).count(),
        escape(&report.budget),
        title = escape(&title),
    ));
    for (verdict, heading) in [
        (Verdict::Defect, "Defects"),
        (Verdict::Undetermined, "Could not be told"),
        (Verdict::Ok, "Holds"),
        (Verdict::NotApplicable, "Does not apply"),
    ] {
        let found: Vec<&Finding> = of(verdict).collect();
        if !found.is_empty() {
            findings(&mut page, heading, &found);
        }
    }
    experiments(&mut page, report);
    page.put(format_args!(
        "<section>\n<h2>Again</h2>\n<pre>{}</pre>\n</section>\n</main>\n</body>\n</html>\n",
        escape(&report.reproduce)
    ));
    page.0
}

fn findings(page: &mut Page, heading: &str, found: &[&Finding]) {
    page.put(format_args!("<section>\n<h2>{heading}</h2>\n"));
    page.put(format_args!(
        "<table>\n<thead><tr><th>Check</th><th>Dependency</th><th>What was seen</th></tr></thead>\n<tbody>\n"
    ));
    for finding in found {
        page.put(format_args!(
            "<tr><th scope=\"row\"><code>{}</code></th><td>{}</td><td>{}",
            finding.id.as_str(),
            escape(&finding.route),
            escape(&finding.sentence)
        ));
        if !finding.fix.is_empty() {
            page.put(format_args!(
                "<br><strong>Change:</strong> {}",
                escape(&finding.fix)
            ));
        }
        if !finding.hint.is_empty() {
            page.put(format_args!(
                "<br><em>Known:</em> {}",
                escape(&finding.hint)
            ));
        }
        if finding.verdict == Verdict::Defect {
            page.put(format_args!(
                "<br><code>{}</code>",
                escape(&finding.evidence.to_string())
            ));
        }
        page.put(format_args!("</td></tr>\n"));
    }
    page.put(format_args!("</tbody>\n</table>\n</section>\n"));
}

fn experiments(page: &mut Page, report: &AuditReport) {
    page.put(format_args!(
        "<section>\n<h2>What was tried</h2>\n<table>\n<thead><tr><th>Experiment</th><th>Dependency</th><th>Fault</th>\
         <th>Pages</th><th>Calls</th><th>Struck</th></tr></thead>\n<tbody>\n"
    ));
    for record in &report.experiments {
        let fault = if record.fault.is_empty() {
            &record.form
        } else {
            &record.fault
        };
        page.put(format_args!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            record.id,
            escape(&record.route),
            escape(fault),
            record.pages,
            record.attempts,
            record.struck.map_or_else(String::new, |it| it.to_string())
        ));
    }
    page.put(format_args!("</tbody>\n</table>\n</section>\n"));
}
