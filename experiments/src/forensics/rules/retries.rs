//! Are calls repeated when, as often and after as long as is good for both sides?

use std::collections::BTreeMap;

use serde_json::json;

use super::{Case, Trial, time, usable, usable_of};
use crate::forensics::{
    derive::{
        Chain, all_gaps, amplification, early_returns, gaps, middle_spread, quantile, silences,
    },
    finding::{FindingId as Id, Outcome},
    record::{AttemptRecord, PageRecord},
};

/// What clients need to send again at once: measured as 0 to 11 ms in four languages.
const AT_ONCE_US: u64 = 12_000;
/// From here on a wait is one.
const WAIT_US: u64 = 20_000;
/// Fewer waits tell nothing of their spread.
const WAITS_MIN: usize = 12;

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

/// Waits before the first retry: `immediate-retries` and `no-jitter`.
fn single_failures(case: &Case<'_>) -> Vec<Outcome> {
    let ids = [Id::ImmediateRetries, Id::NoJitter];
    let trial = match usable(case.battery.one_503.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return ids.map(|id| Outcome::unknown(id, why.clone())).into(),
    };
    let waits = gaps(&trial.chains(), 1);
    if waits.is_empty() {
        return ids
            .map(|id| Outcome::not_applicable(id, "it does not retry a 503"))
            .into();
    }
    if waits.len() < WAITS_MIN {
        let why = format!("{} waits are fewer than {WAITS_MIN}", waits.len());
        return ids.map(|id| Outcome::unknown(id, why.clone())).into();
    }
    let median = quantile(&waits, 0.5).unwrap_or(0);
    let (low, high) = (
        quantile(&waits, 0.10).unwrap_or(0),
        quantile(&waits, 0.85).unwrap_or(0),
    );
    let spread = middle_spread(&waits).unwrap_or(0.0);
    let evidence = json!({ "waits": waits.len(), "median_us": median, "p10_us": low, "p85_us": high, "spread": spread });
    let immediate = if median <= AT_ONCE_US {
        let sentence = format!("a retry follows a 503 after {}", time(median));
        Outcome::defect(Id::ImmediateRetries, sentence, evidence.clone())
    } else if median < WAIT_US {
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
    } else if spread >= 0.25 {
        let sentence = format!("waits spread from {} to {}", time(low), time(high));
        Outcome::ok(Id::NoJitter, sentence, evidence)
    } else if spread <= 0.11 {
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

/// Later waits against the first.
fn growth(case: &Case<'_>) -> Outcome {
    let id = Id::NoBackoffGrowth;
    let trial = match usable(case.battery.all_503.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let chains = trial.chains();
    let (first, second) = (gaps(&chains, 1), gaps(&chains, 2));
    if second.is_empty() {
        return Outcome::not_applicable(id, "it retries once at most");
    }
    let needed = 4;
    if second.len() < needed {
        return Outcome::unknown(
            id,
            format!("{} second waits are fewer than {needed}", second.len()),
        );
    }
    let (before, after) = (
        quantile(&first, 0.5).unwrap_or(0),
        quantile(&second, 0.5).unwrap_or(0),
    );
    if before <= AT_ONCE_US {
        return Outcome::not_applicable(id, "retries do not wait");
    }
    let factor = after as f64 / before as f64;
    let evidence = json!({ "first_us": before, "second_us": after, "n": second.len() });
    if factor >= 1.4 {
        Outcome::ok(
            id,
            format!("waits grow from {} to {}", time(before), time(after)),
            evidence,
        )
    } else if factor <= 1.2 {
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
    let lengths: Vec<u64> = silences(&trial.attempts, least)
        .iter()
        .filter(|it| it.from >= trial.armed)
        .map(super::super::derive::Silence::length)
        .collect();
    let doubling = lengths
        .windows(2)
        .map(|pair| pair[1] as f64 / pair[0].max(1) as f64);
    let in_a_row = doubling.fold((0, 0), |(best, now), factor| {
        let now = if factor >= 1.6 { now + 1 } else { 0 };
        (best.max(now), now)
    });
    let evidence = json!({ "silences_us": lengths, "outage_us": outage });
    if lengths.is_empty() {
        return Outcome::not_applicable(id, "calls never paused");
    }
    if in_a_row.0 >= 3 {
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

/// The most attempts of one page with one method, path and fingerprint; for trials of one page at a time.
fn most_attempts(trial: &Trial) -> usize {
    trial.chains().iter().map(Vec::len).max().unwrap_or(0)
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
    let repeated: Vec<&str> = counts
        .iter()
        .filter(|(_, count)| **count > 1)
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
        let mut by_fp: BTreeMap<u64, usize> = BTreeMap::new();
        for attempt in attempts {
            *by_fp.entry(attempt.fp).or_default() += 1;
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

fn orders(case: &Case<'_>) -> Outcome {
    let id = Id::RetriesPost;
    let trials = match usable_of(&case.battery.orders) {
        Ok(trials) => trials,
        Err(why) => return Outcome::unknown(id, why),
    };
    let mut twice: Vec<(&str, usize)> = Vec::new();
    let mut keyed = 0;
    for trial in &trials {
        let posts = trial.attempts.iter().filter(|it| it.method == "POST");
        let mut by_fp: BTreeMap<u64, Vec<&AttemptRecord>> = BTreeMap::new();
        for post in posts {
            by_fp.entry(post.fp).or_default().push(post);
        }
        for same in by_fp.values().filter(|it| it.len() > 1) {
            let key = &same[0].idempotency_key;
            if key.is_some() && same.iter().all(|it| it.idempotency_key == *key) {
                keyed += 1;
            } else {
                twice.push((trial.form.as_str(), same.len()));
            }
        }
    }
    let forms: Vec<&str> = trials.iter().map(|it| it.form.as_str()).collect();
    let evidence = json!({ "tried": forms, "repeated": twice, "repeated_with_a_key": keyed });
    match twice.first() {
        Some((form, count)) => Outcome::defect(
            id,
            format!("an order that met {form} is sent {count} times without an idempotency key"),
            evidence,
        ),
        None if keyed > 0 => Outcome::ok(
            id,
            "an order is repeated under one idempotency key",
            evidence,
        ),
        None => Outcome::ok(id, "an order is sent once", evidence),
    }
}

/// A product of two small numbers, with two populations of waits.
fn nested(case: &Case<'_>) -> Outcome {
    let id = Id::NestedRetries;
    let trial = match usable(case.battery.all_503.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let attempts = most_attempts(trial);
    let evidence = json!({ "attempts": attempts });
    if attempts <= 3 {
        return Outcome::ok(
            id,
            format!("a page that meets 503s makes {attempts} attempts"),
            evidence,
        );
    }
    let splits: Vec<(usize, usize)> = (2..attempts)
        .filter(|inner| attempts.is_multiple_of(*inner))
        .map(|inner| (attempts / inner, inner))
        .collect();
    if splits.is_empty() {
        return Outcome::ok(
            id,
            format!("{attempts} attempts are of one layer"),
            evidence,
        );
    }
    let chains = trial.chains();
    let longest: Vec<&Chain<'_>> = chains.iter().filter(|it| it.len() == attempts).collect();
    let layered = splits
        .iter()
        .find(|(_, inner)| longest.iter().all(|chain| is_layered(chain, *inner)));
    match layered {
        Some((outer, inner)) => Outcome::defect(
            id,
            format!("{attempts} attempts for one page: {outer} times {inner}, in two layers"),
            json!({ "attempts": attempts, "outer": outer, "inner": inner, "waits_us": all_gaps(&chains) }),
        ),
        None => Outcome::unknown(
            id,
            format!("{attempts} attempts may be of two layers or of one: their waits do not tell"),
        ),
    }
}

/// Whether waits start anew after each `inner` attempts: within a group they follow one course, and between groups
/// stands another one.
fn is_layered(chain: &Chain<'_>, inner: usize) -> bool {
    let waits: Vec<u64> = chain
        .windows(2)
        .map(|pair| pair[1].t_head.saturating_sub(pair[0].t_end))
        .collect();
    let (mut within, mut between) = (Vec::new(), Vec::new());
    for (index, wait) in waits.iter().enumerate() {
        if (index + 1) % inner == 0 {
            between.push(*wait);
        } else {
            within.push(*wait);
        }
    }
    let (Some(longest_within), Some(shortest_within)) = (within.iter().max(), within.iter().min())
    else {
        return false;
    };
    let (Some(shortest), Some(longest)) = (between.iter().min(), between.iter().max()) else {
        return false;
    };
    // One course that grows has its longest waits at the end, not between groups.
    let apart = *shortest as f64 >= *longest_within as f64 * 1.5 + 2_000.0;
    let reverse = *shortest_within as f64 >= *longest as f64 * 1.5 + 2_000.0;
    let restarts = waits.last().is_some_and(|last| last < shortest);
    (apart && restarts) || (reverse && within.len() > 1)
}

fn budget(case: &Case<'_>) -> Outcome {
    let id = Id::NoRetryBudget;
    let trial = match usable(case.battery.partial.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let retries = case.battery.all_503.as_ref().map_or(0, most_attempts);
    if case.battery.all_503.is_some() && retries <= 1 {
        return Outcome::not_applicable(id, "it does not retry");
    }
    let Some(calls) = trial.calls_per_page(trial.armed, trial.fault_end()) else {
        return Outcome::unknown(id, "there was no page");
    };
    let usual = case.scale.calls_per_page.max(0.01);
    if calls < usual * 0.8 {
        return Outcome::unknown(id, format!("its breaker opened: {calls:.2} calls a page"));
    }
    // Pages that overlap and ask for the same are compared by their totals alone.
    let exact = trial
        .by_page()
        .ok()
        .and_then(|_| amplification(&trial.chains()));
    let measured = exact.unwrap_or(calls / usual);
    let share = f64::from(case.battery.partial_percent) / 100.0;
    let attempts = if retries == 0 { 3 } else { retries };
    let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
    // What a client sends that repeats every failure, up to its number of attempts.
    let without = (1.0 - share.powi(attempts)) / (1.0 - share).max(0.01);
    let evidence =
        json!({ "amplification": measured, "without_a_budget": without, "failing": share });
    // Half of what retries without a budget add.
    let middle = 1.0 + (without - 1.0) * 0.5;
    if measured >= 1.0 + (without - 1.0) * 0.85 {
        let sentence = format!(
            "{measured:.2} attempts for each call where {:.0} % fail: every failure is repeated",
            share * 100.0
        );
        Outcome::defect(id, sentence, evidence)
    } else if measured <= middle.max(1.3_f64.min(without * 0.9)) {
        Outcome::ok(
            id,
            format!("{measured:.2} attempts for each call, of {without:.2} without a budget"),
            evidence,
        )
    } else {
        Outcome::unknown(
            id,
            format!("{measured:.2} attempts for each call lie between with and without a budget"),
        )
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
        let (early, all) = early_returns(&chains);
        told += all;
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
