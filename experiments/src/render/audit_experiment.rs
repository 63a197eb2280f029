//! What an audit saw to hold, as an experiment to keep.

mod kept;

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use self::kept::{Kept, KeptPhase};
use crate::{
    audit::AuditReport,
    forensics::{FindingId as Id, Verdict, join::JoinedBy},
};

/// Between two pages: about 20 a second where pages are fast.
const PAUSE: Duration = Duration::from_millis(50);
/// Pages of a phase.
const PAGES: u64 = 20;
/// The same where no breaker was looked for: few failures in a row open none.
const PAGES_FEW: u64 = 5;

/// What held of each dependency, as an experiment's file: each fault of the audit under which a protection was seen has a phase,
/// whose expectations fail if the protection is removed. Defects are not expected, and no bound is tighter than what was seen.
///
/// It is for the proxy at `control` with the routes of the audit, and a service that calls through them. What held and cannot
/// be expected is named in comments at the end.
#[must_use]
pub fn audit_experiment(report: &AuditReport, control: &str) -> String {
    let dependencies: Vec<Kept<'_>> = (report.calm.iter())
        .map(|calm| Kept { report, calm })
        .collect();
    let phases: Vec<KeptPhase> = dependencies.iter().flat_map(Kept::phases).collect();
    let pages = match dependencies.iter().all(Kept::knows_outages) {
        true => PAGES,
        false => PAGES_FEW,
    };
    let mut file = head(report, control, pages, &phases);
    for phase in &phases {
        write_phase(&mut file, phase);
    }
    file.push_str(&left_out(report, &phases));
    file
}

fn head(report: &AuditReport, control: &str, pages: u64, phases: &[KeptPhase]) -> String {
    let names: Vec<&str> = report.calm.iter().map(|it| it.route.as_str()).collect();
    let name: String = names.join("-").chars().take(64).collect();
    let title = format!("What holds when {} fails", names.join(" or "));
    let path = report.page.path.replace('{', "%7B").replace('}', "%7D");
    let calm_page = report
        .calm
        .iter()
        .map(|it| it.page_p95_ms)
        .fold(1.0, f64::max);
    let page = PAUSE + Duration::from_secs_f64(calm_page / 1_000.0);
    let steady = page.as_secs_f64() * pages as f64 * 1.5;
    let patience = (budget(report) * 2).max(Duration::from_secs(5));
    let afters = phases.iter().filter_map(|it| it.back_within);
    let minutes = 10 + phases.len() as u64 + afters.sum::<u64>() / 60;
    let few = match pages {
        PAGES => "",
        _ => {
            "# Breakers were not looked for: phases are short, so that they open none. If one opens nevertheless, a later\n\
              # phase is inconclusive, as its fault strikes no call. An audit without --fast tells.\n#\n"
        }
    };
    format!(
        "# What held when this service was audited. Run it while a proxy with the same routes stands before the\n\
         # service's dependencies:\n#\n#   brownout run THIS-FILE\n#\n{few}\
         # One page at a time, as in the audit. A page that says that something is missing is a success.\n\n\
         name = {name}\ntitle = {title}\ntimeout = \"{minutes}m\"\n\n\
         [proxy]\ncontrol = {control}\n\n\
         [load]\nto = {to}\npath = {path}\ntimeout = \"{patience}ms\"\nserial = {{ pages = {pages}, pause = \"{pause}ms\" }}\n\n\
         [verdict]\nmin_samples = {pages}\n\n\
         [steady]\nwarmup = \"1s\"\nduration = \"{steady:.0}s\"\nmin_samples = {pages}\nexpect = [\"load.success_rate == 100%\"]\n",
        name = quoted(&name),
        title = quoted(&title),
        control = quoted(control),
        to = quoted(&report.page.origin),
        path = quoted(&path),
        patience = patience.as_millis(),
        pause = PAUSE.as_millis(),
        steady = steady.ceil().max(2.0),
    )
}

fn write_phase(file: &mut String, phase: &KeptPhase) {
    let KeptPhase {
        name,
        route,
        faults,
        pages,
        page,
        expect,
        back_within,
        shows,
    } = phase;
    let faults: Vec<String> = (1..)
        .zip(faults)
        .map(|(nth, fault)| {
            let mut body = json!({ "id": name, "route": route });
            if nth > 1 {
                body["id"] = json!(format!("{name}-{nth}"));
            }
            let members = fault.as_object().into_iter().flatten();
            for (key, value) in members {
                body[key] = value.clone();
            }
            inline(&body)
        })
        .collect();
    let shown: Vec<&str> = shows.iter().map(|it| it.as_str()).collect();
    let mut put = |line: String| writeln!(file, "{line}").expect("a String takes everything");
    put(String::new());
    if !shown.is_empty() {
        put(format!("# {}", shown.join(", ")));
    }
    put(format!("[[phase]]\nname = {}", quoted(name)));
    if let Some(pages) = pages {
        let length = (PAUSE + *page).as_secs_f64() * *pages as f64 * 1.5;
        put(format!("duration = \"{:.0}s\"", length.ceil()));
    }
    put(format!("faults = [{}]", faults.join(", ")));
    put(format!("expect = [{}]", list(expect)));
    if let Some(within) = back_within {
        let back = format!("{route}.rate >= 0.5x baseline within {within}s");
        put(format!("after = [{}]", list(&[back])));
    }
}

/// What held, and is expected by no phase, with the reason, as comments.
fn left_out(report: &AuditReport, phases: &[KeptPhase]) -> String {
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for finding in report
        .findings
        .iter()
        .filter(|it| it.verdict == Verdict::Ok)
    {
        let mut own = phases.iter().filter(|it| it.route == finding.route);
        if own.any(|it| it.shows.contains(&finding.id)) {
            continue;
        }
        let told = match report.calm.len() {
            1 => finding.id.as_str().to_owned(),
            _ => format!("{} of {}", finding.id.as_str(), finding.route),
        };
        by_reason
            .entry(reason(report, finding.id))
            .or_default()
            .push(told);
    }
    let mut text = String::new();
    for (reason, ids) in by_reason {
        let told = format!(
            "\n# Held, and is not looked at here, as {reason}:\n#   {}\n",
            ids.join(", ")
        );
        text.push_str(&told);
    }
    text
}

/// Why what held is not expected.
fn reason(report: &AuditReport, id: Id) -> &'static str {
    match id {
        Id::AcceptsCorrupt | Id::AcceptsTruncated => {
            "pages without the answer fail, or do not say that something is missing (--degraded-if)"
        }
        Id::ImmediateRetries if report.joined_by != JoinedBy::Id => {
            "calls carry no id of their page"
        }
        _ => "it takes another load or more pages than this file has, or was seen on too little",
    }
}

fn budget(report: &AuditReport) -> Duration {
    brownout_fault::units::parse_duration(&report.budget).unwrap_or(Duration::from_secs(1))
}

fn list(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|it| quoted(it)).collect();
    quoted.join(", ")
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A value of TOML in one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter();
            let members = members.map(|(key, value)| format!("{key} = {}", inline(value)));
            match members.collect::<Vec<_>>() {
                none if none.is_empty() => "{}".to_owned(),
                some => format!("{{ {} }}", some.join(", ")),
            }
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(inline).collect();
            format!("[{}]", values.join(", "))
        }
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
