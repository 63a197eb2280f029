//! The numbers of a finding, and of an experiment of an audit, for a person: names in words, values with units.

use serde_json::Value;

use crate::{
    audit::{AuditReport, CalmRecord, ExperimentRecord},
    expectation::Unit,
    forensics::{Finding, FindingId as Id, join::JoinedBy},
};

/// What a finding rests on, as pairs of a name and a value. What says nothing is left out.
pub(super) fn facts(evidence: &Value) -> Vec<(String, String)> {
    let members = evidence.as_object().into_iter().flatten();
    let told = members.filter_map(|(key, value)| Some((label(key), shown(key, value)?)));
    told.collect()
}

/// The same in one line: `page took: 3.89s; attempts: 9`.
pub(super) fn in_one_line(evidence: &Value) -> String {
    let facts = facts(evidence).into_iter();
    let told = facts.map(|(name, value)| format!("{name}: {value}"));
    told.collect::<Vec<_>>().join("; ")
}

/// A name that a rule gave to a number, for a person; a new one is told as it is, without its unit.
fn label(key: &str) -> String {
    let known = match key {
        "page_us" => "the longest page",
        "budget_us" => "a page may take",
        "attempts" => "attempts",
        "attempt_timeout_us" => "time-out of an attempt",
        "paths_only_then" => "paths asked for only then",
        "good_pages" => "pages served",
        "pages" => "pages",
        "primary" => "calls to the dependency afterwards",
        "second_source" => "calls to the second source afterwards",
        "late_page_p50_us" => "median page late in the outage",
        "calm_page_p50_us" => "median page in calm",
        "page_p50_us" => "median page",
        "call_p50_us" => "median call",
        "calls_per_page" => "calls for each page",
        "in_calm" => "calls for each page in calm",
        "pages_with_a_call_given_up_for_another" => "pages that gave one call up for another",
        "callers_that_left" => "callers that left",
        "last_start_us" => "last attempt after the caller had left",
        "tried" => "tried",
        "accepted" => "served as whole",
        "nobody_can_see" => "nobody could see",
        "resets_of_kept_connections" => "resets of kept connections",
        "failed_pages" => "failed pages",
        "answered_with_503" => "pages that said 503",
        "error_answers_until_none" => "error answers that use the pool up",
        "page_waits_us" => "a page waits then",
        "attempt_us" => "the longest attempt",
        "late_in_hangs" => "calls for each page late in the time when calls hang",
        "pages_late_in_hangs" => "pages over the budget then",
        "pages_in_hangs" => "all pages then",
        "calls_that_hung" => "calls that hung",
        "trials" => "tried so often",
        "first_call_us" => "first call afterwards",
        "resets_until_none" => "resets that use the pool up",
        "open_attempts" => "attempts still open",
        "other_endpoint_p90_us" => "slowest tenth of the other endpoint's pages",
        "before_us" => "the same before",
        "in_flight" => "calls in flight",
        "latency" => "each call took",
        "most_in_flight" => "most calls in flight",
        "late_in_503s" => "calls for each page late in the outage of 503s",
        "late_in_resets" => "calls for each page late in the outage of resets",
        "late" => "calls for each page late in the outage",
        "back_after_503s_us" => "back after 503s",
        "back_after_resets_us" => "back after resets",
        "pages_after_503s" => "pages asked for afterwards",
        "calls_after_503s" => "calls that they made",
        "watched_us" => "watched for",
        "starts_after_a_silence" => "calls at once after a silence",
        "after" => "waits after",
        "where" => "the calls met",
        "waits" => "waits measured",
        "median_us" => "median wait",
        "p10_us" => "a tenth of the waits is shorter than",
        "p85_us" => "most waits are shorter than",
        "spread" => "spread, as a share of the median",
        "first_us" => "median first wait",
        "second_us" => "median second wait",
        "n" => "waits measured",
        "jittered" => "waits differ",
        "silences_us" => "silences",
        "outage_us" => "the outage",
        "repeated" => "sent more than once",
        "repeated_with_a_key" => "repeated under one idempotency key",
        "outer" => "attempts of the outer layer",
        "inner" => "attempts of the inner layer",
        "waits_us" => "waits",
        "calls" => "calls",
        "retries" => "retries",
        "a_usual_budget_allows" => "retries that a usual budget allows",
        "late_failures" => "failures late in the run",
        "late_repeated" => "of these repeated",
        "attempts_for_each_call" => "attempts for each call",
        "failing_percent" => "share of calls that fail",
        "told_to_wait" => "attempts that were told to wait",
        "ignored" => "asked again too early after",
        "waited_out" => "waited past the budget for",
        "path" => "path",
        other => return other.trim_end_matches("_us").replace('_', " "),
    };
    known.to_owned()
}

fn shown(key: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Number(number) if key == "repeated_with_a_key" && number.as_u64() == Some(0) => None,
        Value::Bool(true) => Some("yes".to_owned()),
        Value::Bool(false) => Some("no".to_owned()),
        Value::Number(number) => Some(number_of(key, number.as_f64()?)),
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(values) if values.is_empty() => None,
        Value::Array(values) => Some(list(key, values)),
        Value::Object(members) if members.is_empty() => None,
        Value::Object(members) if members.contains_key("after") && members.contains_key("sent") => {
            let shown = |name: &str| shown(name, &members[name]);
            Some(format!(
                "{} times after {}",
                shown("sent")?,
                shown("after")?
            ))
        }
        Value::Object(members) => {
            let told = members.iter().filter_map(|(name, value)| {
                let value = shown(name, value)?;
                Some(format!("{name}: {value}"))
            });
            Some(told.collect::<Vec<_>>().join(", "))
        }
    }
}

fn number_of(key: &str, number: f64) -> String {
    if key.ends_with("_us") {
        return time(number / 1e3);
    }
    let plain = match number.fract() == 0.0 {
        true => format!("{number:.0}"),
        false => format!("{number:.2}"),
    };
    match key {
        "spread" => format!("{:.0} %", number * 100.0),
        key if key.ends_with("percent") => format!("{plain} %"),
        _ => plain,
    }
}

/// Few values are told one by one, many by the least, the middle and the greatest.
fn list(key: &str, values: &[Value]) -> String {
    const ONE_BY_ONE: usize = 6;
    let mut numbers: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
    if numbers.len() == values.len() && numbers.len() > ONE_BY_ONE {
        numbers.sort_by(f64::total_cmp);
        let at = |index: usize| number_of(key, numbers[index]);
        let last = numbers.len() - 1;
        return format!(
            "{}, from {} to {}, median {}",
            numbers.len(),
            at(0),
            at(last),
            at(last / 2)
        );
    }
    let each = values.iter().filter_map(|it| shown(key, it));
    each.collect::<Vec<_>>().join(", ")
}

/// How calls were joined to pages.
pub(super) const fn joined(by: JoinedBy) -> &'static str {
    match by {
        JoinedBy::Id => "by an id that the service passes on",
        JoinedBy::Serial => "by asking for one page at a time",
        JoinedBy::Totals => "by totals alone",
    }
}

/// A time for a person, from ms.
pub(super) fn time(ms: f64) -> String {
    Unit::Time.show(ms.max(0.0) / 1_000.0)
}

/// `1 page`, `2 pages`.
pub(super) fn counted(count: usize, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        more => format!("{more} {one}s"),
    }
}

/// What a page calls without a fault: `a page makes 1 call to /items and 0.5 calls to /prices`.
pub(super) fn calls_of(calm: &CalmRecord, path: impl Fn(&str) -> String) -> String {
    let calls = calm.calls_per_page.iter().map(|(called, calls)| {
        let calls = format!("{calls:.2}");
        let calls = calls.trim_end_matches('0').trim_end_matches('.');
        let unit = if calls == "1" { "call" } else { "calls" };
        format!("{calls} {unit} to {}", path(called))
    });
    let calls: Vec<String> = calls.collect();
    match (calls.is_empty(), calm.background) {
        (true, _) => "no call to it was seen, so nothing can be said of it. A service that the audit starts finds its address in \
                      BROWNOUT_ROUTE_NAME_URL; --route NAME=ADDRESS=URL chooses it"
            .to_owned(),
        (false, true) => "it is called in the background, not by pages".to_owned(),
        (false, false) => format!("a page makes {}", calls.join(" and ")),
    }
}

/// How the pages of an experiment were served: `whole`, `all 15 whole`, `2 whole, 1 by a fallback`.
pub(super) fn served(record: &ExperimentRecord) -> String {
    let seen = &record.seen;
    let parts = [
        (seen.whole, "whole"),
        (seen.degraded, "by a fallback"),
        (seen.failed, "failed"),
        (seen.left, "left by the caller"),
    ];
    let some = parts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = some.map(|(count, how)| format!("{count} {how}")).collect();
    match (told.as_slice(), record.pages) {
        ([], _) => String::new(),
        ([only], 1) => only.trim_start_matches("1 ").to_owned(),
        ([only], _) => format!("all {only}"),
        _ => told.join(", "),
    }
}

/// The experiment that shows a finding best: of those that tell of it, and of its path, the one with the most attempts for a page.
pub(super) fn shown_by<'r>(
    report: &'r AuditReport,
    finding: &Finding,
) -> Option<&'r ExperimentRecord> {
    let ids = experiments_of(finding.id);
    let attempts = |it: &&ExperimentRecord| {
        it.seen
            .exemplar
            .as_ref()
            .map_or(0, |it| it.attempts.len() + it.more)
    };
    let path = finding.evidence["path"].as_str();
    let of_path = |it: &ExperimentRecord| match (path, &it.path) {
        (Some(path), Some(alone)) => path == alone,
        _ => true,
    };
    let of_route =
        |it: &&ExperimentRecord| it.route == finding.route && it.struck != Some(0) && of_path(it);
    ids.iter().find_map(|id| {
        let own = report
            .experiments
            .iter()
            .filter(of_route)
            .filter(|it| it.id == *id);
        // A form that the sentence names is what the finding is about, else one of the evidence.
        let evidence = finding.evidence.to_string();
        let named_in = |text: &str| {
            let named = own.clone();
            let named = named.filter(|it| !it.form.is_empty() && text.contains(&it.form));
            named.max_by_key(attempts)
        };
        named_in(&finding.sentence)
            .or_else(|| named_in(&evidence))
            .or_else(|| own.clone().max_by_key(attempts))
    })
}

/// Which experiments tell of a finding, the most telling one first.
const fn experiments_of(id: Id) -> &'static [&'static str] {
    match id {
        Id::NoTimeout | Id::TimeoutOverBudget | Id::NoTotalTimeout => &["S4"],
        Id::ConnectTimeoutOnly => &["S4", "S5"],
        Id::PerReadTimeout => &["S6"],
        Id::HeadOnlyTimeout => &["S7"],
        Id::ImmediateRetries | Id::NoJitter => &["S2"],
        Id::NoBackoffGrowth => &["S11", "S2"],
        Id::Retries4xx => &["S8"],
        Id::RetriesPost => &["S10"],
        Id::NestedRetries => &["S11"],
        Id::NoRetryBudget => &["S14"],
        Id::IgnoresRetryAfter | Id::WaitsOutRetryAfter => &["S9"],
        Id::AcceptsTruncated => &["S23"],
        Id::AcceptsCorrupt => &["S24"],
        Id::ResetSurfaced => &["S3"],
        Id::PinnedConnection => &["S13"],
        Id::PoolLeak => &["S27", "S16"],
        Id::NoBulkhead | Id::Serialised => &["S20"],
        Id::UncappedBackoff
        | Id::NoEffectiveBreaker
        | Id::BreakerIgnores5xx
        | Id::BreakerNeverCloses
        | Id::FallbackSameDependency => &["S15", "S16"],
        Id::BreakerOpensOn4xx => &["S21"],
        Id::HalfOpenStampede => &["S18"],
        Id::StickyFallback => &["S12"],
        Id::SlowFallback => &["S19"],
        Id::PermanentHedge => &["S1"],
        Id::NoCancellation => &["S22"],
    }
}

/// Whether the waits between attempts are what a finding is about.
pub(super) const fn is_about_waits(id: Id) -> bool {
    matches!(
        id,
        Id::ImmediateRetries | Id::NoJitter | Id::NoBackoffGrowth | Id::NestedRetries
    )
}

/// A finding as a heading: what is wrong, for somebody who does not know its id.
pub(super) const fn title(id: Id) -> &'static str {
    match id {
        Id::NoTimeout => "A call has no time-out",
        Id::TimeoutOverBudget => "The time-out is longer than the page may take",
        Id::ConnectTimeoutOnly => "Only connecting has a time-out",
        Id::PerReadTimeout => "The time-out starts anew with each byte",
        Id::HeadOnlyTimeout => "The time-out ends with the answer's head",
        Id::NoTotalTimeout => "All attempts together take too long",
        Id::ImmediateRetries => "Retries do not wait",
        Id::NoBackoffGrowth => "Waits between retries do not grow",
        Id::NoJitter => "Waits between retries are all alike",
        Id::UncappedBackoff => "Waits between retries grow without a limit",
        Id::Retries4xx => "The caller's own mistakes are retried",
        Id::RetriesPost => "An order is sent twice",
        Id::NestedRetries => "Two layers retry",
        Id::NoRetryBudget => "Nothing limits the share of retries",
        Id::IgnoresRetryAfter => "Retry-After is ignored",
        Id::WaitsOutRetryAfter => "A page waits for Retry-After until it is too late",
        Id::AcceptsTruncated => "Half an answer is taken for a whole one",
        Id::AcceptsCorrupt => "A damaged answer is taken for a good one",
        Id::ResetSurfaced => "A reset connection becomes a failed page",
        Id::PinnedConnection => "A stuck connection is never let go",
        Id::PoolLeak => "Connections are lost with each failure",
        Id::NoBulkhead => "One slow dependency takes all places",
        Id::Serialised => "Calls wait for each other",
        Id::NoEffectiveBreaker => "No circuit breaker takes effect",
        Id::BreakerIgnores5xx => "The circuit breaker does not count 5xx answers",
        Id::BreakerOpensOn4xx => "The circuit breaker opens on 4xx answers",
        Id::BreakerNeverCloses => "The circuit breaker never closes again",
        Id::HalfOpenStampede => "Many calls at once probe a dependency that comes back",
        Id::FallbackSameDependency => "The fallback needs the dependency that failed",
        Id::StickyFallback => "The fallback stays after the failure is over",
        Id::SlowFallback => "Each page pays the whole time-out before its fallback",
        Id::PermanentHedge => "Slow calls are always asked twice",
        Id::NoCancellation => "Attempts go on after the caller has left",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn evidence_is_told_in_words_with_units() {
        let evidence = json!({
            "page_us": 3_890_602, "attempts": 9, "spread": 0.42, "failing_percent": 40, "back_after_resets_us": null,
            "accepted": ["closed", "reset"], "repeated": [{ "after": "a reset", "sent": 2 }], "new_thing_us": 1_000,
            "waits_us": [40_000, 42_000, 44_000, 46_000, 48_000, 50_000, 600_000],
        });

        let told = in_one_line(&evidence);

        for part in [
            "the longest page: 3.89s",
            "attempts: 9",
            "spread, as a share of the median: 42 %",
            "share of calls that fail: 40 %",
            "served as whole: closed, reset",
            "sent more than once: 2 times after a reset",
            "new thing: 1.0ms",
            "waits: 7, from 40ms to 600ms, median 46ms",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("resets"), "{told}");
    }
}
