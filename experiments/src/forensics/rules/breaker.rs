//! Does it stop calling what fails, and come back?

use serde_json::{Value, json};

use super::{Case, Trial, connections, time, timeouts, usable};
use crate::forensics::{
    derive::{Silence, silences},
    finding::{FindingId as Id, Outcome},
    record::{AttemptRecord, PageRecord},
};

pub(super) fn outcomes(case: &Case<'_>) -> Vec<Outcome> {
    let mut outcomes = effective(case);
    outcomes.push(on_4xx(case));
    outcomes.push(never_closes(case));
    outcomes.push(stampede(case));
    outcomes
}

/// Whether a breaker stopped calls late in an outage: fewer than a quarter of the usual, or most of them. None between, and
/// where they did not come back, as then something else has stopped them.
pub(super) fn stopped(case: &Case<'_>, trial: &Trial) -> Option<bool> {
    let usual = case.scale.calls_per_page;
    let late = trial.late_calls_per_page()?;
    let is_quiet = late <= usual * 0.25 || (late <= usual * 0.8 && silent_share(trial) >= 0.5);
    let was_watched = trial.until.saturating_sub(trial.fault_end()) >= WATCHED_US;
    if is_quiet && another_fails_first(trial) {
        Some(false)
    } else if is_quiet && was_watched && trial.comes_back().is_none() {
        None
    } else if is_quiet {
        Some(true)
    } else if late >= usual * 0.8 {
        Some(false)
    } else {
        None
    }
}

/// A breaker must see some failures. A call that needs another one's answer is not made from the first page on.
const STRUCK_MIN: usize = 3;

/// Whether calls are not made as a call at another path fails before them, for each page.
fn another_fails_first(trial: &Trial) -> bool {
    let (late, end) = (trial.late(), trial.fault_end());
    let others = trial.others.iter();
    let failed = others.filter(|it| it.is_failed() && (late..end).contains(&it.t_head));
    // A page that was under way when the fault came makes its call, and a client may make that again and again.
    let calling = match trial.by_page() {
        Ok(pages) => {
            let under = pages.iter().filter(|(page, attempts)| {
                (trial.armed..end).contains(&page.sent) && !attempts.is_empty()
            });
            under.count()
        }
        Err(_) => trial.starts(trial.armed, end),
    };
    calling < STRUCK_MIN && failed.count() as f64 >= trial.pages_in(late, end).len() as f64 * 0.9
}

/// So long after a fault a return would have been seen.
const WATCHED_US: u64 = 2_000_000;

/// The part of the fault's time in which no call began for much longer than pages are apart.
fn silent_share(trial: &Trial) -> f64 {
    let (from, to) = (trial.armed, trial.fault_end());
    let pages = trial.pages_in(from, to).len().max(1) as u64;
    let least = ((to - from) / pages * 5).max(250_000);
    let silent = silences(&trial.attempts, least).into_iter();
    let inside = silent.map(|it| it.to.min(to).saturating_sub(it.from.max(from)));
    inside.sum::<u64>() as f64 / (to - from).max(1) as f64
}

/// Why calls of pages cannot be compared with calm.
fn pages_seldom_call(case: &Case<'_>) -> Option<&'static str> {
    if case.scale.background {
        Some("calls do not come of pages")
    } else if !case.scale.each_page_calls() {
        Some("most pages make no call")
    } else {
        None
    }
}

/// `no-effective-breaker` and `breaker-ignores-5xx`: 503s and resets are two kinds.
fn effective(case: &Case<'_>) -> Vec<Outcome> {
    let ids = [Id::NoEffectiveBreaker, Id::BreakerIgnores5xx];
    if let Some(why) = pages_seldom_call(case) {
        return ids.map(|id| Outcome::not_applicable(id, why)).into();
    }
    if connections::used_up_by_answers(case).is_some() {
        let why = "no call comes back after error answers: pool-leak tells it";
        return ids.map(|id| Outcome::not_applicable(id, why)).into();
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
    if never_closes(case).is_defect() {
        let why = "calls stop, and do not come back: breaker-never-closes tells it";
        return ids.map(|id| Outcome::not_applicable(id, why)).into();
    }
    let (on_errors, on_resets) = (stopped(case, errors), stopped(case, resets));
    let none = match (on_errors, on_resets) {
        (Some(false), Some(false))
            if does_no_harm(case, errors) && pages_are_served(case, resets) =>
        {
            where_calls_hang(case, evidence.clone())
        }
        // Failures that come at once make no single call late: that is this machine.
        (Some(false), Some(false))
            if calls_once(case, errors)
                && served_share(case, errors) >= 0.7
                && served_share(case, resets) >= 0.7 =>
        {
            Outcome::unknown(
                Id::NoEffectiveBreaker,
                "pages make one call, and some were late, as on a busy machine",
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
            "calls went on at a part of their rate, or did not come back",
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
        (Some(false), None) if resets.comes_back().is_none() => Outcome::not_applicable(
            Id::BreakerIgnores5xx,
            "calls do not come back after resets: pool-leak tells it",
        ),
        (None, _) | (_, None) => Outcome::unknown(
            Id::BreakerIgnores5xx,
            "calls went on at a part of their rate",
        ),
    };
    vec![none, ignores]
}

/// Of a service without a breaker whose pages survive 503s and resets: what calls that hang do to them.
///
/// Why a single page is late then is told by a time-out's id: with a shorter one no breaker would be needed.
fn where_calls_hang(case: &Case<'_>, mut evidence: Value) -> Outcome {
    let id = Id::NoEffectiveBreaker;
    if let Some(root) = timeouts::root(case) {
        let why = format!(
            "pages whose call hangs are late: {} tells it",
            root.as_str()
        );
        return Outcome::not_applicable(id, why);
    }
    let trial = match usable(case.battery.hang_under_load.as_ref()) {
        Ok(trial) => trial,
        Err(why) => {
            let why = format!(
                "pages are answered in time while calls fail at once; of calls that hang under load, {why}"
            );
            return Outcome::unknown(id, why);
        }
    };
    let (late, pages) = late_pages(case, trial);
    evidence["late_in_hangs"] = json!(trial.late_calls_per_page());
    evidence["pages_late_in_hangs"] = json!(late);
    evidence["pages_in_hangs"] = json!(pages);
    if pages == 0 {
        return Outcome::unknown(id, "no page came late in the time when calls hung");
    }
    if late * 20 <= pages {
        return Outcome::ok(
            id,
            "it has no breaker in effect and needs none: one call a page, and every page is answered in time, also while \
             calls hang",
            evidence,
        );
    }
    if connections::lacks_bulkhead(case) {
        let why = "pages wait for places while calls hang: no-bulkhead tells it";
        return Outcome::not_applicable(id, why);
    }
    if late * 2 > pages && stopped(case, trial) == Some(false) {
        let limit = time(case.scale.budget);
        return Outcome::defect(
            id,
            format!(
                "no breaker is in effect: while calls hang they go on at full rate, and {late} of {pages} pages take longer than {limit}"
            ),
            evidence,
        );
    }
    Outcome::unknown(
        id,
        format!(
            "while calls hang, {late} of {pages} pages are late under load, and one alone is in time: pages may wait for \
             places"
        ),
    )
}

/// The pages of the last third of a fault's time that were late, and all of them.
fn late_pages(case: &Case<'_>, trial: &Trial) -> (usize, usize) {
    let limit = case.scale.page_limit();
    let pages = trial.pages_in(trial.late(), trial.fault_end());
    let is_late = |it: &&&PageRecord| match it.duration() {
        Some(took) => took > limit,
        // One that was cut off before it was late tells nothing.
        None => it.left.unwrap_or(trial.until).saturating_sub(it.intended) > limit,
    };
    (pages.iter().filter(is_late).count(), pages.len())
}

/// By design is no defect: one call a page, no retries, and every page answered inside its budget: a breaker would change
/// nothing.
///
/// Some libraries ask again by themselves after a reset (java.net.http, aiohttp): calls are counted under 503s alone.
pub(super) fn does_no_harm(case: &Case<'_>, trial: &Trial) -> bool {
    calls_once(case, trial) && pages_are_served(case, trial)
}

/// Whether pages called late in the outage no more than they do in calm.
fn calls_once(case: &Case<'_>, trial: &Trial) -> bool {
    let late = trial.late_calls_per_page().unwrap_or(f64::INFINITY);
    late <= case.scale.calls_per_page * 1.1
}

/// Whether pages were answered in time while the fault was there.
fn pages_are_served(case: &Case<'_>, trial: &Trial) -> bool {
    // A busy machine makes a page late now and then.
    served_share(case, trial) >= 0.95
}

/// The share of pages that were answered in time while the fault was there; 0 without any.
fn served_share(case: &Case<'_>, trial: &Trial) -> f64 {
    let during = trial.pages_in(trial.armed, trial.fault_end());
    let harmless = during.iter().filter(|it| {
        it.status.is_some()
            && it
                .duration()
                .is_some_and(|took| took <= case.scale.page_limit())
    });
    harmless.count() as f64 / during.len().max(1) as f64
}

fn on_4xx(case: &Case<'_>) -> Outcome {
    /// The part of the time without a call from which on calls have stopped.
    const SILENT_SHARE: f64 = 0.3;
    let id = Id::BreakerOpensOn4xx;
    if let Some(why) = pages_seldom_call(case) {
        return Outcome::not_applicable(id, why);
    }
    let trial = match usable(case.battery.storm_404.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let late = trial.late_calls_per_page();
    let struck = trial.starts(trial.armed, trial.fault_end());
    let evidence =
        json!({ "calls_per_page": case.scale.calls_per_page, "late": late, "calls": struck });
    if struck < STRUCK_MIN {
        return Outcome::unknown(
            id,
            "hardly a call was made, as another one failed before it",
        );
    }
    // What stops for good after failures of every kind is no breaker: places of a pool, for one.
    let outages = [&case.battery.outage_503, &case.battery.outage_reset];
    let comes_back = (outages.into_iter().flatten()).all(|it| it.comes_back().is_some());
    if connections::used_up_by_answers(case).is_some() {
        return Outcome::not_applicable(
            id,
            "no call comes back after error answers: pool-leak tells it",
        );
    }
    match stopped(case, trial) {
        Some(true)
            if trial
                .waits_without_call(case.scale, case.hang(), trial.late(), trial.fault_end())
                .is_some() =>
        {
            Outcome::unknown(
                id,
                "pages wait without a call, as for a place in a pool: no breaker does that",
            )
        }
        Some(true) if trial.comes_back().is_none() && !comes_back => {
            Outcome::unknown(id, "calls do not come back, after other failures either")
        }
        Some(true) => Outcome::defect(id, "calls stop when the answers are 404", evidence),
        // It may let calls through again when the time is over.
        Some(false) if silent_share(trial) >= SILENT_SHARE => Outcome::defect(
            id,
            "calls stop for a while when the answers are 404",
            evidence,
        ),
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
    if connections::used_up_by_answers(case).is_some() {
        return Outcome::not_applicable(id, "pool-leak tells it");
    }
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
    let calls_after = |it: &Trial| it.removed.map(|removed| it.starts(removed, it.until));
    let pages_after = |it: &Trial| {
        it.removed
            .map(|removed| it.pages_in(removed, it.until).len())
    };
    let evidence = json!({
        "back_after_503s_us": after_errors, "back_after_resets_us": after_resets, "watched_us": first.min(second),
        "pages_after_503s": pages_after(errors), "calls_after_503s": calls_after(errors),
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

/// Whether calls went on through both outages.
fn never_stopped(case: &Case<'_>) -> bool {
    let outages = [&case.battery.outage_503, &case.battery.outage_reset];
    outages
        .map(|it| usable(it.as_ref()).ok().and_then(|it| stopped(case, it)))
        .iter()
        .all(|it| *it == Some(false))
}

/// Whether a silence ended with the first good answer to a call of another path that began in it: where paths share a breaker,
/// that was its probe, and closed it for all.
fn is_released(trial: &Trial, silence: &Silence) -> bool {
    /// From one call of a page to the next, beside the time that the calls between them take.
    const SLACK_US: u64 = 100_000;
    let from = trial.armed.max(silence.from);
    let good = trial
        .others
        .iter()
        .filter(|it| it.t_head >= from && it.status.is_some() && !it.is_failed())
        .map(AttemptRecord::ended);
    let slow = trial.slow.unwrap_or(0);
    // The client may go on before the end of its probe is recorded.
    let near = silence.to.saturating_sub(slow * 2 + SLACK_US)..=silence.to + slow / 4;
    good.min().is_some_and(|it| near.contains(&it))
}

fn stampede(case: &Case<'_>) -> Outcome {
    /// What begins within this time of the first is a burst, if the answer takes no shorter.
    const WINDOW_US: u64 = 150_000;
    let id = Id::HalfOpenStampede;
    let trial = match usable(case.battery.half_open.as_ref()) {
        Ok(trial) => trial,
        Err(_) if never_stopped(case) => {
            return Outcome::not_applicable(
                id,
                "calls never paused: there is no breaker in effect",
            );
        }
        Err(_) if connections::used_up_by_answers(case).is_some() => {
            return Outcome::not_applicable(id, "calls do not come back: pool-leak tells it");
        }
        Err(_) if never_closes(case).is_defect() => {
            return Outcome::not_applicable(
                id,
                "calls do not come back: breaker-never-closes tells it",
            );
        }
        Err(why) => return Outcome::unknown(id, why),
    };
    let least = (case.scale.page_p95 * 2).max(400_000);
    let window = trial
        .slow
        .map_or(WINDOW_US, |slow| WINDOW_US.min(slow * 9 / 10));
    let ended = silences(&trial.attempts, least).into_iter();
    let ended: Vec<_> = ended.filter(|it| it.to >= trial.armed).collect();
    if ended.is_empty() {
        return Outcome::not_applicable(id, "calls never paused: there is no breaker in effect");
    }
    // Where every page calls, none waits for a probe. Processes that each have a breaker make a probe each.
    let bursts = ended
        .iter()
        .filter(|it| !is_released(trial, it))
        .map(|it| (it.to, it.to + window))
        .map(|(from, to)| (trial.starts(from, to), trial.pages_in(from, to).len()));
    let Some((burst, pages)) = bursts.max() else {
        return Outcome::ok(
            id,
            "calls of another path had tried whether the dependency is back",
            json!({}),
        );
    };
    let evidence = json!({ "starts_after_a_silence": burst, "pages_in_that_time": pages });
    match burst {
        0..=2 => Outcome::ok(
            id,
            match burst {
                1 => "1 call tries whether the dependency is back".to_owned(),
                some => format!("{some} calls try whether the dependency is back"),
            },
            evidence,
        ),
        4.. if burst * 5 >= pages * 3 => Outcome::defect(
            id,
            format!("{burst} calls at once try whether the dependency is back, of {pages} pages"),
            evidence,
        ),
        _ => Outcome::unknown(
            id,
            format!(
                "{burst} calls at once, of {pages} pages, may be a hedge, or processes that each have a breaker"
            ),
        ),
    }
}
