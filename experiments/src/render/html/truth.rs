//! What faults were asked to do, and did.

use brownout_wire::CountersAnswer;

use super::{
    Page, escape,
    story::{length, moment},
};
use crate::{
    expectation::Unit,
    run::{FaultTruth, RunRecord},
};

/// A column of the table: its heading, whether it has numbers, and what stands in it.
type Column = (&'static str, bool, fn(&FaultTruth) -> String);

/// Those that stand in every table.
const ALWAYS: [Column; 6] = [
    ("phase", false, |it| escape(&it.phase)),
    ("what it does", false, |it| escape(&it.what)),
    ("matched", true, |it| count(it, |it| it.matched)),
    ("injected", true, |it| count(it, |it| it.injected)),
    ("injected share", true, |it| {
        let counters = it.counters.filter(|it| it.matched > 0);
        counters.map_or_else(String::new, |it| {
            Unit::Share.show(it.injected as f64 / it.matched as f64)
        })
    }),
    ("first injected", false, |it| {
        it.struck_ms.map_or_else(
            || "never".to_owned(),
            |at| match at.saturating_sub(it.armed_ms) {
                0 => format!("{}, at once", moment(at)),
                later => format!("{}, {} after it was on", moment(at), length(later)),
            },
        )
    }),
];

/// Those that only take room where no fault has something to say.
const WHERE_TOLD: [Column; 4] = [
    ("delays", false, |it| {
        match (&it.magnitude.delay_p50, &it.magnitude.delay_p99) {
            (Some(p50), Some(p99)) => escape(&format!("median {p50}, p99 {p99}")),
            _ => String::new(),
        }
    }),
    ("bytes", true, |it| {
        let bytes = it.magnitude.bytes;
        bytes.map_or_else(String::new, |it| it.to_string())
    }),
    ("caller gave up", true, |it| {
        some(it, |it| it.client_gave_up)
    }),
    ("passed, too many at once", true, |it| {
        some(it, |it| it.overflow)
    }),
];

pub(super) fn write(page: &mut Page, record: &RunRecord) {
    if record.faults.is_empty() {
        return;
    }
    let told = WHERE_TOLD.iter().filter(|(_, _, of)| {
        let mut faults = record.faults.iter();
        faults.any(|it| !of(it).is_empty())
    });
    let columns: Vec<&Column> = ALWAYS.iter().chain(told).collect();
    page.put(format_args!(
        "<section aria-labelledby=\"truth\">\n<h2 id=\"truth\">What the faults did</h2>\n\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"truth\"><table class=\"stack\">\n<thead><tr><th scope=\"col\">fault</th>"
    ));
    for (name, is_number, _) in &columns {
        let class = if *is_number { " class=\"n\"" } else { "" };
        page.put(format_args!("<th scope=\"col\"{class}>{name}</th>"));
    }
    page.put(format_args!("</tr></thead>\n<tbody>\n"));
    for fault in &record.faults {
        let class = match fault.injected() {
            0 => " class=\"unsure\"",
            _ => "",
        };
        page.put(format_args!(
            "<tr{class}><td class=\"head\"><code>{}</code></td>",
            escape(&fault.id)
        ));
        for (name, is_number, of) in &columns {
            let class = match (is_number, *name) {
                (true, _) => "n",
                (false, "phase") => "",
                (false, _) => "wide",
            };
            page.put(format_args!(
                "<td class=\"{class}\" data-label=\"{name}\">{}</td>",
                of(fault)
            ));
        }
        page.put(format_args!("</tr>\n"));
    }
    page.put(format_args!("</tbody></table></div>\n"));
    let differing = differing(record);
    if !differing.is_empty() {
        page.put(format_args!(
            "<p class=\"note\">{} A fault goes on just before the clock of its phase starts, and off just after it stops.</p>\n",
            escape(&differing.join(" "))
        ));
    }
    page.put(format_args!("</section>\n"));
}

fn count(fault: &FaultTruth, pick: fn(&CountersAnswer) -> u64) -> String {
    let counters = fault.counters.as_ref();
    counters.map_or_else(|| "?".to_owned(), |it| pick(it).to_string())
}

/// A count that says nothing where it is 0.
fn some(fault: &FaultTruth, pick: fn(&CountersAnswer) -> u64) -> String {
    let count = fault.counters.as_ref().map(pick).filter(|it| *it > 0);
    count.map_or_else(String::new, |it| it.to_string())
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
                "The fault {} matched {matched} calls, and {route} had {} in the phase {}.",
                fault.id, hop.requests, fault.phase
            )
        })
    });
    told.collect()
}
