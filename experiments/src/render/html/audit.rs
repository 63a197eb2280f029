//! An audit as one HTML page.

mod attempts;
mod findings;
mod story;
mod tried;

use super::{BARS_STYLE, JSON_BYTES_MAX, Page, STYLE, escape, words};
use crate::{
    audit::{AuditReport, AuditVerdict},
    forensics::{Finding, Verdict},
    render::{
        audit::worst_first,
        evidence::{counted, joined, title},
    },
};

const OWN_STYLE: &str = include_str!("audit.css");

/// An audit as one HTML page that needs no network, for a person who was not there.
///
/// # Panics
/// Never: a report is always JSON.
#[must_use]
pub fn audit_html(report: &AuditReport) -> String {
    let mut page = Page(String::new());
    header(&mut page, report);
    page.put(format_args!("<main>\n"));
    words::write(&mut page, &words::of_audit(&report.budget));
    story::write(&mut page, report);
    findings::write(&mut page, report);
    tried::write(&mut page, report);
    page.put(format_args!(
        "<section aria-labelledby=\"again\">\n<h2 id=\"again\">Do it again</h2>\n<pre><code>{}</code></pre>\n\
         <p class=\"note\">The page was <code>{}{}</code>. Attempts were joined to pages {}. Times are those of one clock.</p>\n\
         </section>\n</main>\n",
        escape(&report.reproduce),
        escape(&report.page.origin),
        escape(&report.page.path),
        joined(report.joined_by)
    ));
    let text = serde_json::to_string(report).expect("a report is JSON");
    if text.len() <= JSON_BYTES_MAX {
        // Nothing in it may begin or end an element.
        let text = text.replace('<', "\\u003c");
        page.put(format_args!(
            "<script type=\"application/json\" id=\"result\">{text}</script>\n"
        ));
    }
    page.put(format_args!("</body>\n</html>\n"));
    page.0
}

fn header(page: &mut Page, report: &AuditReport) {
    let (class, word) = match report.verdict {
        AuditVerdict::Pass => ("good", "Passed."),
        AuditVerdict::Fail => ("bad", "Failed."),
        AuditVerdict::Inconclusive => ("unsure", "Unclear."),
    };
    let routes: Vec<&str> = report.calm.iter().map(|it| it.route.as_str()).collect();
    let about = format!(
        "What {} does when {} fails",
        report.page.path,
        routes.join(" or ")
    );
    let count = |verdict: Verdict| of(report, verdict).len();
    page.put(format_args!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{word} {about}</title>\n<style>\n{STYLE}{BARS_STYLE}{OWN_STYLE}</style>\n\
         </head>\n<body>\n<header class=\"{class}\">\n<p class=\"kicker\">brownout audit</p>\n<h1>{about}</h1>\n\
         <p class=\"verdict\"><strong>{word}</strong>{badge} {}</p>\n\
         <p class=\"facts\">{}{} looked for · {} found · {} not there · {} undetermined · {} not applicable · a page may take {}</p>\n</header>\n",
        escape(&verdict(report)),
        match report.started_at.as_str() {
            "" => String::new(),
            at => format!("{} · ", escape(&at.replace('T', " ").replace('Z', " UTC"))),
        },
        counted(report.looked_for().count(), "kind of defect").replace("kind of defects", "kinds of defects"),
        count(Verdict::Defect),
        count(Verdict::Ok),
        count(Verdict::Undetermined),
        count(Verdict::NotApplicable),
        escape(&report.budget),
        about = escape(&about),
        badge = untold(report),
    ));
}

/// How much is not known, so that no verdict stands alone.
fn untold(report: &AuditReport) -> String {
    let interrupted = match report.interrupted {
        true => " <span class=\"badge unsure\">interrupted</span>",
        false => "",
    };
    match of(report, Verdict::Undetermined).len() {
        0 => interrupted.to_owned(),
        some => format!(
            "{interrupted} <span class=\"badge unsure\">{some} of {} undetermined</span>",
            report.looked_for().count()
        ),
    }
}

/// In one sentence, for somebody who does not know what was looked for.
fn verdict(report: &AuditReport) -> String {
    let defects = worst_first(report);
    let rest = match defects.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(
            "; and {more} more {}",
            if more == 1 { "defect" } else { "defects" }
        ),
    };
    match (report.verdict, defects.first()) {
        (AuditVerdict::Inconclusive, None) => {
            "No defect was found, but too much is undetermined.".to_owned()
        }
        (AuditVerdict::Pass | AuditVerdict::Fail, None) => {
            "Whatever was broken, no defect was found.".to_owned()
        }
        (AuditVerdict::Pass, Some(worst)) => {
            format!("Only a small defect: {}{rest}.", lower(title(worst.id)))
        }
        (AuditVerdict::Fail | AuditVerdict::Inconclusive, Some(worst)) => {
            format!("{}: {}{rest}.", title(worst.id), worst.sentence)
        }
    }
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_lowercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

fn of(report: &AuditReport, verdict: Verdict) -> Vec<&Finding> {
    let found = report.looked_for();
    found.filter(|it| it.verdict == verdict).collect()
}
