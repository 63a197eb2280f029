//! The table of what was expected.

use super::{Page, escape};
use crate::run::{JudgementVerdict, RunRecord};

pub(super) fn write(page: &mut Page, record: &RunRecord) {
    if record.judgements.is_empty() {
        return;
    }
    page.put(format_args!(
        "<section aria-labelledby=\"expected\">\n<h2 id=\"expected\">What was expected</h2>\n\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"expected\"><table class=\"expected\">\n\
         <thead><tr><th scope=\"col\">verdict</th><th scope=\"col\">phase</th><th scope=\"col\">expectation</th>\
         <th scope=\"col\">observed</th><th scope=\"col\">expected</th><th scope=\"col\">baseline</th>\
         <th scope=\"col\" class=\"n\">room</th><th scope=\"col\" class=\"n\">requests</th></tr></thead>\n<tbody>\n"
    ));
    for it in record.deciding() {
        let (class, word) = match it.verdict {
            JudgementVerdict::Passed => ("good", "✓ held"),
            JudgementVerdict::Failed => ("bad", "✗ failed"),
            JudgementVerdict::Inconclusive => ("unsure", "? unknown"),
        };
        let line = match it.line {
            0 => String::new(),
            line => format!("<span class=\"line\">line {line}</span>"),
        };
        let why = it.why.as_ref().map_or_else(String::new, |why| {
            format!("<span class=\"why\">{}</span>", escape(why))
        });
        let interval = it.interval.as_ref().map_or_else(String::new, |interval| {
            format!(
                "<span class=\"line\">true value: {}</span>",
                escape(interval)
            )
        });
        // Room of more than ten times the threshold says no more than that.
        let margin = it.margin.filter(|it| it.abs() < 10.0);
        let margin = margin.map_or_else(String::new, |margin| format!("{:+.0} %", margin * 100.0));
        let samples = match it.samples {
            0 => String::new(),
            count => count.to_string(),
        };
        page.put(format_args!(
            "<tr class=\"{class}\"><td data-label=\"verdict\"><span class=\"badge {class}\">{word}</span></td>\
             <td data-label=\"phase\"><a href=\"#timeline\">{}</a></td>\
             <td data-label=\"expectation\"><code>{}</code>{line}{why}</td>\
             <td data-label=\"observed\">{}{interval}</td><td data-label=\"expected\">{}</td>\
             <td data-label=\"baseline\">{}</td><td class=\"n\" data-label=\"room\">{margin}</td>\
             <td class=\"n\" data-label=\"requests\">{samples}</td></tr>\n",
            escape(&it.phase),
            escape(&it.text),
            escape(&it.observed),
            escape(&it.expected),
            escape(it.baseline.as_deref().unwrap_or_default())
        ));
    }
    page.put(format_args!(
        "</tbody></table></div>\n<p class=\"note\">Room: how far the observed value is from the limit, as a share of the limit; \
         negative where it missed. True value: the range that the share of all such requests lies in, at the file's confidence \
         (95 % unless it says otherwise). A check is judged by the observed value.</p>\n</section>\n"
    ));
}
