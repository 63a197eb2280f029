//! Latency before, during and after the faults.

use super::{
    Page,
    charts::{self, Curve},
    phases,
};
use crate::run::{HopSummary, PhaseKind, RunRecord};

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
            let label = phases::label(&phase.name, phase.kind);
            let label = match is_load {
                true => label,
                false => format!("{label}, {}", hop.hop),
            };
            Some((label, phase.kind, hop))
        })
    };
    let phases: Vec<(String, PhaseKind, &HopSummary)> =
        measured(true).chain(measured(false)).collect();
    if phases.is_empty() {
        // Others made the load: only calls are known.
        page.put(format_args!("<section aria-labelledby=\"routes\">\n"));
        phases::calls(page, record);
        page.put(format_args!("</section>\n"));
        return;
    }
    page.put(format_args!(
        "<section aria-labelledby=\"latency\">\n<h2 id=\"latency\">Pages before, during and after</h2>\n"
    ));
    phases::pages(page, record);
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
        "<figure>{}<figcaption>How long the slowest share of pages took, by phase. Further right is rarer: at 99 %, one page in a \
         hundred took longer. The scale of times is logarithmic.</figcaption></figure>\n",
        charts::percentiles(&curves, described)
    ));
    phases::calls(page, record);
    page.put(format_args!("</section>\n"));
}
