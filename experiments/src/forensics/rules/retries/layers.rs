//! Two layers that both retry.

use serde_json::json;

use super::{AT_ONCE_US, Case, Id, JITTERED, Outcome, Trial, most_attempts, usable};
use crate::forensics::derive::{Chain, all_gaps, gaps, middle_spread, quantile};

/// A product of two small numbers, with two populations of waits.
pub(super) fn nested(case: &Case<'_>) -> Outcome {
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
            match attempts {
                1 => "a page that meets 503s makes 1 attempt".to_owned(),
                more => format!("a page that meets 503s makes {more} attempts"),
            },
            evidence,
        );
    }
    if splits(attempts).is_empty() {
        return Outcome::ok(
            id,
            format!("{attempts} attempts are of one layer"),
            evidence,
        );
    }
    match layers_of(case, trial) {
        Some((outer, inner)) => Outcome::defect(
            id,
            format!("{attempts} attempts for one page: {outer} times {inner}, in two layers"),
            json!({ "attempts": attempts, "outer": outer, "inner": inner, "waits_us": all_gaps(&trial.chains()) }),
        ),
        None if grows(trial) => Outcome::ok(
            id,
            format!("{attempts} attempts are of one layer: their waits do not start anew"),
            evidence,
        ),
        None => Outcome::unknown(
            id,
            format!("{attempts} attempts may be of two layers or of one: their waits do not tell"),
        ),
    }
}

/// The ways to make a number of two layers: outer and inner attempts.
fn splits(attempts: usize) -> Vec<(usize, usize)> {
    let inner = (2..attempts).filter(|inner| attempts.is_multiple_of(*inner));
    inner.map(|inner| (attempts / inner, inner)).collect()
}

/// The two layers that a page of 503s tells of, or one whose calls hang: there the same waits come, without those of chance
/// where a layer does not wait.
pub(super) fn layers_of(case: &Case<'_>, trial: &Trial) -> Option<(usize, usize)> {
    let hang = case.battery.hang.first();
    layers(trial).or_else(|| hang.and_then(layers_of_one))
}

/// The two layers whose waits start anew after each `inner` attempts: outer and inner.
fn layers(trial: &Trial) -> Option<(usize, usize)> {
    /// Fewer chains have medians by chance.
    const CHAINS_MIN: usize = 3;
    let attempts = most_attempts(trial);
    let mut chains = trial.chains();
    chains.retain(|it| it.len() == attempts);
    if chains.len() < CHAINS_MIN {
        return None;
    }
    let (waits, each) = (waits_by_place(trial), waits_of_each(&chains));
    let mut splits = splits(attempts).into_iter();
    splits.find(|(outer, inner)| {
        let is_shaped = is_layered(&waits, *inner) && is_no_chance(&each, &waits, *inner);
        is_shaped || (*outer > 2 && restarts_each_time(&each, *inner))
    })
}

/// Whether the wait behind each group is longer than the first one of the next group, in so many chains that it is no chance.
///
/// The waits of one layer may fall once, where what is left of a page's time cuts the last one short; so a single place tells
/// nothing.
fn restarts_each_time(each: &[Vec<u64>], inner: usize) -> bool {
    const CHANCE_MAX: f64 = 0.01;
    let falls_at = |place: usize| {
        let falls = each.iter().filter(|it| it[place + 1] < it[place]);
        at_least(falls.count(), each.len(), 0.5) <= CHANCE_MAX
    };
    let places = each[0].len() - 1;
    (inner - 1..places).step_by(inner).all(falls_at)
}

/// The waits of each chain, in order.
fn waits_of_each(chains: &[Chain<'_>]) -> Vec<Vec<u64>> {
    let of = |chain: &Chain<'_>| all_gaps(std::slice::from_ref(chain));
    chains.iter().map(of).collect()
}

/// Whether waits that vary by chance would hardly look like two layers if they were of one. Waits that do not vary tell at once.
///
/// If all waits of a chain are drawn alike, those between groups are the longest of all, or the shortest, in one chain of so many as
/// there are ways to choose them: how many chains are like that follows the binomial distribution.
fn is_no_chance(each: &[Vec<u64>], waits: &[u64], inner: usize) -> bool {
    const CHANCE_MAX: f64 = 0.002;
    // Those at one place within their group are alike, or drawn alike. Between groups they may grow.
    let at = |place: usize| {
        let own = each
            .iter()
            .flat_map(|it| it.iter().skip(place).step_by(inner));
        own.copied().collect::<Vec<u64>>()
    };
    let mut spreads = (0..inner - 1).filter_map(|place| middle_spread(&at(place)));
    let is_drawn = spreads.any(|it| it > JITTERED);
    if !is_drawn {
        return true;
    }
    // Of two waits that are drawn alike the second is the shorter one half of the times.
    let restarts = each
        .iter()
        .flat_map(|it| it[inner - 1..].windows(2).step_by(inner));
    let falls: Vec<bool> = restarts.map(|pair| pair[1] < pair[0]).collect();
    let fallen = falls.iter().filter(|it| **it).count();
    if starts_anew(waits, inner) && at_least(fallen, falls.len(), 0.5) <= CHANCE_MAX {
        return true;
    }
    let part = |chain: &[u64]| {
        let numbered = chain.iter().enumerate();
        let (between, within): (Vec<_>, Vec<_>) =
            numbered.partition(|(index, _)| (index + 1) % inner == 0);
        let values = |of: Vec<(usize, &u64)>| of.into_iter().map(|(_, it)| *it).collect();
        (values(between), values(within))
    };
    let parts: Vec<(Vec<u64>, Vec<u64>)> = each.iter().map(|it| part(it)).collect();
    let longest = parts
        .iter()
        .filter(|(between, within)| between.iter().min() > within.iter().max());
    let shortest = parts
        .iter()
        .filter(|(between, within)| between.iter().max() < within.iter().min());
    let alike = longest.count().max(shortest.count());
    let ways = ways_to_choose(waits.len() / inner, waits.len());
    at_least(alike, each.len(), 1.0 / ways) <= CHANCE_MAX
}

/// In how many ways so many can be chosen of all: the binomial coefficient.
fn ways_to_choose(some: usize, all: usize) -> f64 {
    let factors = (0..some).map(|it| (all - it) as f64 / (it + 1) as f64);
    factors.product()
}

/// The chance that of `all` at least `some` come out so, each with the chance `one`.
fn at_least(some: usize, all: usize, one: f64) -> f64 {
    let exactly = |count: usize| {
        let others = all - count;
        let power = |base: f64, times: usize| -> f64 { std::iter::repeat_n(base, times).product() };
        ways_to_choose(count, all) * power(one, count) * power(1.0 - one, others)
    };
    (some..=all).map(exactly).sum()
}

/// As [`layers`], of a single page: one layer must not wait at all, and the other for much longer.
fn layers_of_one(trial: &Trial) -> Option<(usize, usize)> {
    let attempts = most_attempts(trial);
    let waits = waits_by_place(trial);
    let is_plain = |inner: usize| {
        let place = |(index, wait): (usize, &u64)| ((index + 1) % inner == 0, *wait);
        let (between, within): (Vec<_>, Vec<_>) =
            waits.iter().enumerate().map(place).partition(|it| it.0);
        !within.is_empty()
            && within.iter().all(|it| it.1 <= AT_ONCE_US)
            && between.iter().all(|it| it.1 >= AT_ONCE_US * 3)
    };
    splits(attempts)
        .into_iter()
        .find(|(_, inner)| is_plain(*inner))
}

/// The median wait at each place of the longest chains.
fn waits_by_place(trial: &Trial) -> Vec<u64> {
    let attempts = most_attempts(trial);
    let mut chains = trial.chains();
    chains.retain(|it| it.len() == attempts);
    let places = (1..attempts).map(|place| quantile(&gaps(&chains, place), 0.5).unwrap_or(0));
    places.collect()
}

/// Whether waits become longer from place to place, up to a cap, as those of one layer do.
fn grows(trial: &Trial) -> bool {
    let waits = waits_by_place(trial);
    let (Some(first), Some(second)) = (waits.first(), waits.get(1)) else {
        return false;
    };
    *first > AT_ONCE_US
        && *second as f64 >= *first as f64 * 1.3
        && waits
            .windows(2)
            .all(|pair| pair[1] as f64 >= pair[0] as f64 * 0.7)
}

/// Whether each group of waits has the course of the first one, and the waits fall on the way, as those of one layer do not.
fn starts_anew(waits: &[u64], inner: usize) -> bool {
    let like = |one: u64, other: u64| one.abs_diff(other) <= (one.max(other) * 2 / 5).max(6_000);
    let groups: Vec<&[u64]> = waits
        .chunks(inner)
        .map(|it| &it[..it.len().min(inner - 1)])
        .collect();
    let alike = groups.iter().all(|group| {
        group
            .iter()
            .zip(groups[0])
            .all(|(one, other)| like(*one, *other))
    });
    let falls = waits.windows(2).any(|pair| pair[1] + 4_000 < pair[0] / 2);
    groups.len() > 1 && alike && falls
}

/// Whether waits start anew after each `inner` attempts: within a group they follow one course, and between groups
/// stands another one.
fn is_layered(waits: &[u64], inner: usize) -> bool {
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
    if starts_anew(waits, inner) {
        return true;
    }
    let apart = *shortest as f64 >= *longest_within as f64 * 1.5 + 2_000.0;
    let reverse = *shortest_within as f64 >= *longest as f64 * 1.5 + 2_000.0;
    let restarts = waits.last().is_some_and(|last| last < shortest);
    (apart && restarts) || (reverse && within.len() > 1)
}
