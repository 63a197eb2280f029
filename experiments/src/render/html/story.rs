//! What broke, when, who noticed and what kept the page up: in sentences.

use super::{Page, escape};
use crate::{
    expectation::Unit,
    render::markdown::{at, percent},
    run::{
        HopSummary, JudgementKind, JudgementVerdict, Outage, PhaseKind, PhaseRecord, RunRecord,
        Saved,
    },
};

/// The outages, each in a line below the verdict.
pub(super) fn headline(page: &mut Page, record: &RunRecord) {
    for phase in fault_phases(record) {
        let to = phase.to_ms.unwrap_or(record.length_ms);
        let faults = record.faults.iter().filter(|it| it.phase == phase.name);
        let what: Vec<String> = faults.map(|it| it.what.clone()).collect();
        if what.is_empty() {
            continue;
        }
        let outage = outage_of(record, phase);
        let readers = outage.map_or_else(String::new, |it| format!(" {}.", capital(&it.readers)));
        let saved = outage.map_or_else(String::new, |it| format!(" {}", saved_in_a_word(it)));
        page.put(format_args!(
            "<p class=\"outage\"><strong>Outage {}:</strong> {}, from {} to {} of the run: {} long{}.{}{}</p>\n",
            escape(&phase.name),
            escape(&what.join("; ")),
            moment(phase.from_ms),
            moment(to),
            moment(to.saturating_sub(phase.from_ms)),
            if phase.to_ms.is_none() { ", cut short" } else { "" },
            escape(&readers),
            escape(&saved)
        ));
    }
}

/// What helped, without the evidence.
fn saved_in_a_word(outage: &Outage) -> String {
    let by = |word: &str| outage.saved.iter().any(|it| it.by == word);
    let mut helped = Vec::new();
    if by("fallback") {
        helped.push("a fallback");
    }
    if by("retry") {
        helped.push("retries");
    }
    if by("breaker") {
        helped.push("a circuit breaker");
    }
    match helped.split_last() {
        Some((only, [])) => format!("What kept the page up: {only}."),
        Some((last, rest)) => format!("What kept the page up: {} and {last}.", rest.join(", ")),
        None if by("undetermined") => {
            "What kept the page up is undetermined (the reason is below).".to_owned()
        }
        None if by("not_needed") => "Nothing had to keep the page up.".to_owned(),
        None => String::new(),
    }
}

pub(super) fn write(page: &mut Page, record: &RunRecord) {
    page.put(format_args!("<section aria-labelledby=\"story\">\n<h2 id=\"story\">What happened</h2>\n<ul class=\"story\">\n"));
    let load = record.run.load_name.as_deref();
    page.put(format_args!(
        "<li>Load: {}.</li>\n",
        escape(&record.run.load)
    ));
    if let Some(watch) = &record.run.watch {
        page.put(format_args!(
            "<li>Watched besides: {}.</li>\n",
            escape(watch)
        ));
    }
    let steady = record.phases.iter().find(|it| it.kind == PhaseKind::Steady);
    if let Some((phase, hop)) = steady.and_then(|it| Some((it, hop_of(it, load)?))) {
        page.put(format_args!(
            "<li>Before any fault, from {} to {}, {} served {} pages: {} failed, the median took {} and the 99th percentile {}.</li>\n",
            moment(phase.from_ms),
            moment(phase.to_ms.unwrap_or(record.length_ms)),
            escape(&hop.hop),
            hop.requests,
            percent(hop.error_rate),
            at(hop, 0.5),
            at(hop, 0.99)
        ));
    }
    checks(page, record);
    page.put(format_args!("</ul>\n"));
    for phase in fault_phases(record) {
        one(page, record, phase);
    }
    if let Some((guard, observed)) = &record.guard {
        page.put(format_args!(
            "<p>The guard <code>{}</code> stopped the run: it was {}.</p>\n",
            escape(guard),
            escape(observed)
        ));
    }
    for note in &record.notes {
        page.put(format_args!("<p class=\"note\">{}</p>\n", escape(note)));
    }
    page.put(format_args!("</section>\n"));
}

/// One phase with faults, in order.
fn one(page: &mut Page, record: &RunRecord, phase: &PhaseRecord) {
    let to = phase.to_ms.unwrap_or(record.length_ms);
    page.put(format_args!(
        "<h3>{}: {} to {}</h3>\n",
        escape(&phase.name),
        moment(phase.from_ms),
        moment(to)
    ));
    match outage_of(record, phase) {
        Some(outage) => {
            moments(page, outage);
            list(
                page,
                "Who noticed",
                outage.noticed.iter().map(String::as_str),
            );
            let saved: Vec<String> = outage.saved.iter().map(in_words).collect();
            list(
                page,
                "What kept the page up",
                saved.iter().map(String::as_str),
            );
        }
        None => bare(page, record, phase, to),
    }
    let load = record.run.load_name.as_deref();
    let watched = phase.hops.iter();
    let watched = watched.filter(|hop| hop.is_load && Some(hop.hop.as_str()) != load);
    for hop in watched {
        page.put(format_args!(
            "<p>The watched endpoint meanwhile: {} of {} requests failed, the median took {} and the 99th percentile {}.</p>\n",
            percent(hop.error_rate),
            hop.requests,
            at(hop, 0.5),
            at(hop, 0.99)
        ));
    }
}

fn in_words(saved: &Saved) -> String {
    let by = match saved.by.as_str() {
        "fallback" => "Fallback: ",
        "retry" => "Retry: ",
        "breaker" | "no_breaker" => "Circuit breaker: ",
        _ => "",
    };
    format!("{by}{}", saved.text)
}

fn moments(page: &mut Page, outage: &Outage) {
    page.put(format_args!("<ol class=\"moments\">\n"));
    for it in &outage.moments {
        let class = match it.what.as_str() {
            "fault_on" | "fault_off" => " class=\"edge\"",
            _ => "",
        };
        page.put(format_args!(
            "<li{class}><span class=\"at\">{}</span> <span>{}</span></li>\n",
            moment(it.at_ms),
            escape(&it.text)
        ));
    }
    page.put(format_args!("</ol>\n"));
}

fn list<'t>(page: &mut Page, title: &str, items: impl Iterator<Item = &'t str>) {
    page.put(format_args!(
        "<p class=\"lead\"><strong>{title}</strong></p>\n<ul class=\"story\">\n"
    ));
    for item in items {
        page.put(format_args!("<li>{}</li>\n", escape(item)));
    }
    page.put(format_args!("</ul>\n"));
}

/// What is known without an account: events of an earlier version, or of a run that broke off.
fn bare(page: &mut Page, record: &RunRecord, phase: &PhaseRecord, to: u64) {
    page.put(format_args!("<ol class=\"moments\">\n"));
    let faults = || record.faults.iter().filter(|it| it.phase == phase.name);
    for it in faults() {
        let count = match it.injected() {
            0 => "it was never injected".to_owned(),
            count => format!("it was injected into {count} requests"),
        };
        page.put(format_args!(
            "<li class=\"edge\"><span class=\"at\">{}</span> <span>Fault on: {}; {count}.</span></li>\n",
            moment(it.armed_ms),
            escape(&it.what)
        ));
    }
    for it in faults() {
        page.put(format_args!(
            "<li class=\"edge\"><span class=\"at\">{}</span> <span>Fault off: {}.</span></li>\n",
            moment(it.removed_ms.min(to.max(it.removed_ms))),
            escape(&it.what)
        ));
    }
    page.put(format_args!("</ol>\n"));
    if let Some(hop) = hop_of(phase, record.run.load_name.as_deref()) {
        let fallback = hop.degraded_rate.filter(|it| *it > 0.0);
        let fallback = fallback.map_or_else(String::new, |share| {
            format!("; {} of the answers were a fallback", percent(share))
        });
        page.put(format_args!(
            "<p>Readers of {}: {} of {} pages failed, the 99th percentile took {}{fallback}.</p>\n",
            escape(&hop.hop),
            percent(hop.error_rate),
            hop.requests,
            at(hop, 0.99)
        ));
    }
    page.put(format_args!(
        "<p>What kept the page up is undetermined, because these events have no account of single calls.</p>\n"
    ));
}

/// How many checks there were, and whose.
fn checks(page: &mut Page, record: &RunRecord) {
    let all = record.deciding().count();
    let failed = record.judged(JudgementVerdict::Failed).count();
    let unsure = record.judged(JudgementVerdict::Inconclusive).count();
    let of_file = record.expectations().count();
    let kinds = |kind| record.deciding().any(|it| it.kind == kind);
    let mut own = Vec::new();
    if kinds(JudgementKind::FaultStruck) {
        own.push("each fault was injected");
    }
    if kinds(JudgementKind::LoadInTime) {
        own.push("the load was sent in time");
    }
    if kinds(JudgementKind::NothingLeft) {
        own.push("no fault is left behind");
    }
    page.put(format_args!(
        "<li>{} of {all} checks held{}{}: the {of_file} expectations of the file, and {} that every run makes ({}).</li>\n",
        all - failed - unsure,
        if failed > 0 { format!(", {failed} did not") } else { String::new() },
        if unsure > 0 { format!(", {unsure} could not be told") } else { String::new() },
        all - of_file,
        own.join("; ")
    ));
}

pub(super) fn fault_phases(record: &RunRecord) -> impl Iterator<Item = &PhaseRecord> {
    let phases = record.phases.iter();
    phases.filter(|it| it.kind == PhaseKind::Fault)
}

fn outage_of<'r>(record: &'r RunRecord, phase: &PhaseRecord) -> Option<&'r Outage> {
    let outages = &record.account.as_ref()?.outages;
    outages.iter().find(|it| it.phase == phase.name)
}

fn hop_of<'p>(phase: &'p PhaseRecord, load: Option<&str>) -> Option<&'p HopSummary> {
    phase.hops.iter().find(|hop| Some(hop.hop.as_str()) == load)
}

/// A moment of the run, or a length of time.
pub(super) fn moment(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    Unit::Time.show(ms as f64 / 1_000.0)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
