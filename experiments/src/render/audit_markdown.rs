//! An audit as Markdown, for step summaries and comments.

use super::{
    audit::{by_reason, sentence, worst_first},
    evidence::in_one_line,
    markdown::{code, escape, put},
};
use crate::{
    audit::{AuditReport, AuditVerdict},
    forensics::{Finding, Verdict},
};

/// An audit for a step summary or a comment: the verdict, each defect with what was seen and what to change, and behind a fold what
/// could not be told and what holds.
#[must_use]
pub fn audit_markdown(report: &AuditReport) -> String {
    let mut page = String::new();
    let sign = match report.verdict {
        AuditVerdict::Pass => "✅",
        AuditVerdict::Fail => "❌",
        AuditVerdict::Inconclusive => "⚠️",
    };
    put(
        &mut page,
        format_args!(
            "### {sign} brownout audit: {}\n\n",
            escape(&sentence(report))
        ),
    );
    let defects = worst_first(report);
    if !defects.is_empty() {
        page.push_str(
            "| severity | dependency | defect | seen | change |\n|---|---|---|---|---|\n",
        );
    }
    for it in defects {
        put(
            &mut page,
            format_args!(
                "| {} | {} | {}<br>{} | {} | {} |\n",
                it.severity.as_str(),
                escape(&it.route),
                code(it.id.as_str()),
                escape(&it.sentence),
                escape(&in_one_line(&it.evidence)),
                escape(&it.fix)
            ),
        );
    }
    let several = report.calm.len() > 1;
    for (verdict, heading) in [
        (Verdict::Undetermined, "Undetermined"),
        (Verdict::Ok, "Holds"),
    ] {
        let found = report.looked_for();
        let found: Vec<&Finding> = found.filter(|it| it.verdict == verdict).collect();
        if found.is_empty() {
            continue;
        }
        put(
            &mut page,
            format_args!(
                "\n<details><summary>{heading} ({})</summary>\n\n",
                found.len()
            ),
        );
        for (told, ids) in by_reason(&found, several) {
            let ids: Vec<String> = ids.into_iter().map(code).collect();
            put(
                &mut page,
                format_args!("- {}: {}\n", ids.join(", "), escape(&told)),
            );
        }
        page.push_str("\n</details>\n");
    }
    put(
        &mut page,
        format_args!("\nAgain: {}\n\n", code(&report.reproduce)),
    );
    page
}
