//! Does every call end in time?

use serde_json::json;

use super::{Case, Trial, time, usable};
use crate::forensics::{
    derive::quantile,
    finding::{FindingId as Id, Outcome},
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
        Outcome::ok(
            id,
            format!("a page whose call hangs takes {}", time(page)),
            evidence.clone(),
        )
    };
    let connect = usable(case.battery.hang_at_connect.as_ref());
    let connects_in_time = connect.as_ref().map(|it| look(case, it) == Hang::InTime);
    let is_connect_only = found == Hang::NeverEnds && connects_in_time == Ok(true);

    let no_timeout = match found {
        Hang::NeverEnds if is_connect_only => {
            Outcome::not_applicable(Id::NoTimeout, "connect-timeout-only tells it")
        }
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
        Hang::NeverEnds => Outcome::not_applicable(Id::TimeoutOverBudget, "there is no time-out"),
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
        Hang::NeverEnds => Outcome::not_applicable(Id::NoTotalTimeout, "there is no time-out"),
        Hang::LongAttempt(_) => {
            Outcome::not_applicable(Id::NoTotalTimeout, "timeout-over-budget tells it")
        }
        Hang::InTime => fine(Id::NoTotalTimeout),
    };
    let connect_only = match (found, connects_in_time) {
        (Hang::NeverEnds, Ok(true)) => Outcome::defect(
            Id::ConnectTimeoutOnly,
            "connecting has a time-out and waiting for the answer has none",
            evidence.clone(),
        ),
        (Hang::NeverEnds, Ok(false)) => {
            Outcome::not_applicable(Id::ConnectTimeoutOnly, "no-timeout tells it")
        }
        (Hang::NeverEnds, Err(why)) => Outcome::unknown(
            Id::ConnectTimeoutOnly,
            format!("of the hang at connecting, {why}"),
        ),
        (_, _) => fine(Id::ConnectTimeoutOnly),
    };
    vec![no_timeout, over, total, connect_only]
}

/// A time-out that does not cover the whole answer.
fn slow_body(case: &Case<'_>, id: Id, trial: Option<&Trial>, what: &str) -> Outcome {
    if case.scale.background {
        return Outcome::not_applicable(id, "pages do not wait for this dependency");
    }
    let trial = match usable(trial) {
        Ok(trial) => trial,
        Err(why) => return Outcome::unknown(id, why),
    };
    match usable(case.battery.hang.first()) {
        Err(why) => return Outcome::unknown(id, format!("of the hang, {why}")),
        Ok(hang) if look(case, hang) != Hang::InTime => {
            return Outcome::not_applicable(id, "a call that hangs is late as well");
        }
        Ok(_) => {}
    }
    // A time-out that ends with the head covers no body, however it comes.
    let stalls = usable(case.battery.stall_in_body.first());
    if id == Id::PerReadTimeout && stalls.is_ok_and(|it| look(case, it) != Hang::InTime) {
        return Outcome::not_applicable(id, "head-only-timeout tells it");
    }
    let page = trial.longest_page();
    let evidence = json!({ "page_us": page, "budget_us": case.scale.budget });
    if page <= case.scale.page_limit() {
        return Outcome::ok(
            id,
            format!("a page with an answer {what} takes {}", time(page)),
            evidence,
        );
    }
    let hang = case.battery.hang.first().map_or(0, Trial::longest_page);
    Outcome::defect(
        id,
        format!(
            "an answer {what} holds the page for {}, though one that does not come at all is given up after {}",
            time(page),
            time(hang)
        ),
        evidence,
    )
}
