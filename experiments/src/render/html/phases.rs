//! The phases of a run and the times between them: pages, and calls on routes.

use super::{Page, escape, map::strikes, story::moment};
use crate::{
    expectation::Unit,
    render::markdown::at,
    run::{HopSummary, PhaseKind, RunRecord, Verdict},
};

/// What of the latency stands in the table.
const SHOWN: [(f64, &str); 4] = [
    (0.5, "median"),
    (0.95, "p95"),
    (0.99, "p99"),
    (1.0, "longest"),
];
/// With more rows than this, times between phases are left out.
const ROWS_MAX: usize = 160;

/// A phase, or a time that belongs to none.
struct Part<'r> {
    label: String,
    from_ms: u64,
    to_ms: Option<u64>,
    hops: &'r [HopSummary],
    is_phase: bool,
}

/// All of them, in order.
fn parts(record: &RunRecord) -> Vec<Part<'_>> {
    let phases = record.phases.iter().map(|it| Part {
        label: label(&it.name, it.kind),
        from_ms: it.from_ms,
        to_ms: it.to_ms,
        hops: &it.hops,
        is_phase: true,
    });
    let between = record.account.iter().flat_map(|it| &it.between);
    let between = between.map(|it| Part {
        label: it.name.clone(),
        from_ms: it.from_ms,
        to_ms: Some(it.to_ms),
        hops: &it.hops,
        is_phase: false,
    });
    let mut parts: Vec<Part<'_>> = phases.chain(between).collect();
    parts.sort_by_key(|it| it.from_ms);
    parts
}

/// Each phase and each time between two, with the pages that were to be sent in it.
pub(super) fn pages(page: &mut Page, record: &RunRecord) {
    let load = record.run.load_name.as_deref();
    let parts = parts(record);
    let of_load = |hop: &HopSummary| Some(hop.hop.as_str()) == load;
    page.put(format_args!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"latency\"><table class=\"stack thirds\">\n<thead><tr><th scope=\"col\">phase</th>\
         <th scope=\"col\" class=\"n\">from</th><th scope=\"col\" class=\"n\">to</th><th scope=\"col\" class=\"n\">pages</th>\
         <th scope=\"col\" class=\"n\">failed</th><th scope=\"col\" class=\"n\">fallback</th>"
    ));
    for (_, name) in SHOWN {
        page.put(format_args!("<th scope=\"col\" class=\"n\">{name}</th>"));
    }
    page.put(format_args!("</tr></thead>\n<tbody>\n"));
    let mut sum = Sum::default();
    for part in &parts {
        for hop in part.hops.iter().filter(|it| it.is_load) {
            let name = match of_load(hop) {
                true => part.label.clone(),
                false => format!("{}, {}", part.label, hop.hop),
            };
            // Where nothing was asked for, nothing is to be said.
            if !part.is_phase && hop.requests == 0 {
                continue;
            }
            if of_load(hop) {
                sum.add(hop);
            }
            row(page, &name, part, hop);
        }
    }
    missing(page, record, SHOWN.len() + 6);
    let counted = record.account.as_ref().and_then(|it| it.pages);
    if counted.is_some() {
        sum.write(page, record);
    }
    page.put(format_args!("</tbody></table></div>\n"));
    if let Some(count) = counted {
        let account = record.account.as_ref();
        let routes = account.map_or(&[][..], |it| &it.routes);
        let cut = cut_off(
            count.cut_off,
            routes.iter().map(|it| it.of_cut_off).max().unwrap_or(0),
        );
        page.put(format_args!(
            "<p class=\"note\">A page counts in the phase in which it was to be sent. Between two phases the load goes on, while \
             pages end, counts are read and faults are armed.{cut}</p>\n"
        ));
    }
}

/// What became of pages that had not ended when the load did. `called` of them had made a call over a route.
fn cut_off(pages: u64, called: u64) -> String {
    let silent = match pages.saturating_sub(called) {
        0 => String::new(),
        _ if called == 0 => String::new(),
        some => format!(" ({some} of them had not reached a route yet)"),
    };
    match pages {
        0 => String::new(),
        1 => " 1 page more was cut off when the load ended, and is in no row here.".to_owned(),
        some => format!(
            " {some} pages more were cut off when the load ended{silent}, and are in no row here."
        ),
    }
}

fn row(page: &mut Page, name: &str, part: &Part<'_>, hop: &HopSummary) {
    let class = if part.is_phase {
        ""
    } else {
        " class=\"between\""
    };
    let failed: u64 = hop.errors.iter().map(|(_, count)| count).sum();
    page.put(format_args!(
        "<tr{class}><td class=\"head\">{}</td><td class=\"n\" data-label=\"from\">{}</td><td class=\"n\" data-label=\"to\">{}</td>\
         <td class=\"n\" data-label=\"pages\">{}</td><td class=\"n\" data-label=\"failed\">{}</td><td class=\"n\" data-label=\"fallback\">{}</td>",
        escape(name),
        moment(part.from_ms),
        part.to_ms.map_or_else(|| "cut short".to_owned(), moment),
        hop.requests,
        counted(failed, hop.requests),
        fallback(hop)
    ));
    for (share, name) in SHOWN {
        page.put(format_args!(
            "<td class=\"n\" data-label=\"{name}\">{}</td>",
            at(hop, share)
        ));
    }
    page.put(format_args!("</tr>\n"));
}

/// Fallback pages of a hop; their share where an older record has no count.
fn fallback(hop: &HopSummary) -> String {
    match (hop.fallback, hop.degraded_rate) {
        (Some(count), _) => counted(count, hop.requests),
        (None, Some(rate)) => Unit::Share.show(rate),
        (None, None) => "–".to_owned(),
    }
}

/// A count with its share: `400 (100%)`.
fn counted(count: u64, all: u64) -> String {
    match count {
        0 => "0".to_owned(),
        some => format!("{some} ({})", rounded(some as f64 / all.max(1) as f64)),
    }
}

/// A share beside its count, which is exact: without digits that nobody reads, but never 0% or 100% where it is not.
fn rounded(share: f64) -> String {
    match share * 100.0 {
        percent if (0.0..1.0).contains(&percent) || (99.0..100.0).contains(&percent) => {
            Unit::Share.show(share)
        }
        percent => format!("{percent:.0}%"),
    }
}

/// What all rows of the load come to.
#[derive(Debug, Default)]
struct Sum {
    pages: u64,
    failed: u64,
    fallback: u64,
    longest: f64,
}

impl Sum {
    fn add(&mut self, hop: &HopSummary) {
        self.pages += hop.requests;
        self.failed += hop.errors.iter().map(|(_, count)| count).sum::<u64>();
        self.fallback += hop.fallback.unwrap_or(0);
        let longest = hop.quantiles.last().map_or(0.0, |it| it.1);
        self.longest = self.longest.max(longest);
    }

    fn write(&self, page: &mut Page, record: &RunRecord) {
        page.put(format_args!(
            "<tr class=\"sum\"><td class=\"head\">the whole run</td><td class=\"n\" data-label=\"from\">0s</td><td class=\"n\" data-label=\"to\">{}</td>\
             <td class=\"n\" data-label=\"pages\">{}</td><td class=\"n\" data-label=\"failed\">{}</td><td class=\"n\" data-label=\"fallback\">{}</td>{}\
             <td class=\"n\" data-label=\"longest\">{}</td></tr>\n",
            moment(record.length_ms),
            self.pages,
            counted(self.failed, self.pages),
            counted(self.fallback, self.pages),
            "<td class=\"n\"></td>".repeat(SHOWN.len() - 1),
            Unit::Time.show(self.longest / 1_000.0)
        ));
    }
}

/// What routes counted. Those without a fault stand behind the others, folded up.
pub(super) fn calls(page: &mut Page, record: &RunRecord) {
    let mut parts = parts(record);
    let rows = |parts: &[Part<'_>]| -> usize {
        let hops = parts.iter().flat_map(|it| it.hops);
        hops.filter(|it| !it.is_load).count()
    };
    if rows(&parts) > ROWS_MAX {
        parts.retain(|it| it.is_phase);
    }
    if rows(&parts) == 0 {
        return;
    }
    let mut routes: Vec<&str> = Vec::new();
    for hop in parts.iter().flat_map(|it| it.hops).filter(|it| !it.is_load) {
        if !routes.contains(&hop.hop.as_str()) {
            routes.push(&hop.hop);
        }
    }
    let has_fault = |route: &&str| record.faults.iter().any(|it| strikes(it, route));
    let (hit, others): (Vec<&str>, Vec<&str>) = routes.into_iter().partition(has_fault);
    page.put(format_args!("<h3 id=\"routes\">Calls on the routes</h3>\n"));
    if hit.is_empty() {
        calls_of(page, &parts, &others);
    } else {
        calls_of(page, &parts, &hit);
    }
    page.put(format_args!(
        "<p class=\"note\">A call counts in the phase in which it began: that may be the phase after the one in which its page counts. \
         Calls that had not ended when the load did are in no chart.</p>\n"
    ));
    if !hit.is_empty() && !others.is_empty() {
        page.put(format_args!(
            "<details>\n<summary>Routes without a fault: {}</summary>\n",
            escape(&others.join(", "))
        ));
        calls_of(page, &parts, &others);
        page.put(format_args!("</details>\n"));
    }
}

fn calls_of(page: &mut Page, parts: &[Part<'_>], routes: &[&str]) {
    page.put(format_args!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"routes\"><table class=\"stack\">\n<thead><tr><th scope=\"col\">route</th>\
         <th scope=\"col\">phase</th><th scope=\"col\" class=\"n\">calls</th><th scope=\"col\" class=\"n\">a second</th>\
         <th scope=\"col\" class=\"n\">failed</th><th scope=\"col\" class=\"n\">mean</th></tr></thead>\n<tbody>\n"
    ));
    for route in routes {
        let mut all = 0;
        for part in parts {
            let own = part
                .hops
                .iter()
                .filter(|it| !it.is_load && it.hop == *route);
            for hop in own.filter(|it| part.is_phase || it.requests > 0) {
                all += hop.requests;
                call_row(page, part, hop);
            }
        }
        if parts.iter().any(|it| !it.is_phase) {
            page.put(format_args!(
                "<tr class=\"sum\"><td class=\"head\">{}</td><td data-label=\"phase\">the whole run</td><td class=\"n\" data-label=\"calls\">{all}</td>\
                 <td class=\"n\"></td><td class=\"n\"></td><td class=\"n\"></td></tr>\n",
                escape(route)
            ));
        }
    }
    page.put(format_args!("</tbody></table></div>\n"));
}

fn call_row(page: &mut Page, part: &Part<'_>, hop: &HopSummary) {
    let class = if part.is_phase {
        ""
    } else {
        " class=\"between\""
    };
    let mean = hop
        .mean_ms
        .filter(|_| hop.requests > 0)
        .map_or_else(|| "–".to_owned(), |ms| Unit::Time.show(ms / 1_000.0));
    page.put(format_args!(
        "<tr{class}><td class=\"head\">{}</td><td data-label=\"phase\">{}</td><td class=\"n\" data-label=\"calls\">{}</td>\
         <td class=\"n\" data-label=\"a second\">{:.1}</td><td class=\"n\" data-label=\"failed\">{}</td>\
         <td class=\"n\" data-label=\"mean\">{mean}</td></tr>\n",
        escape(&hop.hop),
        escape(&part.label),
        hop.requests,
        hop.rate,
        match hop.requests {
            0 => "–".to_owned(),
            _ => Unit::Share.show(hop.error_rate),
        }
    ));
}

/// A row for each of before, during and after that was not measured.
fn missing(page: &mut Page, record: &RunRecord, columns: usize) {
    let has = |kinds: &[PhaseKind]| {
        let mut ended = record.phases.iter().filter(|it| it.to_ms.is_some());
        ended.any(|it| kinds.contains(&it.kind))
    };
    let why = match record.verdict {
        Verdict::SteadyNotMet => "because the steady state was not met",
        Verdict::Halted => "because a guard stopped the run",
        Verdict::Interrupted => "because the run was interrupted",
        _ => "because the file and its timeout left no time for it",
    };
    let rows: [(&str, &[PhaseKind], &str); 3] = [
        (
            "before",
            &[PhaseKind::Steady],
            "because the file has no [steady]",
        ),
        ("during", &[PhaseKind::Fault], why),
        (
            "after",
            &[PhaseKind::After, PhaseKind::Recovery],
            if record
                .run
                .phases
                .iter()
                .any(|it| matches!(it.kind, PhaseKind::After | PhaseKind::Recovery))
            {
                why
            } else {
                "because the file has no [recovery]"
            },
        ),
    ];
    for (name, kinds, why) in rows {
        if !has(kinds) {
            page.put(format_args!(
                "<tr><td class=\"head\">{name}</td><td class=\"wide\" colspan=\"{}\">not measured, {}</td></tr>\n",
                columns - 1,
                escape(why)
            ));
        }
    }
}

/// A phase, and what it is to the faults.
pub(super) fn label(name: &str, kind: PhaseKind) -> String {
    match kind {
        PhaseKind::Steady => format!("before: {}", crate::render::phase_title(name, kind)),
        PhaseKind::Fault => format!("fault: phase {name}"),
        PhaseKind::After => name.to_owned(),
        PhaseKind::Recovery => format!("after: {name}"),
    }
}
