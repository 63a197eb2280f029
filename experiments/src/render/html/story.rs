//! What broke, when, who noticed and what kept the page up: in sentences.

use super::{Page, escape, histogram};
use crate::{
    expectation::Unit,
    render::markdown::{at, percent},
    run::{
        HopSummary, JudgementKind, JudgementVerdict, Outage, PhaseKind, PhaseRecord, RunRecord,
        Saved,
    },
};

/// The outages: what broke, what users saw and what kept the page up, each with its time.
pub(super) fn headline(page: &mut Page, record: &RunRecord) {
    for phase in fault_phases(record) {
        let to = phase.to_ms.unwrap_or(record.length_ms);
        let outage = outage_of(record, phase);
        let what = broken(record, phase);
        if what.is_empty() {
            continue;
        }
        let from = outage.map_or(phase.from_ms, |it| it.from_ms);
        let mut lines = vec![(
            "What broke",
            format!(
                "{what}, from {}{}.",
                window(record, from, to),
                if phase.to_ms.is_none() {
                    "; cut short"
                } else {
                    ""
                }
            ),
        )];
        if let Some(outage) = outage {
            lines.push(("What users saw", seen_by_users(record, outage)));
            lines.push(("What kept the page up", saved_in_a_word(outage)));
        }
        page.put(format_args!("<dl class=\"outage\">\n"));
        for (name, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
            page.put(format_args!("<div><dt>{name}</dt><dd>{text}</dd></div>\n"));
        }
        page.put(format_args!("</dl>\n"));
    }
    for line in crate::render::fallbacks_afterwards(record) {
        page.put(format_args!("<p>{}</p>\n", escape(&line)));
    }
}

/// The faults of a phase, as markup.
fn broken(record: &RunRecord, phase: &PhaseRecord) -> String {
    let faults = record.faults.iter().filter(|it| it.phase == phase.name);
    let told: Vec<String> = faults
        .map(|it| {
            format!(
                "{} (fault <code>{}</code>)",
                escape(&capital(&it.what)),
                escape(&it.id)
            )
        })
        .collect();
    told.join("; ")
}

/// From when to when, in the run and by the wall clock, and how long that is.
fn window(record: &RunRecord, from: u64, to: u64) -> String {
    let clock = clock(record, from).zip(clock(record, to));
    let clock = clock.map_or_else(String::new, |(from, to)| format!(", {from} to {to} UTC"));
    format!(
        "{} to {} of the run ({}{clock})",
        moment(from),
        moment(to),
        length(to.saturating_sub(from))
    )
}

/// A moment of the run by the wall clock.
fn clock(record: &RunRecord, ms: u64) -> Option<String> {
    let began: jiff::Timestamp = record.run.started_at.parse().ok()?;
    let at = began
        .checked_add(std::time::Duration::from_millis(ms))
        .ok()?;
    Some(at.strftime("%H:%M:%S").to_string())
}

/// When the run began, for people.
pub(super) fn began(record: &RunRecord) -> String {
    let began: Result<jiff::Timestamp, _> = record.run.started_at.parse();
    began.map_or_else(
        |_| record.run.started_at.clone(),
        |it| it.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// What users saw of an outage, from the first page that it changed to the last one.
fn seen_by_users(record: &RunRecord, outage: &Outage) -> String {
    let readers = escape(&capital(&outage.readers));
    let Some(effect) = outage.effect else {
        return format!("{readers}.");
    };
    let kinds = [
        (effect.failed, "failed"),
        (effect.fallback, "fallback"),
        (effect.slow, "slow"),
    ];
    let kinds: Vec<String> = kinds
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| format!("{count} {kind}"))
        .collect();
    let (ended, off) = (effect.to_ms, outage.to_ms);
    let longer = match (effect.goes_on, ended > off) {
        (true, _) => "; the last page of the run was still one of them".to_owned(),
        (false, true) => format!(
            "; the last one {} later than the fault",
            length(ended - off)
        ),
        (false, false) => String::new(),
    };
    format!(
        "{readers}. In total: {} {}, from {}{longer}.",
        kinds.join(" and "),
        match effect.failed + effect.fallback + effect.slow {
            1 => "page",
            _ => "pages",
        },
        window(record, effect.from_ms, ended)
    )
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
    let besides = match (by("breaker_seen"), by("undetermined")) {
        (true, _) => " A circuit breaker cut calls, but it is not shown that it kept the page up.",
        (false, true) if !helped.is_empty() => " Whether anything else did is undetermined.",
        (false, _) => "",
    };
    let saved = match helped.split_last() {
        Some((only, [])) => format!("{}.", capital(only)),
        Some((last, rest)) => capital(&format!("{} and {last}.", rest.join(", "))),
        None if by("undetermined") => "Undetermined: the reason is below.".to_owned(),
        None if by("not_needed") => "Nothing was needed.".to_owned(),
        None if by("nothing") => "Nothing.".to_owned(),
        None => return String::new(),
    };
    format!("{saved}{besides}")
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
            "<li>Before any fault, from {} to {}, {} had {} pages: {} failed, median {}, p99 {}.</li>\n",
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
    for (index, phase) in fault_phases(record).enumerate() {
        one(page, record, phase, index);
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
fn one(page: &mut Page, record: &RunRecord, phase: &PhaseRecord, index: usize) {
    let to = phase.to_ms.unwrap_or(record.length_ms);
    page.put(format_args!(
        "<h3 id=\"phase-{index}\">Phase {}: {} to {}</h3>\n",
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
            for it in outage
                .retry_waits
                .iter()
                .filter(|it| it.waits_ms.len() >= histogram::WAITS_MIN)
            {
                page.put(format_args!(
                    "<p class=\"lead\"><strong>Waits before calls to {} were tried again</strong></p>\n",
                    escape(&it.route)
                ));
                histogram::write(page, &it.waits_ms);
            }
        }
        None => bare(page, record, phase, to),
    }
    let load = record.run.load_name.as_deref();
    let watched = phase.hops.iter();
    let watched = watched.filter(|hop| hop.is_load && Some(hop.hop.as_str()) != load);
    for hop in watched {
        page.put(format_args!(
            "<p>The watched endpoint meanwhile: {} of {} pages failed, median {}, p99 {}.</p>\n",
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
        "breaker" | "breaker_seen" | "no_breaker" => "Circuit breaker: ",
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
            count => format!("it was injected into {count} calls"),
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
            format!("; {} of the answers were fallbacks", percent(share))
        });
        page.put(format_args!(
            "<p>Users of {}: {} of {} pages failed, p99 {}{fallback}.</p>\n",
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

/// How many expectations held, and the checks that every run makes.
fn checks(page: &mut Page, record: &RunRecord) {
    let of_file = record.expectations().count();
    let told = |is_of_file: bool| {
        let own = || {
            let all = record.deciding();
            all.filter(move |it| (it.kind == JudgementKind::Expectation) == is_of_file)
        };
        let count = |verdict| own().filter(|it| it.verdict == verdict).count();
        let (failed, unknown) = (
            count(JudgementVerdict::Failed),
            count(JudgementVerdict::Inconclusive),
        );
        let unproven = own().filter(|it| it.proven == Some(false)).count();
        let more = [
            (failed, "failed"),
            (unknown, "unknown"),
            (unproven, "held, but not proven"),
        ];
        let more: Vec<String> = more
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let more = match more.is_empty() {
            true => String::new(),
            false => format!(" ({})", more.join(", ")),
        };
        let held = count(JudgementVerdict::Passed);
        (format!("{held} of {}", own().count()), more)
    };
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
    if of_file > 0 {
        let (held, more) = told(true);
        page.put(format_args!(
            "<li>{held} expectations of the file held{more}.</li>\n"
        ));
    }
    if !own.is_empty() {
        let (held, more) = told(false);
        page.put(format_args!(
            "<li>{held} checks that every run makes held{more}: {}.</li>\n",
            own.join("; ")
        ));
    }
}

/// The id of the section that a link to a phase leads to; none for a name that is no phase.
pub(super) fn place_of(record: &RunRecord, phase: &str) -> Option<String> {
    let index = fault_phases(record).position(|it| it.name == phase);
    let is_known = record.phases.iter().any(|it| it.name == phase);
    let over_time = is_known.then(|| "timeline".to_owned());
    index.map(|it| format!("phase-{it}")).or(over_time)
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

/// A moment of the run, in seconds, so that moments are compared at a glance.
pub(super) fn moment(ms: u64) -> String {
    let tens = (ms + 5) / 10;
    format!("{}.{:02}s", tens / 100, tens % 100)
}

/// A length of time.
pub(super) fn length(ms: u64) -> String {
    Unit::Time.show(ms as f64 / 1_000.0)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
