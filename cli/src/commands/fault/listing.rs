//! Faults as a table of 80 columns, with what does not fit into it below.

use brownout_fault::{Fault, FaultSpec, units::show_duration};
use brownout_wire::FaultAnswer;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::show;

/// The width of everything.
const COLUMNS: usize = 80;
/// Widths of the columns without the two blanks behind each: 80 columns in all.
const ID: usize = 16;
const ROUTE: usize = 9;
const WHAT: usize = 22;

/// Prints the armed faults, or those of them that a filter asked for.
pub(super) fn print_faults(faults: &[FaultAnswer], is_filtered: bool) {
    if faults.is_empty() {
        match is_filtered {
            true => println!("no armed fault fits; all of them: brownout fault ls"),
            false => {
                println!("nothing is armed; start an outage with: brownout fault add reset ROUTE");
            }
        }
        return;
    }
    let now = Timestamp::now();
    for fault in faults.iter().filter(|fault| fault.counters.overflow > 0) {
        let (id, passed) = (&fault.id, fault.counters.overflow);
        show::warning(&format!(
            "{id} let {passed} requests pass untouched: it holds at most {} at a time (max_active)",
            fault.spec.max_active
        ));
    }
    show::heading(&columns([
        "ID", "ROUTE", "WHAT", "%", "STATE", "HITS", "ENDS",
    ]));
    for fault in faults {
        let ends = match &fault.end {
            Some(end) => end.reason.clone(),
            None => fault
                .expires_at
                .map_or("never".to_owned(), |end| rest(now, end)),
        };
        let (routes, what) = (routes(&fault.spec), short(&fault.spec));
        println!(
            "{}",
            columns([
                &fault.id,
                &routes,
                &what,
                &plain(&fault.spec.percent.to_value()),
                fault.state.name(),
                &fault.counters.injected.to_string(),
                &ends,
            ])
        );
        for (name, value) in details(fault, &routes, &what) {
            for line in wrapped(&format!("{name}: {value}")) {
                println!("{line}");
            }
        }
    }
}

fn columns([id, route, what, percent, state, hits, ends]: [&str; 7]) -> String {
    let (id, route, what) = (cut(id, ID), cut(route, ROUTE), cut(what, WHAT));
    let line = format!(
        "{id:<ID$}  {route:<ROUTE$}  {what:<WHAT$}  {percent:>3}  {state:<7}  {hits:>4}  {ends}"
    );
    line.trim_end().to_owned()
}

/// The lines of a detail, in 80 columns. It is broken at blanks, and behind commas, or anywhere where there is neither.
fn wrapped(text: &str) -> Vec<String> {
    const FIRST: &str = "  ";
    const FURTHER: &str = "    ";
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        let indent = if lines.is_empty() { FIRST } else { FURTHER };
        let room = COLUMNS - indent.len();
        let Some((over, _)) = rest.char_indices().nth(room) else {
            lines.push(format!("{indent}{rest}"));
            return lines;
        };
        // The blank at which it is broken may stand just outside.
        let outside = rest[over..].starts_with(' ').then_some(over);
        let blank = outside.or_else(|| rest[..over].rfind(' ').filter(|at| *at > 0));
        let comma = || rest[..over].rfind(',').map(|at| at + 1);
        let end = blank.or_else(comma).unwrap_or(over);
        lines.push(format!("{indent}{}", rest[..end].trim_end()));
        rest = rest[end..].trim_start();
    }
}

/// At most so many characters; what is cut ends with `~`.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width - 1);
    kept.chain(['~']).collect()
}

/// What the columns have no room for, and what most faults do not have.
fn details(fault: &FaultAnswer, routes: &str, what: &str) -> Vec<(&'static str, String)> {
    let spec = &fault.spec;
    let written = spec.to_value();
    let mut details = Vec::new();
    let mut tell = |name, value: Option<String>| details.extend(value.map(|value| (name, value)));
    tell(
        "id",
        (fault.id.chars().count() > ID).then(|| fault.id.clone()),
    );
    tell(
        "route",
        (routes.chars().count() > ROUTE).then(|| routes.to_owned()),
    );
    tell(
        "what",
        (what.chars().count() > WHAT).then(|| what.to_owned()),
    );
    let member = |key: &str| written.get(key).map(plain);
    tell("match", member("match").filter(|value| value != "{}"));
    tell("layer", member("layer"));
    tell("direction", member("direction"));
    tell("per", member("per").filter(|value| value != "request"));
    let counts = [("skip_first", "0"), ("every", "1"), ("limit", "")];
    let counts: Vec<String> = (counts.into_iter())
        .filter_map(|(key, usual)| Some((key, member(key).filter(|value| value != usual)?)))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    tell("counts", (!counts.is_empty()).then(|| counts.join(" ")));
    let schedule: Vec<String> = ["start", "ramp", "wave", "pulses", "nemesis", "burst"]
        .into_iter()
        .filter_map(|key| Some((key, member(key).filter(|value| value != "0s")?)))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    tell(
        "schedule",
        (!schedule.is_empty()).then(|| schedule.join(" ")),
    );
    let hits = fault.by_route.iter();
    let hits: Vec<String> = hits
        .map(|(route, it)| format!("{route} {} of {}", it.injected, it.matched))
        .collect();
    tell("hits by route", (hits.len() > 1).then(|| hits.join(", ")));
    let active = fault.counters.active;
    tell("holds", (active > 0).then(|| active.to_string()));
    tell(
        "labels",
        (!fault.tags.labels.is_empty()).then(|| fault.tags.labels.join(",")),
    );
    tell("owner", fault.tags.owner.clone());
    tell("lease", fault.tags.lease.clone());
    tell("note", spec.note.clone());
    details
}

/// The kind with the parameters that are not as by default: `latency 250ms`.
fn short(spec: &FaultSpec) -> String {
    let name = spec.fault.name();
    let info = Fault::kinds().into_iter().find(|kind| kind.name == name);
    let (Some(info), Value::Object(params)) = (info, spec.fault.to_value()) else {
        return magnitude(spec);
    };
    let usual =
        |key: &str| (info.params.iter().find(|param| param.name == key)).map(|it| it.default);
    let mut words = vec![name.to_owned()];
    for (key, value) in &params {
        let value = plain(value);
        if key == info.shorthand {
            words.insert(1, value);
        } else if usual(key) != Some(value.as_str()) {
            words.push(format!("{key}={value}"));
        }
    }
    words.join(" ")
}

/// The time that is left, in whole seconds.
fn rest(now: Timestamp, end: Timestamp) -> String {
    let seconds = end.duration_since(now).as_secs().max(0);
    show_duration(std::time::Duration::from_secs(
        u64::try_from(seconds).unwrap_or(0),
    ))
}

pub(super) fn routes(spec: &FaultSpec) -> String {
    match &spec.route {
        brownout_fault::Routes::All => "*".to_owned(),
        brownout_fault::Routes::Named(names) => names.join(","),
    }
}

/// The kind with its parameters, short: `latency p50=120ms p99=900ms`.
pub(super) fn magnitude(spec: &FaultSpec) -> String {
    let mut words = vec![spec.fault.name().to_owned()];
    if let Value::Object(params) = spec.fault.to_value() {
        let told = params.iter().filter(|(_, value)| **value != json!({}));
        words.extend(told.map(|(key, value)| format!("{key}={}", plain(value))));
    }
    words.join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
