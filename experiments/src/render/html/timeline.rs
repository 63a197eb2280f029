//! Load and routes over time, with the times of faults shaded.

use super::{
    Page,
    charts::{self, Band, Step},
    escape,
};
use crate::{
    experiment::Watch,
    run::{PhaseKind, RunRecord, SecondOfHop},
};

/// More steps than this could not be seen apart.
const STEPS_MAX: u32 = 240;
/// With more hops than this, each has half of that, so that the page stays small.
const HOPS_WHOLE: usize = 4;
/// More hops than this make the page too long.
const HOPS_MAX: usize = 12;

pub(super) fn write(page: &mut Page, record: &RunRecord) {
    if record.seconds.is_empty() {
        return;
    }
    let seconds = record
        .seconds
        .iter()
        .map(|it| it.second + 1)
        .max()
        .unwrap_or(1);
    let length = f64::from(seconds).max(1.0);
    let bands = bands(record);
    page.put(format_args!(
        "<section id=\"timeline\" aria-labelledby=\"over-time\">\n<h2 id=\"over-time\">Load and routes over time</h2>\n\
         <ul class=\"legend\"><li><span class=\"key ok\"></span>whole page, or good call</li>\
         <li><span class=\"key degraded\"></span>fallback page</li>\
         <li><span class=\"key error\"></span>failed</li><li><span class=\"key band\"></span>a fault is on</li>\
         <li><span class=\"key typical\"></span>median of pages, mean of calls</li>\
         <li><span class=\"key slow\"></span>p99 of pages</li></ul>\n"
    ));
    for hop in record.hops().into_iter().take(HOPS_MAX) {
        let own: Vec<&SecondOfHop> = record.seconds.iter().filter(|it| it.hop == hop).collect();
        if own.iter().all(|it| it.requests < 0.5) {
            page.put(format_args!(
                "<p class=\"note\"><strong>{}</strong>: no call came.</p>\n",
                escape(hop)
            ));
            continue;
        }
        let most = if record.hops().len() > HOPS_WHOLE {
            STEPS_MAX / 2
        } else {
            STEPS_MAX
        };
        let steps = steps(&own, seconds, most);
        let is_load = record.run.load_name.as_deref() == Some(hop);
        let is_watched = record.run.watch.is_some() && hop == Watch::NAME;
        let what = if is_load {
            "pages of the load, as users see them"
        } else if is_watched {
            "pages of the other endpoint that was asked meanwhile"
        } else {
            "calls, as the proxy sees them"
        };
        let rate = charts::rate(&steps, &bands, length, &described(hop, &own, record));
        let (latency, scale) = charts::latency(
            &steps,
            &bands,
            length,
            &format!("Latency of {hop} in each second."),
        );
        page.put(format_args!(
            "<figure class=\"hop\" tabindex=\"0\" data-hop=\"{name}\" data-of=\"{what_ended}\" data-seconds=\"{seconds}\" aria-label=\"{name} over time; arrow keys tell each second\">\n\
             <h3>{name} <small>{what}</small></h3>\n<output aria-live=\"polite\"></output>\n<p class=\"axis\">{what_ended} that ended in each second</p>\n{rate}\n\
             <p class=\"axis\">{line}{scale}</p>\n{latency}\n</figure>\n",
            name = escape(hop),
            what_ended = if is_load || is_watched { "pages" } else { "calls" },
            line = if is_load || is_watched { "latency: median and p99" } else { "latency: mean" }
        ));
    }
    page.put(format_args!(
        "<p class=\"note\">{}</p>\n</section>\n",
        escape(&counted_here(record))
    ));
}

/// How the charts count, and why their sum may differ from that of the tables.
fn counted_here(record: &RunRecord) -> String {
    let how = "Charts count pages and calls in the second in which they ended; tables count pages in the phase in which they were \
               to be sent, and calls in the phase in which they began. The last second may not be whole.";
    let Some(load) = record.run.load_name.as_deref() else {
        return how.to_owned();
    };
    let seconds = record.seconds.iter().filter(|it| it.hop == load);
    let charted: f64 = seconds.map(|it| it.requests).sum();
    let between = record.account.iter().flat_map(|it| &it.between);
    let hops = record.phases.iter().map(|it| &it.hops);
    let hops = hops.chain(between.map(|it| &it.hops)).flatten();
    let tabled: u64 = hops.filter(|it| it.hop == load).map(|it| it.requests).sum();
    if (charted - tabled as f64).abs() < 0.5 {
        return format!("{how} Both have {tabled} pages of {load}.");
    }
    format!(
        "{how} So the chart of {load} has {charted:.0} pages and the tables have {tabled}: pages of the warm-up, between two \
         phases, and of the last second that was not whole are counted in one of them."
    )
}

/// The times in which faults were armed.
fn bands(record: &RunRecord) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    for phase in record
        .phases
        .iter()
        .filter(|it| it.kind == PhaseKind::Fault)
    {
        let faults = record.faults.iter().filter(|it| it.phase == phase.name);
        let Some(from) = faults.map(|it| it.armed_ms).min() else {
            continue;
        };
        let to = phase.to_ms.unwrap_or(record.length_ms);
        bands.push(Band {
            from: from as f64 / 1_000.0,
            to: to as f64 / 1_000.0,
            label: phase.name.clone(),
        });
    }
    bands
}

/// Seconds put together, so that there are not more steps than can be seen.
fn steps(own: &[&SecondOfHop], seconds: u32, most: u32) -> Vec<Step> {
    let width = seconds.div_ceil(most).max(1);
    let mut steps: Vec<Step> = (0..seconds.div_ceil(width))
        .map(|index| Step {
            from: f64::from(index * width),
            to: f64::from(((index + 1) * width).min(seconds)),
            ..Step::default()
        })
        .collect();
    for second in own {
        let Some(step) = usize::try_from(second.second / width)
            .ok()
            .and_then(|it| steps.get_mut(it))
        else {
            continue;
        };
        let share = 1.0 / (step.to - step.from);
        let most = |before: Option<f64>, now: Option<f64>| match (before, now) {
            (Some(before), Some(now)) => Some(before.max(now)),
            (before, now) => before.or(now),
        };
        step.errors += second.errors * share;
        step.degraded += second.degraded * share;
        step.ok += (second.requests - second.errors - second.degraded).max(0.0) * share;
        step.typical = most(step.typical, second.p50_ms.or(second.mean_ms));
        step.slow = most(step.slow, second.p99_ms);
    }
    steps
}

/// A chart in words, for those who do not see it.
fn described(hop: &str, own: &[&SecondOfHop], record: &RunRecord) -> String {
    let requests: f64 = own.iter().map(|it| it.requests).sum();
    let errors: f64 = own.iter().map(|it| it.errors).sum();
    let phases = record
        .phases
        .iter()
        .map(|it| format!("{} from {} s", it.name, it.from_ms / 1_000));
    let phases: Vec<String> = phases.collect();
    format!(
        "Requests of {hop} in each second: {requests:.0} in all, {errors:.0} failed. Phases: {}.",
        phases.join(", ")
    )
}
