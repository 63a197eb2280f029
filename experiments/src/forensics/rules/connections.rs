//! Connections and pools.

use serde_json::json;

use super::{Case, Trial, time, usable, usable_of};
use crate::forensics::{
    derive::quantile,
    finding::{FindingId as Id, Outcome},
    record::AttemptRecord,
    scale::Scale,
};

pub(super) fn outcomes(case: &Case<'_>) -> Vec<Outcome> {
    let mut outcomes = vec![reset(case), pinned(case), leak(case)];
    outcomes.extend(shared(case));
    outcomes
}

fn reset(case: &Case<'_>) -> Outcome {
    let id = Id::ResetSurfaced;
    let trial = match usable(case.battery.reset_warm.as_ref()) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    let by_page = match trial.by_page() {
        Ok(by_page) => by_page,
        Err(why) => return Outcome::unknown(id, why),
    };
    let on_a_kept_one = by_page.iter().filter(|(_, attempts)| {
        attempts
            .first()
            .is_some_and(|it| it.conn_seq > 0 && it.status.is_none() && it.is_failed())
    });
    let hit: Vec<_> = on_a_kept_one.collect();
    if hit.is_empty() {
        return match trial.attempts.iter().any(|it| it.conn_seq > 0) {
            true => Outcome::unknown(id, "no reset met a kept connection"),
            false => Outcome::not_applicable(id, "it keeps no connections"),
        };
    }
    let failed = hit.iter().filter(|(page, attempts)| {
        // An honest 503 says that it is for a moment.
        !page.is_good() && page.status != Some(503) && attempts.len() == 1
    });
    let failed = failed.count();
    let refused = hit
        .iter()
        .filter(|(page, _)| page.status == Some(503))
        .count();
    let evidence = json!({
        "resets_of_kept_connections": hit.len(), "failed_pages": failed, "answered_with_503": refused,
    });
    match failed {
        0 if refused == hit.len() => Outcome::ok(
            id,
            "a page whose kept connection is reset says 503",
            evidence,
        ),
        0 if refused > 0 => Outcome::ok(
            id,
            format!(
                "a page survives the reset of a kept connection, or says 503: {refused} of {}",
                hit.len()
            ),
            evidence,
        ),
        0 => Outcome::ok(
            id,
            "a page survives the reset of a kept connection",
            evidence,
        ),
        failed => Outcome::defect(
            id,
            format!(
                "{failed} of {} resets of a kept connection became failed pages",
                hit.len()
            ),
            evidence,
        ),
    }
}

/// Whether calls come back in a trial: yes after so long, no, or not to be told.
fn returns(trial: Option<&Trial>) -> Result<Option<u64>, String> {
    let trial = usable(trial)?;
    if trial.removed.is_none() {
        return Err("the fault was not removed".to_owned());
    }
    Ok(trial.comes_back())
}

/// Pages that are degraded and took as long as an attempt may, long after the one that hung; and all pages of that time.
fn stuck_pages(case: &Case<'_>, trial: &Trial) -> (usize, usize) {
    /// What pages that were under way at the hang need to end.
    const LATER_US: u64 = 1_000_000;
    // Who does not close what timed out ends no attempt; then its page tells.
    let hang = case.battery.hang.first().map(Trial::longest_page);
    let (Some(timeout), Some(removed)) = (case.scale.attempt_timeout.or(hang), trial.removed)
    else {
        return (0, 0);
    };
    let pages = trial.pages_in(removed + LATER_US.max(timeout * 2), trial.until);
    let waited = pages
        .iter()
        .filter(|it| !it.is_whole() && it.duration().is_none_or(|took| took * 10 >= timeout * 8));
    (waited.count(), pages.len())
}

/// One hang ends all calls, one failure does not.
fn pinned(case: &Case<'_>) -> Outcome {
    let id = Id::PinnedConnection;
    let after_hang = match returns(case.battery.after_hang.as_ref()) {
        Ok(it) => it,
        Err(why) => return Outcome::unknown(id, why),
    };
    let stuck = case
        .battery
        .after_hang
        .as_ref()
        .map_or((0, 0), |it| stuck_pages(case, it));
    if stuck.0 >= 3 && stuck.0 * 10 >= stuck.1 {
        return Outcome::defect(
            id,
            format!(
                "after one call that hung, {} of {} later pages waited for the whole time-out as well, though calls on other \
                 connections are answered",
                stuck.0, stuck.1
            ),
            json!({ "pages_that_waited": stuck.0, "pages": stuck.1 }),
        );
    }
    if let Some(after) = after_hang {
        let evidence = json!({ "first_call_us": after });
        return Outcome::ok(
            id,
            format!("calls come back {} after one that hung", time(after)),
            evidence,
        );
    }
    match returns(case.battery.after_failure.as_ref()) {
        Err(why) => Outcome::unknown(
            id,
            format!("calls do not come back after one hang, and of one failure, {why}"),
        ),
        Ok(None) => Outcome::not_applicable(
            id,
            "calls do not come back after one failure either: sticky-fallback tells it",
        ),
        Ok(Some(_)) => {
            let trial = case.battery.after_hang.as_ref();
            let open = trial.map_or(0, |it| it.attempts.iter().filter(|it| it.is_open()).count());
            Outcome::defect(
                id,
                "after one call that hung no other is made, though one failure is survived",
                json!({ "open_attempts": open }),
            )
        }
    }
}

/// Whether error answers, each with good pages between, end all calls; none where that was not seen.
///
/// No breaker does so: few failures among many good calls do not open it. Nor does it make pages wait.
pub(super) fn used_up_by_answers(case: &Case<'_>) -> Option<UsedUp> {
    let trial = usable(case.battery.outage_503.as_ref()).ok()?;
    let never_back = trial.comes_back().is_none() && !trial.back_after_a_pause;
    let answers = case.battery.pool_places_503.filter(|_| never_back)?;
    Some(UsedUp {
        answers,
        waits: trial.waits_without_call_after(case.scale, case.hang()),
    })
}

/// What is known of a pool that error answers have used up.
pub(super) struct UsedUp {
    answers: u64,
    /// How long a page waits then, in µs; none where it does not.
    waits: Option<u64>,
}

/// Failures end all calls: resets where 503s and one hang do not, or error answers whose place is not given back.
fn leak(case: &Case<'_>) -> Outcome {
    let id = Id::PoolLeak;
    if let Some(UsedUp { answers, waits }) = used_up_by_answers(case) {
        let waiting = waits.map_or_else(String::new, |it| {
            format!(", and pages wait {} for a place", time(it))
        });
        return Outcome::defect(
            id,
            format!(
                "{answers} answers of 503, with good pages between, are enough: then no call is made{waiting}"
            ),
            json!({ "error_answers_until_none": answers, "page_waits_us": waits }),
        );
    }
    let after_resets = match returns(case.battery.outage_reset.as_ref()) {
        Ok(it) => it,
        Err(why) => return Outcome::unknown(id, why),
    };
    let after_hang = returns(case.battery.after_hang.as_ref());
    // One call may be the probe of a breaker that never closes.
    let as_before = |outage: Option<&Trial>| {
        returns(outage)?;
        usable(outage).map(|it| it.is_as_before(case.scale.calls_per_page))
    };
    let after_503s = as_before(case.battery.outage_503.as_ref());
    let as_before_resets = as_before(case.battery.outage_reset.as_ref());
    if case.battery.lost_after_hangs
        && matches!(after_hang, Ok(Some(_)))
        && matches!(after_503s, Ok(Some(_)))
        && matches!(as_before_resets, Ok(Some(_)))
    {
        let hung = case.battery.hang_under_load.as_ref();
        return Outcome::defect(
            id,
            "after many calls that hung no call is made, though one that hung is survived, and so are 503s and resets",
            json!({ "calls_that_hung": hung.and_then(|it| it.struck) }),
        );
    }
    if let Some(after) = after_resets {
        if after_503s == Ok(None) && as_before_resets == Ok(None) {
            return Outcome::not_applicable(
                id,
                "after 503s calls do not come back as they were either: breaker-never-closes tells it",
            );
        }
        let evidence = json!({ "first_call_us": after });
        return Outcome::ok(
            id,
            format!("calls come back {} after an outage of resets", time(after)),
            evidence,
        );
    }
    match after_503s {
        Err(why) => Outcome::unknown(
            id,
            format!("calls do not come back after resets, and of 503s, {why}"),
        ),
        Ok(None) => Outcome::not_applicable(
            id,
            "calls do not come back after 503s either: breaker-never-closes tells it",
        ),
        Ok(Some(_)) => {
            let places = case.battery.pool_places;
            let enough = places.map_or_else(String::new, |it| format!("; {it} resets are enough"));
            Outcome::defect(
                id,
                format!(
                    "after an outage of resets no call is made, though one of 503s is survived{enough}"
                ),
                json!({ "resets_until_none": places }),
            )
        }
    }
}

/// Other endpoints and other calls while one dependency is slow.
fn shared(case: &Case<'_>) -> Vec<Outcome> {
    let ids = [Id::NoBulkhead, Id::Serialised];
    let trials = match usable_of(&case.battery.slow_under_load) {
        Ok(trials) => trials,
        Err(why) => return ids.map(|id| Outcome::unknown(id, why.clone())).into(),
    };
    let bulkhead = bulkhead(case, &trials);
    let most = trials
        .iter()
        .map(|it| it.most_in_flight())
        .max()
        .unwrap_or(0);
    let overlapping = trials.iter().any(|it| {
        // Pages overlap, so calls could.
        it.pages.iter().any(|page| {
            let ended = page.ended.unwrap_or(u64::MAX);
            it.pages.iter().any(|other| {
                other.number != page.number && (page.sent..ended).contains(&other.sent)
            })
        })
    });
    // Where calls run one after the other, pages wait for those of others.
    let page = trials.iter().filter_map(|it| {
        let slow = it.pages_in(it.armed, it.fault_end());
        let took: Vec<u64> = slow.iter().filter_map(|page| page.duration()).collect();
        quantile(&took, 0.5)
    });
    let page = page.max().unwrap_or(0);
    let call = trials
        .iter()
        .flat_map(|it| &it.attempts)
        .map(AttemptRecord::duration);
    let call = quantile(&call.collect::<Vec<_>>(), 0.5).unwrap_or(0);
    let evidence = json!({ "most_in_flight": most, "page_p50_us": page, "call_p50_us": call });
    let serialised = match (most, overlapping) {
        (0..=1, _) if !case.scale.each_page_calls() => {
            Outcome::not_applicable(Id::Serialised, "most pages make no call")
        }
        (0..=1, true) if page < call + call / 2 => {
            Outcome::unknown(Id::Serialised, "pages did not wait for each other's calls")
        }
        (2.., _) => Outcome::ok(
            Id::Serialised,
            format!("{most} calls run side by side"),
            evidence,
        ),
        (_, false) => Outcome::unknown(Id::Serialised, "pages did not overlap"),
        (_, true) => Outcome::defect(
            Id::Serialised,
            "pages overlap, and their calls run one after the other",
            evidence,
        ),
    };
    vec![bulkhead, serialised]
}

/// Whether it was seen, twice, that one dependency holds all places.
pub(super) fn lacks_bulkhead(case: &Case<'_>) -> bool {
    let trials = usable_of(&case.battery.slow_under_load).unwrap_or_default();
    bulkhead(case, &trials).is_defect()
}

/// Another endpoint has nothing to do with the dependency: it may take what a calm page takes, or what it took before the fault.
///
/// A machine that is busy for a second holds it up as well. So what looks like a defect is tried again, and all trials of a
/// latency must say so.
fn bulkhead(case: &Case<'_>, trials: &[&Trial]) -> Outcome {
    let id = Id::NoBulkhead;
    let seen = trials.iter().filter_map(|it| Watched::of(case, it));
    let seen: Vec<Watched<'_>> = seen.collect();
    let Some(worst) = seen.iter().max_by_key(|it| it.late) else {
        return Outcome::unknown(id, "no other endpoint was watched");
    };
    let same = seen.iter().filter(|it| it.trial.form == worst.trial.form);
    let same: Vec<&Watched<'_>> = same.collect();
    let in_flight = worst.trial.most_in_flight();
    let evidence = json!({
        "other_endpoint_us": worst.late, "before_us": worst.before, "in_flight": in_flight, "latency": worst.trial.form,
        "trials": same.len(),
    });
    if worst.is_fine() {
        let sentence = format!(
            "another endpoint takes {} while the dependency is slow",
            time(worst.late)
        );
        return Outcome::ok(id, sentence, evidence);
    }
    if same.iter().any(|it| !it.is_held(case)) {
        let took: Vec<String> = same.iter().map(|it| time(it.late)).collect();
        let why = format!(
            "another endpoint took {}, which may be the machine",
            took.join(" and then ")
        );
        return Outcome::unknown(id, why);
    }
    Outcome::defect(
        id,
        format!(
            "while the dependency takes {}, another endpoint takes {}: {in_flight} calls hold all places",
            worst.trial.form,
            time(worst.late)
        ),
        evidence,
    )
}

/// How long another endpoint takes while a dependency is slow, in µs.
struct Watched<'r> {
    trial: &'r Trial,
    /// The median in the later half of the fault's time, as places fill up first; single late answers are the machine's.
    late: u64,
    /// The same before the fault.
    before: u64,
    /// What is usual: a calm page, 20 ms at least, or what it took before.
    usual: u64,
}

impl<'r> Watched<'r> {
    fn of(case: &Case<'_>, trial: &'r Trial) -> Option<Self> {
        let median = |slow: bool| {
            let chosen = trial.watched.iter();
            let chosen = chosen.filter(|it| (it.intended >= trial.armed) == slow);
            // From when it was sent: what held it up before that is this machine.
            let took: Vec<u64> = chosen
                .map(|it| it.ended.unwrap_or(trial.until).saturating_sub(it.sent))
                .collect();
            quantile(&took[took.len() / 2..], 0.5)
        };
        let before = median(false).unwrap_or(0);
        Some(Self {
            trial,
            late: median(true)?,
            before,
            usual: case.scale.page_p95.max(20_000).max(before),
        })
    }

    fn is_fine(&self) -> bool {
        self.late <= self.usual * 3
    }

    fn is_held(&self, case: &Case<'_>) -> bool {
        self.late >= self.usual * 6 && self.late >= (case.scale.budget / 8).max(100_000)
    }
}

/// Whether a trial looks as if one dependency held all places, so that it is worth another look.
pub(crate) fn looks_held(scale: &Scale, trial: &Trial) -> bool {
    let battery = super::Battery::default();
    let case = Case {
        scale,
        battery: &battery,
    };
    Watched::of(&case, trial).is_some_and(|it| it.is_held(&case))
}
