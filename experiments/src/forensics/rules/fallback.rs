//! Fallbacks, hedges and callers that leave.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    Case, Trial,
    breaker::{does_no_harm, stopped},
    connections, time, usable, usable_of,
};
use crate::forensics::{
    finding::{FindingId as Id, Outcome},
    record::AttemptRecord,
};

pub(super) fn outcomes(case: &Case<'_>) -> Vec<Outcome> {
    vec![
        same_dependency(case),
        sticky(case),
        slow(case),
        hedge(case),
        cancellation(case),
    ]
}

/// The fallback asks the dependency that failed, on another path.
fn same_dependency(case: &Case<'_>) -> Outcome {
    let id = Id::FallbackSameDependency;
    let trial = match usable(case.battery.outage_503.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let paths = |during: bool| -> BTreeSet<&str> {
        let inside = |at: u64| (trial.armed..trial.fault_end()).contains(&at);
        let chosen = trial
            .attempts
            .iter()
            .filter(|it| inside(it.t_head) == during);
        chosen.map(|it| it.path.as_str()).collect()
    };
    let (during, before) = (paths(true), paths(false));
    if before.is_empty() {
        return Outcome::unknown(id, "no call was seen without the fault");
    }
    let new: Vec<&str> = during.difference(&before).copied().collect();
    let pages = trial.pages_in(trial.armed, trial.fault_end());
    let good = pages.iter().filter(|it| it.is_good()).count();
    let evidence = json!({ "paths_only_then": new, "pages": pages.len(), "good_pages": good });
    if new.is_empty() {
        return Outcome::ok(
            id,
            "the dependency is asked for nothing else while it fails",
            evidence,
        );
    }
    if good * 2 > pages.len() {
        return Outcome::ok(
            id,
            "it asks the same dependency for something else, and serves its pages",
            evidence,
        );
    }
    Outcome::defect(
        id,
        format!(
            "the fallback asks the dependency that failed, for {}: {good} of {} pages are served",
            new.join(", "),
            pages.len()
        ),
        evidence,
    )
}

/// One failure, and the primary is never asked again.
fn sticky(case: &Case<'_>) -> Outcome {
    let id = Id::StickyFallback;
    let trial = match usable(case.battery.after_failure.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let Some(removed) = trial.removed else {
        return Outcome::unknown(id, "the fault was not removed");
    };
    let pages = trial.pages_in(removed, trial.until).len();
    let second = trial
        .second
        .iter()
        .filter(|it| it.t_head >= removed)
        .count();
    let evidence = json!({ "pages": pages, "primary": trial.starts(removed, trial.until), "second_source": second });
    if let Some(after) = trial.comes_back() {
        let sentence = format!("it is called again {} after one failure", time(after));
        return Outcome::ok(id, sentence, evidence);
    }
    if pages == 0 {
        return Outcome::unknown(id, "there was no page after the failure");
    }
    let watched = time(trial.until.saturating_sub(removed));
    let sentence = match second {
        0 => format!("after one failure it is not called within {watched}"),
        count => format!(
            "after one failure the primary is not asked within {watched}; the second source got {count} calls"
        ),
    };
    Outcome::defect(id, sentence, evidence)
}

/// Every page waits for the whole time-out, for as long as the outage lasts.
fn slow(case: &Case<'_>) -> Outcome {
    let id = Id::SlowFallback;
    if case.scale.background {
        return Outcome::not_applicable(id, "pages do not wait for this dependency");
    }
    if connections::used_up_by_answers(case).is_some() {
        return Outcome::not_applicable(id, "pages wait for places: pool-leak tells it");
    }
    let trial = match usable(case.battery.hang_under_load.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let Some(timeout) = case.scale.attempt_timeout else {
        return Outcome::not_applicable(id, "it has no time-out to pay");
    };
    let Some(late) = trial.late_page_p50() else {
        return Outcome::unknown(id, "no page ended late in the outage");
    };
    let evidence = json!({ "late_page_p50_us": late, "attempt_timeout_us": timeout, "calm_page_p50_us": case.scale.page_p50 });
    if late * 10 >= timeout * 9 {
        let stops = [&case.battery.outage_503, &case.battery.outage_reset]
            .map(|it| usable(it.as_ref()).ok().and_then(|it| stopped(case, it)));
        if !stops.contains(&Some(true)) {
            // Without a breaker each page pays; that is its own finding where it does harm.
            return match late <= case.scale.page_limit() && does_no_harm(case, trial) {
                true => Outcome::ok(
                    id,
                    format!(
                        "without a breaker each page waits {} in an outage, inside its budget",
                        time(late)
                    ),
                    evidence,
                ),
                false => Outcome::not_applicable(
                    id,
                    "no breaker is in effect that could spare pages the wait",
                ),
            };
        }
        return Outcome::defect(
            id,
            format!(
                "late in an outage every page still takes {}, the time-out being {}",
                time(late),
                time(timeout)
            ),
            evidence,
        );
    }
    if late <= case.scale.page_p95.max(timeout / 4) {
        return Outcome::ok(
            id,
            format!("late in an outage a page takes {}", time(late)),
            evidence,
        );
    }
    Outcome::unknown(id, format!("late in an outage a page took {}", time(late)))
}

/// More than one call for each page, where nothing fails.
pub(super) fn hedge(case: &Case<'_>) -> Outcome {
    /// So many pages that call are enough to say that they call twice.
    const CALLING_MIN: usize = 10;
    let id = Id::PermanentHedge;
    if case.scale.background {
        return Outcome::not_applicable(id, "calls do not come of pages");
    }
    let trial = match usable(case.battery.slow_but_fine.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let whole = trial.pages.iter().filter(|it| it.is_whole()).count();
    if whole * 10 < trial.pages.len() * 9 {
        let why = format!(
            "of {} pages whose calls were slower than usual only {whole} were whole: it gave them up",
            trial.pages.len()
        );
        return Outcome::unknown(id, why);
    }
    let calls = trial.attempts.len() as f64 / trial.pages.len() as f64;
    let factor = calls / case.scale.calls_per_page.max(0.01);
    let (pairs, calling) = hedged_pages(trial);
    let evidence = json!({
        "calls_per_page": calls, "in_calm": case.scale.calls_per_page, "pages": trial.pages.len(),
        "pages_with_a_call_given_up_for_another": pairs,
    });
    if pairs * 2 >= calling && calling >= CALLING_MIN {
        return Outcome::defect(
            id,
            format!(
                "{pairs} of {calling} pages that call ask twice for the same and give one call up, though nothing fails"
            ),
            evidence,
        );
    }
    // What is kept for a while is asked for again after a time, and slow pages take longer.
    if !case.scale.each_page_calls() {
        return Outcome::not_applicable(id, "most pages make no call");
    }
    if factor <= 1.1 {
        return Outcome::ok(
            id,
            format!("{calls:.2} calls a page where calls are slow but fine"),
            evidence,
        );
    }
    if trial.pages.len() < 10 {
        return Outcome::unknown(
            id,
            format!(
                "{} pages are too few for a hedge that learns",
                trial.pages.len()
            ),
        );
    }
    if factor >= 1.5 {
        return Outcome::defect(
            id,
            format!(
                "{calls:.2} calls a page where calls are slow but fine, instead of {:.2}",
                case.scale.calls_per_page
            ),
            evidence,
        );
    }
    Outcome::unknown(
        id,
        format!("{calls:.2} calls a page may be a hedge that learns"),
    )
}

/// Pages that asked twice for the same at once, and pages that asked.
fn hedged_pages(trial: &Trial) -> (usize, usize) {
    let Ok(by_page) = trial.by_page() else {
        return (0, 0);
    };
    let is_hedged = |attempts: &[&AttemptRecord]| {
        attempts.iter().enumerate().any(|(index, one)| {
            attempts[index + 1..].iter().any(|other| {
                one.fingerprint == other.fingerprint
                    && other.t_head < one.ended()
                    && one.t_head < other.ended()
            })
        })
    };
    let calling = by_page.iter().filter(|(_, attempts)| !attempts.is_empty());
    let hedged = calling.clone().filter(|(_, attempts)| is_hedged(attempts));
    (hedged.count(), calling.count())
}

/// Attempts begin for a caller that has left.
fn cancellation(case: &Case<'_>) -> Outcome {
    let id = Id::NoCancellation;
    if case.scale.background {
        return Outcome::not_applicable(id, "calls do not come of pages");
    }
    let trials = match usable_of(&case.battery.caller_leaves) {
        Ok(trials) => trials,
        Err(why) => return Outcome::unknown(id, why),
    };
    let mut latest: Option<(u64, &str)> = None;
    let mut left = 0;
    for trial in trials {
        let by_page = match trial.by_page() {
            Ok(by_page) => by_page,
            Err(why) => return Outcome::unknown(id, why),
        };
        for (page, attempts) in &by_page {
            let Some(gone) = page.left else { continue };
            left += 1;
            let since = attempts.iter().map(|it| it.t_head.saturating_sub(gone));
            latest = latest.max(since.max().map(|it| (it, trial.form.as_str())));
        }
    }
    if left == 0 {
        return Outcome::unknown(id, "no caller left");
    }
    let (latest, form) = latest.unwrap_or_default();
    let evidence = json!({
        "callers_that_left": left, "last_start_us": latest, "budget_us": case.scale.budget, "where": form,
    });
    // Threaded servers cannot see a caller leave: bounded by their own deadline they are healthy.
    if latest > case.scale.budget {
        return Outcome::defect(
            id,
            format!(
                "attempts begin up to {} after the caller has left; the page had {}",
                time(latest),
                time(case.scale.budget)
            ),
            evidence,
        );
    }
    let sentence = match latest {
        0 => "no attempt begins after the caller has left".to_owned(),
        latest => format!(
            "the last attempt begins {} after the caller has left, within the {} that a page may take",
            time(latest),
            time(case.scale.budget)
        ),
    };
    Outcome::ok(id, sentence, evidence)
}
