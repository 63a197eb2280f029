//! What faults were asked to do, and did.

use super::{Page, escape};
use crate::{expectation::Unit, run::RunRecord};

pub(super) fn write(page: &mut Page, record: &RunRecord) {
    if record.faults.is_empty() {
        return;
    }
    page.put(format_args!(
        "<section aria-labelledby=\"truth\">\n<h2 id=\"truth\">What the faults did</h2>\n\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"truth\"><table>\n<thead><tr><th scope=\"col\">fault</th><th scope=\"col\">phase</th>\
         <th scope=\"col\">asked for</th><th scope=\"col\" class=\"n\">matched</th><th scope=\"col\" class=\"n\">injected</th>\
         <th scope=\"col\" class=\"n\">share</th><th scope=\"col\">first injected</th><th scope=\"col\">measured effect</th>\
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
                    "{} after it was on",
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
    page.put(format_args!("</tbody></table></div>\n"));
    let differing = differing(record);
    if !differing.is_empty() {
        page.put(format_args!(
            "<p class=\"note\">{} A fault goes on just before the clock of its phase starts, and off just after it stops.</p>\n",
            escape(&differing.join(" "))
        ));
    }
    page.put(format_args!(
        "<dl class=\"words\">\n<div><dt>on, off</dt><dd>From on to off, a fault acts on requests that it matches.</dd></div>\n\
         <div><dt>matched</dt><dd>Requests of the fault's route that its conditions fit.</dd></div>\n\
         <div><dt>injected</dt><dd>Matched requests that the fault acted on; the others were spared by its percentage or limit.</dd></div>\n\
         <div><dt>page, call</dt><dd>The load asks for pages. To make a page, services make calls; brownout sees those on its routes.</dd></div>\n\
         <div><dt>failed</dt><dd>A page: no whole answer, or a status of 400 and above. A call: no whole answer, or a status of 500 and above.</dd></div>\n\
         <div><dt>fallback</dt><dd>A good page whose answer says that something is missing.</dd></div>\n</dl>\n</section>\n"
    ));
}

/// Where a fault matched another number of requests than its route had calls in its phase.
fn differing(record: &RunRecord) -> Vec<String> {
    let faults = record.faults.iter();
    let told = faults.filter_map(|fault| {
        let matched = fault.counters?.matched;
        let phase = record.phases.iter().find(|it| it.name == fault.phase)?;
        let route = fault.what.rsplit_once(" on ")?.1;
        let hop = phase
            .hops
            .iter()
            .find(|it| !it.is_load && it.hop == route)?;
        let by = matched.abs_diff(hop.requests);
        // More than that has another reason, such as conditions of the fault.
        (by > 0 && by <= hop.requests / 20 + 5).then(|| {
            format!(
                "{} matched {matched} requests, and {route} had {} in the phase {}.",
                fault.id, hop.requests, fault.phase
            )
        })
    });
    told.collect()
}
