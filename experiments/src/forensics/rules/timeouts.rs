//! Does every call end in time?

use serde_json::json;

use super::{Battery, Case, Trial, time, usable};
use crate::forensics::{
    derive::quantile,
    finding::{FindingId as Id, Outcome},
    scale::Scale,
};

pub(super) fn outcomes(case: &Case<'_>) -> Vec<Outcome> {
    let mut outcomes = hang(case);
    outcomes.push(slow_body(
        case,
        Id::PerReadTimeout,
        case.battery.dribble.first(),
        "whose bytes dribble in",
    ));
    outcomes.push(slow_body(
        case,
        Id::HeadOnlyTimeout,
        case.battery.stall_in_body.first(),
        "that stops in its body",
    ));
    outcomes
}

/// How a page behaves whose upstream does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hang {
    InTime,
    /// The page was not answered in time, and nobody ended the attempts.
    NeverEnds,
    /// An attempt is longer than the budget.
    LongAttempt(u64),
    /// Attempts are each inside the budget, their sum is not.
    LongSum(u64, usize),
}

fn look(case: &Case<'_>, trial: &Trial) -> Hang {
    let page = trial.longest_page();
    if page <= case.scale.page_limit() {
        return Hang::InTime;
    }
    let ended = trial.own_timeouts();
    let longest = ended.iter().copied().max();
    match longest {
        None => Hang::NeverEnds,
        Some(longest) if longest > case.scale.budget => Hang::LongAttempt(longest),
        Some(_) => Hang::LongSum(page, trial.attempts.len()),
    }
}

/// Whether only the answer has no time-out, and connecting has one.
fn is_connect_only(case: &Case<'_>, hang: Hang) -> bool {
    let connect = usable(case.battery.hang_at_connect.as_ref());
    hang == Hang::NeverEnds && connect.is_ok_and(|it| look(case, it) == Hang::InTime)
}

/// Which id tells why a page whose call hangs is late; none where it is not.
fn root_of(hang: Hang, is_connect_only: bool) -> Option<Id> {
    match hang {
        Hang::InTime => None,
        Hang::NeverEnds if is_connect_only => Some(Id::ConnectTimeoutOnly),
        Hang::NeverEnds => Some(Id::NoTimeout),
        Hang::LongAttempt(_) => Some(Id::TimeoutOverBudget),
        Hang::LongSum(..) => Some(Id::NoTotalTimeout),
    }
}

/// Which id tells why a page whose call hangs is late; none where it is not, or was not tried.
pub(super) fn root(case: &Case<'_>) -> Option<Id> {
    let hang = look(case, usable(case.battery.hang.first()).ok()?);
    root_of(hang, is_connect_only(case, hang)).or_else(|| together(case).map(|it| it.id))
}

/// A page that is in time where calls of any one path hang, and late where those of all do, as it makes them one after the other.
pub(super) fn together(case: &Case<'_>) -> Option<Outcome> {
    let trial = usable(case.battery.hang_of_all.as_ref()).ok()?;
    let Hang::LongSum(page, attempts) = look(case, trial) else {
        return None;
    };
    let sentence = format!(
        "{attempts} calls of several paths, each given up inside the budget, take {} together; the page has {}",
        time(page),
        time(case.scale.budget)
    );
    let evidence = json!({ "page_us": page, "budget_us": case.scale.budget, "attempts": attempts });
    Some(Outcome::defect(Id::NoTotalTimeout, sentence, evidence))
}

fn hang(case: &Case<'_>) -> Vec<Outcome> {
    let ids = [
        Id::NoTimeout,
        Id::TimeoutOverBudget,
        Id::NoTotalTimeout,
        Id::ConnectTimeoutOnly,
    ];
    if case.scale.background {
        return ids
            .map(|id| Outcome::not_applicable(id, "pages do not wait for this dependency"))
            .into();
    }
    let trial = match usable(case.battery.hang.first()) {
        Ok(trial) => trial,
        Err(why) => return ids.map(|id| Outcome::unknown(id, why.clone())).into(),
    };
    let budget = time(case.scale.budget);
    let page = trial.longest_page();
    let found = look(case, trial);
    let evidence = json!({
        "page_us": page,
        "budget_us": case.scale.budget,
        "attempts": trial.attempts.len(),
        "attempt_timeout_us": quantile(&trial.own_timeouts(), 0.5),
    });
    let fine = |id| {
        let sentence = match found {
            // The page is late all the same; another id tells why.
            Hang::LongAttempt(longest) => format!(
                "a call that hangs is given up after {}: timeout-over-budget tells that this is too long",
                time(longest)
            ),
            Hang::LongSum(..) => format!(
                "a call that hangs is given up after {}: no-total-timeout tells of all attempts together",
                time(trial.own_timeouts().into_iter().max().unwrap_or(0))
            ),
            Hang::InTime | Hang::NeverEnds => {
                format!("a page whose call hangs takes {}", time(page))
            }
        };
        Outcome::ok(id, sentence, evidence.clone())
    };
    // Of what has no end nothing else can be said.
    let root = root_of(found, is_connect_only(case, found)).unwrap_or(Id::NoTimeout);
    let follows = |id| Outcome::not_applicable(id, format!("{} tells it", root.as_str()));
    let connect = usable(case.battery.hang_at_connect.as_ref());
    let connects_in_time = connect.as_ref().map(|it| look(case, it) == Hang::InTime);

    let no_timeout = match found {
        Hang::NeverEnds if root != Id::NoTimeout => follows(Id::NoTimeout),
        Hang::NeverEnds => Outcome::defect(
            Id::NoTimeout,
            format!(
                "a call that is not answered is waited for without end: {} and still open",
                time(page)
            ),
            evidence.clone(),
        ),
        Hang::InTime | Hang::LongAttempt(_) | Hang::LongSum(..) => fine(Id::NoTimeout),
    };
    let over = match found {
        Hang::LongAttempt(longest) => Outcome::defect(
            Id::TimeoutOverBudget,
            format!(
                "an attempt is given {}, and the page has {budget}",
                time(longest)
            ),
            evidence.clone(),
        ),
        Hang::NeverEnds => follows(Id::TimeoutOverBudget),
        Hang::InTime | Hang::LongSum(..) => fine(Id::TimeoutOverBudget),
    };
    let total = match found {
        Hang::LongSum(page, attempts) => Outcome::defect(
            Id::NoTotalTimeout,
            format!(
                "{attempts} attempts, each inside the budget, take {} together; the page has {budget}",
                time(page)
            ),
            evidence.clone(),
        ),
        Hang::NeverEnds | Hang::LongAttempt(_) => follows(Id::NoTotalTimeout),
        Hang::InTime => fine(Id::NoTotalTimeout),
    };
    let connect_only = match (found, connects_in_time) {
        (Hang::NeverEnds, Ok(true)) => Outcome::defect(
            Id::ConnectTimeoutOnly,
            "connecting has a time-out and waiting for the answer has none",
            evidence.clone(),
        ),
        (Hang::NeverEnds, Ok(false)) => follows(Id::ConnectTimeoutOnly),
        (Hang::NeverEnds, Err(why)) => Outcome::unknown(
            Id::ConnectTimeoutOnly,
            format!("of the hang at connecting, {why}"),
        ),
        (_, _) => fine(Id::ConnectTimeoutOnly),
    };
    vec![no_timeout, over, total, connect_only]
}

/// A time-out that does not cover the whole answer.
///
/// Where several attempts take longer together than the page has, a single one is looked at: its own time-out should end it.
fn slow_body(case: &Case<'_>, id: Id, trial: Option<&Trial>, what: &str) -> Outcome {
    if case.scale.background {
        return Outcome::not_applicable(id, "pages do not wait for this dependency");
    }
    let hang = usable(case.battery.hang.first()).map(|it| look(case, it));
    let one_attempt = matches!(hang, Ok(Hang::LongSum(..)));
    if let Ok(hang) = &hang
        && let Some(root) = root_of(*hang, is_connect_only(case, *hang))
        && !one_attempt
    {
        return Outcome::not_applicable(id, format!("{} tells it", root.as_str()));
    }
    let trial = match usable(trial) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    if let Err(why) = hang {
        return Outcome::unknown(id, format!("of the hang, {why}"));
    }
    let held = |trial: &Trial| match one_attempt {
        true => trial.longest_attempt(),
        false => trial.longest_page(),
    };
    let is_held = |trial: &Trial| held(trial) > case.scale.page_limit();
    // A time-out that ends with the head covers no body, however it comes.
    let stalls = usable(case.battery.stall_in_body.first());
    if id == Id::PerReadTimeout && stalls.is_ok_and(is_held) {
        return Outcome::not_applicable(id, "head-only-timeout tells it");
    }
    let who = if one_attempt { "an attempt" } else { "a page" };
    let evidence = match one_attempt {
        true => json!({ "attempt_us": held(trial), "budget_us": case.scale.budget }),
        false => json!({ "page_us": held(trial), "budget_us": case.scale.budget }),
    };
    if !is_held(trial) {
        return Outcome::ok(
            id,
            format!("{who} with an answer {what} takes {}", time(held(trial))),
            evidence,
        );
    }
    let given_up = match one_attempt {
        true => case.battery.hang.first().map(Trial::longest_attempt),
        false => case.hang(),
    };
    let holds = if one_attempt {
        "the attempt"
    } else {
        "the page"
    };
    Outcome::defect(
        id,
        format!(
            "an answer {what} holds {holds} for {}, though one that does not come at all is given up after {}",
            time(held(trial)),
            time(given_up.unwrap_or(0))
        ),
        evidence,
    )
}

/// Whether each attempt of a page whose calls hang is given up inside the budget, and only all of them together are not.
pub(crate) fn gives_up_each(scale: &Scale, trial: &Trial) -> bool {
    let battery = Battery::default();
    let case = Case {
        scale,
        battery: &battery,
    };
    matches!(look(&case, trial), Hang::LongSum(..))
}
