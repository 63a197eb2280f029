//! What an audit saw to hold, as an experiment to keep.

use std::{fmt::Write as _, time::Duration};

use crate::{
    audit::{AuditReport, CalmRecord},
    forensics::{Finding, FindingId as Id, Verdict},
};

/// What holds today of each dependency, as an experiment's file: pages in time while nothing is answered, no more calls than
/// today while all fail, and the return.
///
/// It is for a proxy that runs with the routes of the audit, and a service that calls through them. What the audit found to
/// be a defect, or could not tell, is left out.
#[must_use]
pub fn audit_experiment(report: &AuditReport) -> String {
    let mut file = String::new();
    let names: Vec<&str> = report.calm.iter().map(|it| it.route.as_str()).collect();
    let name: String = names.join("-").chars().take(64).collect();
    put(
        &mut file,
        "# What held when this service was audited. Run it while a proxy with the same routes stands before the\n# service's dependencies:\n#\n#   brownout run THIS-FILE --control 127.0.0.1:8474\n\n",
    );
    put(&mut file, &format!("name = {}\n", quoted(&name)));
    put(
        &mut file,
        &format!(
            "title = {}\n\n",
            quoted(&format!("What holds when {} fails", names.join(" or ")))
        ),
    );
    put(&mut file, "[proxy]\ncontrol = \"127.0.0.1:8474\"\n\n");
    put(&mut file, "[load]\n");
    put(
        &mut file,
        &format!("to = {}\n", quoted(&report.page.origin)),
    );
    put(
        &mut file,
        &format!(
            "path = {}\n",
            quoted(&report.page.path.replace('{', "%7B").replace('}', "%7D"))
        ),
    );
    let slowest = report
        .calm
        .iter()
        .map(|it| it.page_p50_ms)
        .fold(1.0, f64::max);
    let rate = (1_000.0 / slowest).clamp(2.0, 20.0).floor();
    put(&mut file, &format!("rate = \"{rate}/s\"\n\n"));
    put(
        &mut file,
        "[steady]\nwarmup = \"1s\"\nduration = \"5s\"\nexpect = [\"load.success_rate == 100%\"]\n",
    );
    for calm in &report.calm {
        phases(&mut file, report, calm);
    }
    file
}

fn phases(file: &mut String, report: &AuditReport, calm: &CalmRecord) {
    let route = &calm.route;
    let finding = |id: Id| -> Option<&Finding> {
        let mut own = report.findings.iter().filter(|it| it.route == *route);
        own.find(|it| it.id == id && it.verdict == Verdict::Ok)
    };
    let number = |id: Id, key: &str| finding(id)?.evidence.get(key)?.as_f64();
    let budget =
        brownout_fault::units::parse_duration(&report.budget).unwrap_or(Duration::from_secs(1));
    let limit = budget.mul_f64(1.1) + Duration::from_secs_f64(calm.page_p95_ms / 1_000.0);
    let limit = format!("{}ms", limit.as_millis());
    if finding(Id::NoTimeout).is_some()
        && finding(Id::TimeoutOverBudget).is_some()
        && finding(Id::NoTotalTimeout).is_some()
    {
        phase(
            file,
            route,
            "does-not-answer",
            "blackhole = {}",
            &[format!("load.answered within {limit}")],
            &[],
        );
    }
    let mut while_failing = Vec::new();
    if let Some(attempts) = number(Id::NestedRetries, "attempts") {
        let calls: f64 = calm.calls_per_page.values().sum();
        // A tenth for pages that begin in the phase and end behind it.
        let most = (attempts * calls.max(1.0)).ceil() * 1.1;
        while_failing.push(format!("{route}.calls_per_page <= {most:.1}"));
    }
    if finding(Id::ImmediateRetries).is_some()
        && number(Id::ImmediateRetries, "median_us").is_some()
    {
        while_failing.push(format!("{route}.retry_gap.p50 >= 20ms"));
    }
    let mut after = Vec::new();
    if let Some(back) = number(Id::BreakerNeverCloses, "back_after_503s_us") {
        let within = (back / 1e6 * 2.5).ceil().max(5.0);
        after.push(format!("{route}.rate >= 0.7x baseline within {within}s"));
    }
    if !while_failing.is_empty() || !after.is_empty() {
        phase(
            file,
            route,
            "answers-503",
            "abort = 503",
            &while_failing,
            &after,
        );
    }
}

fn phase(
    file: &mut String,
    route: &str,
    what: &str,
    fault: &str,
    expect: &[String],
    after: &[String],
) {
    put(
        file,
        &format!(
            "\n[[phase]]\nname = {}\nduration = \"5s\"\n",
            quoted(&format!("{route}-{what}"))
        ),
    );
    put(
        file,
        &format!(
            "faults = [{{ id = {}, route = {}, {fault} }}]\n",
            quoted(&format!("{route}-{what}")),
            quoted(route)
        ),
    );
    put(file, &format!("expect = [{}]\n", list(expect)));
    if !after.is_empty() {
        put(file, &format!("after = [{}]\n", list(after)));
    }
}

fn list(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|it| quoted(it)).collect();
    quoted.join(", ")
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn put(file: &mut String, text: &str) {
    file.write_str(text).expect("a String takes everything");
}
