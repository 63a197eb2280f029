//! What faults were asked to do, and did.

use super::{Page, escape};
use crate::{expectation::Unit, run::RunRecord};

pub(super) fn write(page: &mut Page, record: &RunRecord) {
    if record.faults.is_empty() {
        return;
    }
    page.put(format_args!(
        "<section aria-labelledby=\"truth\">\n<h2 id=\"truth\">Injection: asked for and struck</h2>\n\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"truth\"><table>\n<thead><tr><th scope=\"col\">fault</th><th scope=\"col\">phase</th>\
         <th scope=\"col\">asked for</th><th scope=\"col\" class=\"n\">matched</th><th scope=\"col\" class=\"n\">struck</th>\
         <th scope=\"col\" class=\"n\">share</th><th scope=\"col\">first struck</th><th scope=\"col\">achieved</th>\
         <th scope=\"col\" class=\"n\">clients that left</th><th scope=\"col\" class=\"n\">over its limit</th></tr></thead>\n<tbody>\n"
    ));
    for fault in &record.faults {
        let counts = fault.counters;
        let count = |pick: fn(&brownout_wire::CountersAnswer) -> u64| {
            counts
                .as_ref()
                .map_or_else(|| "?".to_owned(), |it| pick(it).to_string())
        };
        let share = counts.filter(|it| it.matched > 0);
        let share = share.map_or_else(String::new, |it| {
            Unit::Share.show(it.injected as f64 / it.matched as f64)
        });
        let first = fault.struck_ms.map_or_else(
            || "never".to_owned(),
            |at| {
                format!(
                    "{} after arming",
                    Unit::Time.show(at.saturating_sub(fault.armed_ms) as f64 / 1_000.0)
                )
            },
        );
        let magnitude = &fault.magnitude;
        let delays = match (&magnitude.delay_p50, &magnitude.delay_p99) {
            (Some(p50), Some(p99)) => format!("delay p50 {p50}, p99 {p99}"),
            _ => String::new(),
        };
        let bytes = magnitude
            .bytes
            .map_or_else(String::new, |it| format!("{it} bytes"));
        let achieved: Vec<&str> = [delays.as_str(), bytes.as_str()]
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect();
        let class = if fault.injected() == 0 {
            " class=\"unsure\""
        } else {
            ""
        };
        page.put(format_args!(
            "<tr{class}><td><code>{}</code></td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{share}</td><td>{first}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
            escape(&fault.id),
            escape(&fault.phase),
            escape(&fault.what),
            count(|it| it.matched),
            count(|it| it.injected),
            escape(&achieved.join("; ")),
            count(|it| it.client_gave_up),
            count(|it| it.overflow)
        ));
    }
    page.put(format_args!("</tbody></table></div>\n</section>\n"));
}
