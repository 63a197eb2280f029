//! Latency before, during and after the faults.

use super::{
    Page,
    charts::{self, Curve},
    escape,
};
use crate::{
    expectation::Unit,
    run::{HopSummary, PhaseKind, RunRecord, Verdict},
};

const SHOWN: [(f64, &str); 5] = [
    (0.5, "p50"),
    (0.9, "p90"),
    (0.95, "p95"),
    (0.99, "p99"),
    (1.0, "longest"),
];

/// More lines than this in one chart cannot be told apart: of repetitions, the first ones.
const CURVES_MAX: usize = 12;

pub(super) fn write(page: &mut Page, record: &RunRecord) {
    // The load's first, then those of the watched endpoint.
    let measured = |is_load: bool| {
        record.phases.iter().filter_map(move |phase| {
            let name = record.run.load_name.as_deref();
            let hop = phase.hops.iter().find(|it| {
                it.is_load && (Some(it.hop.as_str()) == name) == is_load && !it.quantiles.is_empty()
            })?;
            let label = match is_load {
                true => phase.name.clone(),
                false => format!("{}, {}", phase.name, hop.hop),
            };
            Some((label, phase.kind, hop))
        })
    };
    let phases: Vec<(String, PhaseKind, &HopSummary)> =
        measured(true).chain(measured(false)).collect();
    if phases.is_empty() {
        return;
    }
    page.put(format_args!(
        "<section aria-labelledby=\"latency\">\n<h2 id=\"latency\">Latency before, during and after</h2>\n\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"latency\"><table>\n<thead><tr><th scope=\"col\">phase</th><th scope=\"col\" class=\"n\">pages</th>\
         <th scope=\"col\" class=\"n\">failed</th>"
    ));
    for (_, name) in SHOWN {
        page.put(format_args!("<th scope=\"col\" class=\"n\">{name}</th>"));
    }
    page.put(format_args!("</tr></thead>\n<tbody>\n"));
    for (name, kind, hop) in &phases {
        page.put(format_args!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>",
            escape(&label(name, *kind)),
            hop.requests,
            Unit::Share.show(hop.error_rate)
        ));
        for (share, _) in SHOWN {
            page.put(format_args!(
                "<td class=\"n\">{}</td>",
                super::super::markdown::at(hop, share)
            ));
        }
        page.put(format_args!("</tr>\n"));
    }
    missing(page, record, SHOWN.len() + 3);
    page.put(format_args!("</tbody></table></div>\n"));
    let curves: Vec<Curve<'_>> = phases
        .iter()
        .take(CURVES_MAX)
        .map(|(name, kind, hop)| Curve {
            name,
            is_calm: *kind != PhaseKind::Fault,
            points: &hop.quantiles,
        })
        .collect();
    let described = "Latency of whole answers by percentile, one line for each phase. The table above has the numbers.";
    page.put(format_args!(
        "<figure>{}<figcaption>How long the slowest share of pages took. Further right is rarer: at 99 %, one page in a \
         hundred took longer. The scale of times is logarithmic.</figcaption></figure>\n",
        charts::percentiles(&curves, described)
    ));
    routes(page, record);
    page.put(format_args!("</section>\n"));
}

/// What routes counted.
fn routes(page: &mut Page, record: &RunRecord) {
    let any = record
        .phases
        .iter()
        .any(|it| it.hops.iter().any(|hop| !hop.is_load));
    if !any {
        return;
    }
    page.put(format_args!(
        "<h3 id=\"routes\">Calls on the routes</h3>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"routes\"><table>\n<thead><tr><th scope=\"col\">phase</th>\
         <th scope=\"col\">route</th><th scope=\"col\" class=\"n\">calls</th><th scope=\"col\" class=\"n\">a second</th>\
         <th scope=\"col\" class=\"n\">failed</th><th scope=\"col\" class=\"n\">mean</th></tr></thead>\n<tbody>\n"
    ));
    for phase in &record.phases {
        for hop in phase.hops.iter().filter(|it| !it.is_load) {
            let mean = hop
                .mean_ms
                .map_or_else(|| "–".to_owned(), |ms| Unit::Time.show(ms / 1_000.0));
            page.put(format_args!(
                "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{mean}</td></tr>\n",
                escape(&label(&phase.name, phase.kind)),
                escape(&hop.hop),
                hop.requests,
                hop.rate,
                Unit::Share.show(hop.error_rate)
            ));
        }
    }
    missing(page, record, 6);
    page.put(format_args!("</tbody></table></div>\n"));
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
        ("after", &[PhaseKind::After, PhaseKind::Recovery], why),
    ];
    for (name, kinds, why) in rows {
        if !has(kinds) {
            page.put(format_args!(
                "<tr><td>{name}</td><td colspan=\"{}\">not measured, {}</td></tr>\n",
                columns - 1,
                escape(why)
            ));
        }
    }
}

fn label(name: &str, kind: PhaseKind) -> String {
    match kind {
        PhaseKind::Steady => format!("before: {}", crate::render::phase_title(name, kind)),
        PhaseKind::Fault => format!("during {name}"),
        PhaseKind::After => name.to_owned(),
        PhaseKind::Recovery => format!("after all faults: {name}"),
    }
}
