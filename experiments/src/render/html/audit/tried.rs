//! What was tried, in the order in which it was.

use super::{AuditReport, Page, escape};
use crate::{
    audit::ExperimentRecord,
    render::evidence::{counted, served, time},
};

pub(super) fn write(page: &mut Page, report: &AuditReport) {
    if report.experiments.is_empty() {
        return;
    }
    let several = report.calm.len() > 1;
    let dependency = if several {
        "<th scope=\"col\">dependency</th>"
    } else {
        ""
    };
    page.put(format_args!(
        "<section aria-labelledby=\"tried\">\n<h2 id=\"tried\">What was tried</h2>\n\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"tried\"><table class=\"tried\">\n\
         <thead><tr><th scope=\"col\" class=\"n\">at</th>{dependency}<th scope=\"col\">what was broken</th><th scope=\"col\">pages</th>\
         <th scope=\"col\" class=\"n\">longest</th><th scope=\"col\" class=\"n\">calls</th><th scope=\"col\" class=\"n\">injected</th></tr></thead>\n<tbody>\n"
    ));
    for rounds in rounds(&report.experiments) {
        row(page, &rounds, several);
    }
    page.put(format_args!(
        "</tbody></table></div>\n<p class=\"note\">At: since the first of them began. Injected: calls that the fault acted on.</p>\n</section>\n"
    ));
}

/// Rounds of one experiment are told together.
fn rounds(records: &[ExperimentRecord]) -> Vec<Vec<&ExperimentRecord>> {
    let mut all: Vec<Vec<&ExperimentRecord>> = Vec::new();
    for record in records {
        let same = |last: &&mut Vec<&ExperimentRecord>| {
            let last = last[0];
            (&last.id, &last.route, &last.form, &last.path)
                == (&record.id, &record.route, &record.form, &record.path)
        };
        match all.last_mut().filter(same) {
            Some(last) => last.push(record),
            None => all.push(vec![record]),
        }
    }
    all
}

fn row(page: &mut Page, rounds: &[&ExperimentRecord], several: bool) {
    let first = rounds[0];
    let mut sum = first.clone();
    for more in &rounds[1..] {
        sum.pages += more.pages;
        sum.attempts += more.attempts;
        sum.struck = sum.struck.zip(more.struck).map(|(one, other)| one + other);
        sum.busy |= more.busy;
        sum.seen.whole += more.seen.whole;
        sum.seen.degraded += more.seen.degraded;
        sum.seen.failed += more.seen.failed;
        sum.seen.left += more.seen.left;
        sum.seen.page_max_ms = sum.seen.page_max_ms.max(more.seen.page_max_ms);
    }
    let what = match (first.fault.is_empty(), rounds.len()) {
        (true, _) => "nothing".to_owned(),
        (false, 1) => first.fault.clone(),
        (false, more) => format!("{}; {more} rounds", first.fault),
    };
    let busy = match sum.busy {
        true => " <span class=\"why\">this machine was too busy to judge by it</span>",
        false => "",
    };
    let dependency = match several {
        true => format!(
            "<td data-label=\"dependency\">{}</td>",
            escape(&first.route)
        ),
        false => String::new(),
    };
    let pages = match served(&sum) {
        how if sum.pages == 1 => how,
        how => format!("{}: {how}", counted(sum.pages, "page")),
    };
    page.put(format_args!(
        "<tr><td class=\"n\" data-label=\"at\">{}</td>{dependency}<td data-label=\"broken\">{}{busy}</td><td data-label=\"pages\">{}</td>\
         <td class=\"n\" data-label=\"longest\">{}</td><td class=\"n\" data-label=\"calls\">{}</td><td class=\"n\" data-label=\"injected\">{}</td></tr>\n",
        crate::render::html::story::moment(first.at_ms),
        escape(&what),
        escape(&pages),
        time(sum.seen.page_max_ms),
        sum.attempts,
        sum.struck.map_or_else(|| "–".to_owned(), |it| it.to_string())
    ));
}
