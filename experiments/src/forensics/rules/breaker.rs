//! Does it stop calling what fails, and come back?

use serde_json::json;

use super::{Case, Trial, time, usable};
use crate::forensics::{
    derive::{burst_after_silence, silences},
    finding::{FindingId as Id, Outcome},
};

pub(super) fn outcomes(case: &Case<'_>) -> Vec<Outcome> {
    let mut outcomes = effective(case);
    outcomes.push(on_4xx(case));
    outcomes.push(never_closes(case));
    outcomes.push(stampede(case));
    outcomes
}

/// Whether calls stopped late in an outage: fewer than a quarter of the usual, or most of them. None between.
pub(super) fn stopped(case: &Case<'_>, trial: &Trial) -> Option<bool> {
    let usual = case.scale.calls_per_page;
    let late = trial.late_calls_per_page()?;
    let paused = || {
        silences(&trial.attempts, 250_000)
            .iter()
            .filter(|it| it.from >= trial.armed)
            .count()
    };
    if late <= usual * 0.25 || (late <= usual * 0.5 && paused() >= 2) {
        Some(true)
    } else if late >= usual * 0.8 {
        Some(false)
    } else {
        None
    }
}

/// `no-effective-breaker` and `breaker-ignores-5xx`: 503s and resets are two kinds.
fn effective(case: &Case<'_>) -> Vec<Outcome> {
    let ids = [Id::NoEffectiveBreaker, Id::BreakerIgnores5xx];
    if case.scale.background {
        return ids
            .map(|id| Outcome::not_applicable(id, "calls do not come of pages"))
            .into();
    }
    let both = usable(case.battery.outage_503.as_ref())
        .and_then(|first| Ok((first, usable(case.battery.outage_reset.as_ref())?)));
    let (errors, resets) = match both {
        Ok(both) => both,
        Err(why) => return ids.map(|id| Outcome::unknown(id, why.clone())).into(),
    };
    let evidence = json!({
        "calls_per_page": case.scale.calls_per_page,
        "late_in_503s": errors.late_calls_per_page(),
        "late_in_resets": resets.late_calls_per_page(),
    });
    let (on_errors, on_resets) = (stopped(case, errors), stopped(case, resets));
    let none = match (on_errors, on_resets) {
        (Some(false), Some(false)) if does_no_harm(case, errors) && does_no_harm(case, resets) => {
            Outcome::ok(
                Id::NoEffectiveBreaker,
                "it has no breaker in effect and needs none: one call a page, and every page is served in time",
                evidence.clone(),
            )
        }
        (Some(false), Some(false)) => Outcome::defect(
            Id::NoEffectiveBreaker,
            "no breaker is in effect: calls go on at full rate through an outage of 503s and one of resets",
            evidence.clone(),
        ),
        (Some(true), _) | (_, Some(true)) => Outcome::ok(
            Id::NoEffectiveBreaker,
            "calls stop in an outage",
            evidence.clone(),
        ),
        (None, _) | (_, None) => Outcome::unknown(
            Id::NoEffectiveBreaker,
            "calls went on at a part of their rate",
        ),
    };
    let ignores = match (on_errors, on_resets) {
        (Some(false), Some(true)) => Outcome::defect(
            Id::BreakerIgnores5xx,
            "calls stop when connections are reset, and go on when the answer is 503",
            evidence,
        ),
        (Some(true), _) => Outcome::ok(
            Id::BreakerIgnores5xx,
            "calls stop when the answer is 503",
            evidence,
        ),
        (Some(false), Some(false)) => {
            Outcome::not_applicable(Id::BreakerIgnores5xx, "no breaker is in effect")
        }
        (None, _) | (_, None) => Outcome::unknown(
            Id::BreakerIgnores5xx,
            "calls went on at a part of their rate",
        ),
    };
    vec![none, ignores]
}

/// By design is no defect: one call a page, no retries, and every page good, or honest, and inside its budget.
pub(super) fn does_no_harm(case: &Case<'_>, trial: &Trial) -> bool {
    let during = trial.pages_in(trial.armed, trial.fault_end());
    let late = trial.late_calls_per_page().unwrap_or(f64::INFINITY);
    // A busy machine makes a page late now and then.
    let harmless = during.iter().filter(|it| {
        // An honest 503 says that it is for a moment.
        (it.is_good() || it.status == Some(503))
            && it
                .duration()
                .is_some_and(|took| took <= case.scale.page_limit())
    });
    late <= case.scale.calls_per_page * 1.1
        && case.scale.calls_per_page <= 1.1
        && !during.is_empty()
        && harmless.count() * 20 >= during.len() * 19
}

fn on_4xx(case: &Case<'_>) -> Outcome {
    let id = Id::BreakerOpensOn4xx;
    if case.scale.background {
        return Outcome::not_applicable(id, "calls do not come of pages");
    }
    let trial = match usable(case.battery.storm_404.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let late = trial.late_calls_per_page();
    let evidence = json!({ "calls_per_page": case.scale.calls_per_page, "late": late });
    match stopped(case, trial) {
        Some(true) => Outcome::defect(id, "calls stop when the answers are 404", evidence),
        Some(false) => Outcome::ok(id, "calls go on when the answers are 404", evidence),
        None => Outcome::unknown(id, "calls went on at a part of their rate"),
    }
}

/// How long its breaker stays open: the first silence of an outage that is longer than a page.
fn open_time(case: &Case<'_>, trial: &Trial) -> Option<u64> {
    let least = case.scale.page_p95.max(200_000);
    silences(&trial.attempts, least)
        .first()
        .map(super::super::derive::Silence::length)
}

/// How long breakers stay open where nobody says anything else (resilience4j, pybreaker).
const A_MINUTE_US: u64 = 60_000_000;

/// When the last call began.
fn last_start(trial: &Trial) -> u64 {
    trial
        .attempts
        .iter()
        .map(|it| it.t_head)
        .max()
        .unwrap_or(trial.armed)
}

fn never_closes(case: &Case<'_>) -> Outcome {
    let id = Id::BreakerNeverCloses;
    let both = usable(case.battery.outage_503.as_ref())
        .and_then(|first| Ok((first, usable(case.battery.outage_reset.as_ref())?)));
    let (errors, resets) = match both {
        Ok(both) => both,
        Err(why) => return Outcome::unknown(id, why),
    };
    let watched = |it: &Trial| it.removed.map(|removed| it.until.saturating_sub(removed));
    let (Some(first), Some(second)) = (watched(errors), watched(resets)) else {
        return Outcome::unknown(id, "the fault was not removed");
    };
    let usual = case.scale.calls_per_page;
    let (after_errors, after_resets) = (errors.is_as_before(usual), resets.is_as_before(usual));
    let evidence = json!({
        "back_after_503s_us": after_errors, "back_after_resets_us": after_resets,
        "first_call_after_503s_us": errors.comes_back(), "watched_us": first.min(second),
    });
    match (after_errors, after_resets) {
        (Some(after), Some(_)) => Outcome::ok(
            id,
            format!("calls come back {} after an outage", time(after)),
            evidence,
        ),
        (Some(_), None) => {
            Outcome::not_applicable(id, "calls come back after 503s; pool-leak tells of resets")
        }
        (None, Some(_)) => Outcome::unknown(id, "calls come back after resets and not after 503s"),
        (None, None) => {
            let one_failure = usable(case.battery.after_failure.as_ref()).map(Trial::comes_back);
            if one_failure == Ok(None) {
                return Outcome::not_applicable(
                    id,
                    "one failure is enough: sticky-fallback tells it",
                );
            }
            let outage = errors.fault_end().saturating_sub(errors.armed);
            if errors.back_after_a_pause || resets.back_after_a_pause {
                return Outcome::defect(
                    id,
                    format!(
                        "calls do not come back within {} while pages come; they do when nobody asks for a while",
                        time(first)
                    ),
                    evidence,
                );
            }
            // Where no probe was seen, its open time is not known: a minute is usual.
            let open = open_time(case, errors).or(open_time(case, resets));
            let silent = errors.until.saturating_sub(last_start(errors));
            let needed = open.map_or(outage.saturating_mul(3) / 2, |it| it.saturating_mul(5) / 2);
            if first < needed && silent < A_MINUTE_US {
                let why = format!(
                    "{} without a call may be shorter than its breaker stays open",
                    time(silent)
                );
                return Outcome::unknown(id, why);
            }
            Outcome::defect(
                id,
                format!(
                    "calls do not come back within {} after the outage was over",
                    time(first.min(second))
                ),
                evidence,
            )
        }
    }
}

fn stampede(case: &Case<'_>) -> Outcome {
    /// What begins within this time of the first is a burst, if the answer takes no shorter.
    const WINDOW_US: u64 = 150_000;
    let id = Id::HalfOpenStampede;
    let trial = match usable(case.battery.half_open.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let least = (case.scale.page_p95 * 2).max(400_000);
    let window = trial
        .slow
        .map_or(WINDOW_US, |slow| WINDOW_US.min(slow * 9 / 10));
    let Some(burst) = burst_after_silence(&trial.attempts, least, window, trial.armed) else {
        return Outcome::not_applicable(id, "calls never paused: there is no breaker in effect");
    };
    // Pages that came in the same time could have made more.
    let evidence = json!({ "starts_after_a_silence": burst });
    match burst {
        0..=2 => Outcome::ok(
            id,
            format!("{burst} calls try whether the dependency is back"),
            evidence,
        ),
        3 => Outcome::unknown(id, "3 calls at once may be a hedge and a probe"),
        _ => Outcome::defect(
            id,
            format!("{burst} calls at once try whether the dependency is back"),
            evidence,
        ),
    }
}
