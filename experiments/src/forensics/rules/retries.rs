//! Are calls repeated when, as often and after as long as is good for both sides?

mod layers;
mod orders;

use std::collections::BTreeMap;

use serde_json::json;

use self::{
    layers::{layers_of, nested},
    orders::orders,
};
use super::{Battery, Case, Trial, fallback, time, usable, usable_of};
use crate::forensics::{
    derive::{Chain, amplification, early_returns, gaps, middle_spread, quantile, silences},
    finding::{FindingId as Id, Outcome},
    record::{AttemptRecord, PageRecord},
    scale::Scale,
};

/// What clients need to send again at once: measured as 0 to 11 ms in four languages.
const AT_ONCE_US: u64 = 12_000;
/// From here on a wait is one.
const WAIT_US: u64 = 20_000;
/// Fewer waits tell nothing of their spread.
pub(crate) const WAITS_MIN: usize = 12;
/// So many second waits are waited for, where fewer do not tell whether they grow.
pub(crate) const GROWTH_WAITS: usize = 28;
/// From this factor on the second wait is longer than the first.
const GROWS: f64 = 1.4;
/// Waits whose spread is at least this share of their median are drawn by chance.
const JITTERED: f64 = 0.25;

pub(super) fn outcomes(case: &Case<'_>) -> Vec<Outcome> {
    let mut outcomes = single_failures(case);
    outcomes.push(growth(case));
    outcomes.push(uncapped(case));
    outcomes.push(client_errors(case));
    outcomes.push(orders(case));
    outcomes.push(nested(case));
    outcomes.push(budget(case));
    outcomes.extend(retry_after(case));
    outcomes
}

/// Waits before the first retry: `immediate-retries` and `no-jitter`, from the kind of failure that is retried.
fn single_failures(case: &Case<'_>) -> Vec<Outcome> {
    let ids = [Id::ImmediateRetries, Id::NoJitter];
    let trials = match usable_of(&case.battery.one_failure) {
        Ok(trials) => trials,
        Err(why) => return ids.map(|id| Outcome::unknown(id, why.clone())).into(),
    };
    // Of those with enough waits the first kind, as it is tried first.
    let waits = trials
        .iter()
        .rev()
        .map(|trial| (*trial, waits_after(case, trial)));
    let Some((trial, waits)) = waits.max_by_key(|(_, waits)| waits.len().min(WAITS_MIN)) else {
        return ids
            .map(|id| Outcome::unknown(id, "it was not tried"))
            .into();
    };
    if waits.is_empty() {
        return ids
            .map(|id| Outcome::not_applicable(id, "it retries neither a 503 nor a reset"))
            .into();
    }
    // The second call of a hedge comes where nothing failed as well.
    if fallback::hedge(case).is_defect() {
        return ids
            .map(|id| Outcome::not_applicable(id, "permanent-hedge tells it"))
            .into();
    }
    if waits.len() < WAITS_MIN {
        let why = format!(
            "too few failures were followed by another attempt: {}, and {WAITS_MIN} are needed",
            waits.len()
        );
        return ids.map(|id| Outcome::unknown(id, why.clone())).into();
    }
    let median = quantile(&waits, 0.5).unwrap_or(0);
    let (low, high) = (
        quantile(&waits, 0.10).unwrap_or(0),
        quantile(&waits, 0.85).unwrap_or(0),
    );
    let spread = middle_spread(&waits).unwrap_or(0.0);
    let evidence = json!({
        "after": trial.form, "waits": waits.len(), "median_us": median, "p10_us": low, "p85_us": high, "spread": spread,
    });
    let immediate = if median <= AT_ONCE_US {
        let sentence = format!("a retry follows {} after {}", trial.form, time(median));
        Outcome::defect(Id::ImmediateRetries, sentence, evidence.clone())
    } else if median < WAIT_US && spread < JITTERED {
        Outcome::unknown(
            Id::ImmediateRetries,
            format!("a wait of {} may be one or none", time(median)),
        )
    } else {
        let sentence = format!("a retry waits {}", time(median));
        Outcome::ok(Id::ImmediateRetries, sentence, evidence.clone())
    };
    let jitter = if median <= AT_ONCE_US {
        Outcome::not_applicable(Id::NoJitter, "retries do not wait")
    } else if spread >= JITTERED {
        let sentence = format!("waits spread from {} to {}", time(low), time(high));
        Outcome::ok(Id::NoJitter, sentence, evidence)
    } else if spread <= 0.11 || high - low <= 3_000 || is_a_floor(&waits, median) {
        let sentence = format!(
            "every wait is about {}: {} to {}",
            time(median),
            time(low),
            time(high)
        );
        Outcome::defect(Id::NoJitter, sentence, evidence)
    } else {
        Outcome::unknown(
            Id::NoJitter,
            format!(
                "waits from {} to {} may be jitter or a busy machine",
                time(low),
                time(high)
            ),
        )
    };
    vec![immediate, jitter]
}

/// Whether half of the waits lie just above the shortest: a busy machine lengthens some waits and shortens none, whereas those
/// that are drawn lie apart on both sides.
fn is_a_floor(waits: &[u64], median: u64) -> bool {
    const NEAR: f64 = 0.03;
    quantile(waits, 0.05).is_some_and(|low| (median - low) as f64 <= median as f64 * NEAR)
}

/// The waits before the first retry of one kind of failure. Where a budget has left few of single failures, those of
/// other experiments with one page at a time and the same failure count as well: they are drawn alike.
fn waits_after(case: &Case<'_>, trial: &Trial) -> Vec<u64> {
    let mut waits = first_waits(trial);
    if (1..WAITS_MIN).contains(&waits.len()) && trial.form == "a 503" {
        let others = [&case.battery.all_503, &case.battery.partial];
        let others = others.into_iter().filter_map(|it| usable(it.as_ref()).ok());
        waits.extend(others.flat_map(first_waits));
    }
    waits
}

/// The waits before the first retry. After a reset of a kept connection some libraries ask again at once by themselves: that
/// is no retry of the client's.
fn first_waits(trial: &Trial) -> Vec<u64> {
    let chains = trial.chains();
    let by_itself = |chain: &&Chain<'_>| {
        chain[0].status.is_none()
            && chain[0].conn_seq > 0
            && chain
                .get(1)
                .is_some_and(|it| it.t_head.saturating_sub(chain[0].ended()) <= AT_ONCE_US)
    };
    let own: Vec<Chain<'_>> = chains.iter().filter(|it| !by_itself(it)).cloned().collect();
    gaps(&own, 1)
}

/// The mean of waits, and its standard error as a share of it.
fn mean(waits: &[u64]) -> (u64, f64) {
    let count = waits.len().max(1) as f64;
    let mean = waits.iter().sum::<u64>() as f64 / count;
    let variance = waits.iter().map(|it| (*it as f64 - mean).powi(2));
    let error = (variance.sum::<f64>() / count / count).sqrt();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no mean of waits is negative or longer than the longest"
    )]
    let whole = mean as u64;
    (whole, error / mean.max(1.0))
}

/// Whether more waits may tell if they grow, after as many as usual.
pub(crate) fn growth_is_unclear(scale: &Scale, battery: &Battery) -> bool {
    growth(&Case { scale, battery }).is_unknown()
}

/// Later waits against the first.
fn growth(case: &Case<'_>) -> Outcome {
    let id = Id::NoBackoffGrowth;
    let trial = match usable(case.battery.all_503.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    if layers_of(case, trial).is_some() {
        return Outcome::not_applicable(id, "two layers retry: nested-retries tells it");
    }
    let chains = trial.chains();
    let (mut first, second) = (gaps(&chains, 1), gaps(&chains, 2));
    if second.is_empty() {
        let why = match first.is_empty() {
            true => "it does not retry a 503",
            false => "it retries once at most",
        };
        return Outcome::not_applicable(id, why);
    }
    let singly = case
        .battery
        .one_failure
        .iter()
        .filter(|it| it.form == "a 503");
    first.extend(singly.flat_map(|it| gaps(&it.chains(), 1)));
    let needed = 4;
    if second.len() < needed {
        return Outcome::unknown(
            id,
            format!("{} second waits are fewer than {needed}", second.len()),
        );
    }
    if quantile(&first, 0.5).unwrap_or(0) <= AT_ONCE_US {
        return Outcome::not_applicable(id, "retries do not wait");
    }
    let ((before, before_error), (after, after_error)) = (mean(&first), mean(&second));
    let factor = after as f64 / before.max(1) as f64;
    let error = factor * before_error.hypot(after_error);
    // Jittered waits vary so much that few of them tell nothing.
    let varies = middle_spread(&first).is_none_or(|it| it > JITTERED);
    let is_flat = match second.len() {
        _ if !varies => factor <= 1.2,
        0..WAITS_MIN => false,
        // Growth by half, or more, would have shown: with twice its standard error the factor stays below.
        WAITS_MIN..GROWTH_WAITS => factor + 2.0 * error < GROWS,
        _ => factor <= 1.15,
    };
    let evidence =
        json!({ "first_us": before, "second_us": after, "n": second.len(), "jittered": varies });
    if factor >= GROWS {
        Outcome::ok(
            id,
            format!("waits grow from {} to {}", time(before), time(after)),
            evidence,
        )
    } else if is_flat {
        Outcome::defect(
            id,
            format!(
                "the second wait, {}, is no longer than the first, {}",
                time(after),
                time(before)
            ),
            evidence,
        )
    } else {
        Outcome::unknown(
            id,
            format!(
                "{} after {} may be growth or chance",
                time(after),
                time(before)
            ),
        )
    }
}

/// Silences that double as long as the outage lasts.
fn uncapped(case: &Case<'_>) -> Outcome {
    let id = Id::UncappedBackoff;
    let trial = match usable(case.battery.outage_503.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let outage = trial.fault_end().saturating_sub(trial.armed);
    // Shorter ones are the pauses between pages.
    let least = case.scale.page_p95.max(outage / 50);
    let during = trial.armed..trial.fault_end();
    let lengths: Vec<u64> = silences(&trial.attempts, least)
        .iter()
        .filter(|it| during.contains(&it.from))
        .map(super::super::derive::Silence::length)
        .collect();
    let evidence = json!({ "silences_us": lengths, "outage_us": outage });
    if lengths.is_empty() {
        return Outcome::not_applicable(id, "calls never paused");
    }
    if pauses_double(&lengths) {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        return Outcome::defect(
            id,
            format!(
                "pauses double with every failure, up to {} in an outage of {}",
                time(longest),
                time(outage)
            ),
            evidence,
        );
    }
    Outcome::ok(
        id,
        format!(
            "no pause was longer than {}",
            time(lengths.iter().copied().max().unwrap_or(0))
        ),
        evidence,
    )
}

/// Whether pauses grow until the last one, at least three times in a row, and nearly double each time; jitter moves single
/// steps. Pauses that stay the same in the end have an upper bound.
pub(super) fn pauses_double(lengths: &[u64]) -> bool {
    let factor = |pair: &[u64]| pair[1] as f64 / pair[0].max(1) as f64;
    let growing = lengths.windows(2).rev().take_while(|it| factor(it) >= 1.2);
    let factors: Vec<f64> = growing.map(factor).collect();
    let whole: f64 = factors.iter().product();
    factors.len() >= 3 && whole.powf(1.0 / factors.len() as f64) >= 1.6
}

/// The most attempts of one page with one method, path and fingerprint; for trials of one page at a time.
fn most_attempts(trial: &Trial) -> usize {
    trial.chains().iter().map(Vec::len).max().unwrap_or(0)
}

/// How often a page asks for the same thing in calm: once, and twice where it hedges.
fn calm_calls(case: &Case<'_>) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small count"
    )]
    let calls = case.scale.calls_per_page.round() as usize;
    calls.max(1)
}

fn client_errors(case: &Case<'_>) -> Outcome {
    let id = Id::Retries4xx;
    let trials = match usable_of(&case.battery.client_errors) {
        Ok(trials) => trials,
        Err(why) => return Outcome::unknown(id, why),
    };
    let counted = trials.iter().map(|it| Ok((it.form.as_str(), repeats(it)?)));
    let counts: BTreeMap<&str, usize> = match counted.collect::<Result<_, String>>() {
        Ok(counts) => counts,
        Err(why) => return Outcome::unknown(id, why),
    };
    // Who gets a new token after a 401 may ask once more; and a hedge asks twice whatever the answer is.
    let calm = calm_calls(case);
    let allowed = |form: &str| if form == "401" { calm + 1 } else { calm };
    let repeated: Vec<&str> = counts
        .iter()
        .filter(|(form, count)| **count > allowed(form))
        .map(|(form, _)| *form)
        .collect();
    let evidence = json!({ "attempts": counts });
    if repeated.is_empty() {
        return Outcome::ok(id, "what is the caller's mistake is asked once", evidence);
    }
    let most = counts.values().copied().max().unwrap_or(0);
    Outcome::defect(
        id,
        format!(
            "an answer of {} is asked for {most} times",
            repeated.join(", ")
        ),
        evidence,
    )
}

/// How often one page asked for the same thing: answers below 500 end no chain, so this counts fingerprints.
fn repeats(trial: &Trial) -> Result<usize, String> {
    let count = |attempts: &[&AttemptRecord]| {
        let mut by_fp: BTreeMap<&str, usize> = BTreeMap::new();
        for attempt in attempts {
            *by_fp.entry(&attempt.fingerprint).or_default() += 1;
        }
        by_fp.values().copied().max().unwrap_or(0)
    };
    let pages = trial.by_page()?;
    Ok(pages
        .iter()
        .map(|(_, attempts)| count(attempts))
        .max()
        .unwrap_or(0))
}

/// How many retries there were, against what a usual budget allows: a fifth of the calls, and ten that were saved up.
///
/// Only calls that were made count, so a breaker that opens meanwhile changes nothing but their number.
fn budget(case: &Case<'_>) -> Outcome {
    const CALLS_MIN: usize = 40;
    let id = Id::NoRetryBudget;
    let trial = match usable(case.battery.partial.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let most = case.battery.all_503.as_ref().map_or(0, most_attempts);
    if case.battery.all_503.is_some() && most <= 1 {
        return Outcome::not_applicable(id, "it does not retry a 503");
    }
    if trial.by_page().is_err() {
        return Outcome::unknown(id, "pages overlapped, and no id joins attempts to them");
    }
    let chains = trial.chains();
    let calls = chains.len();
    let retries: usize = chains.iter().map(|it| it.len() - 1).sum();
    // Of the calls that failed late, what a client without a budget repeats is nearly all.
    let late = &chains[calls / 2..];
    let failed = late.iter().filter(|it| it[0].is_failed()).count();
    let repeated = late.iter().filter(|it| it.len() > 1).count();
    let share = repeated as f64 / f64::max(failed as f64, 1.0);
    // A budget may also grow with calls that its breaker keeps back.
    let (retried, allowed) = (
        retries as f64,
        10.0 + trial.pages.len().max(calls) as f64 * 0.2,
    );
    let evidence = json!({
        "calls": calls, "retries": retries, "a_usual_budget_allows": allowed, "late_failures": failed,
        "late_repeated": repeated, "attempts_for_each_call": amplification(&chains),
        "failing_percent": case.battery.partial_percent,
    });
    let counted = format!(
        "{retries} retries of {calls} calls, of which {} % fail",
        case.battery.partial_percent
    );
    if retried > allowed + 2.0 * allowed.sqrt() && share >= 0.85 {
        let sentence =
            format!("{counted}: every failure is repeated; a usual budget allows {allowed:.0}");
        Outcome::defect(id, sentence, evidence)
    } else if calls < CALLS_MIN {
        Outcome::unknown(id, format!("{calls} calls are fewer than {CALLS_MIN}"))
    } else if share <= 0.7 || retried <= allowed {
        Outcome::ok(id, counted, evidence)
    } else {
        Outcome::unknown(id, format!("{counted}: that may be a budget or none"))
    }
}

fn retry_after(case: &Case<'_>) -> Vec<Outcome> {
    let ids = [Id::IgnoresRetryAfter, Id::WaitsOutRetryAfter];
    let trials = match usable_of(&case.battery.retry_after) {
        Ok(trials) => trials,
        Err(why) => return ids.map(|id| Outcome::unknown(id, why.clone())).into(),
    };
    let mut ignored: Vec<&str> = Vec::new();
    let mut waited: Vec<&str> = Vec::new();
    let mut told = 0;
    for trial in &trials {
        let chains = trial.chains();
        // A date has whole seconds, and clocks are not quite alike.
        let slack = if trial.form.contains("date") {
            1_000_000
        } else {
            20_000
        };
        let (early, all) = early_returns(&chains, slack);
        told += all;
        // What a page asks for in calm as well is no return.
        let early = if most_attempts(trial) > calm_calls(case) {
            early
        } else {
            0
        };
        if early > 0 {
            ignored.push(&trial.form);
        }
        let waits = |page: &PageRecord| {
            let waiting = trial
                .attempts
                .iter()
                .filter_map(|it| it.retry_after_us)
                .max()
                .unwrap_or(u64::MAX);
            let took = page
                .duration()
                .unwrap_or(trial.until.saturating_sub(page.intended));
            took >= waiting && took > case.scale.page_limit()
        };
        if early == 0 && trial.pages.iter().any(waits) {
            waited.push(&trial.form);
        }
    }
    if told == 0 {
        return ids
            .map(|id| Outcome::unknown(id, "no answer told it to wait"))
            .into();
    }
    let evidence = json!({ "told_to_wait": told, "ignored": ignored, "waited_out": waited });
    let ignores = match ignored.is_empty() {
        true => Outcome::ok(
            Id::IgnoresRetryAfter,
            "nothing is asked again before Retry-After is over",
            evidence.clone(),
        ),
        false => Outcome::defect(
            Id::IgnoresRetryAfter,
            format!(
                "it asks again before Retry-After is over: {}",
                ignored.join(", ")
            ),
            evidence.clone(),
        ),
    };
    let waits = match waited.is_empty() {
        true => Outcome::ok(
            Id::WaitsOutRetryAfter,
            "no page waits for Retry-After past its budget",
            evidence,
        ),
        false => Outcome::defect(
            Id::WaitsOutRetryAfter,
            format!(
                "a page waits for Retry-After past its budget: {}",
                waited.join(", ")
            ),
            evidence,
        ),
    };
    vec![ignores, waits]
}
