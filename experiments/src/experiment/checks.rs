//! What does not fit together in a file whose sections are each right.

use std::time::Duration;

use brownout_fault::read::Problem;

use super::{Arrivals, Expected, Experiment, Load, Watch};
use crate::expectation::{Condition, Measure, Subject};

/// Every such problem.
pub(super) fn problems(experiment: &Experiment) -> Vec<Problem> {
    let mut problems = Vec::new();
    load(experiment, &mut problems);
    watch(experiment, &mut problems);
    pages(experiment, &mut problems);
    expectations(experiment, &mut problems);
    phases(experiment, &mut problems);
    let length = experiment.expected_length();
    if length >= experiment.timeout {
        problems.push(Problem::at(
            "timeout",
            format!(
                "is {}, and steady state, phases and recovery take {}{}",
                brownout_fault::units::show_duration(experiment.timeout),
                brownout_fault::units::show_duration(length),
                match experiment.verdict.repeat {
                    1 => String::new(),
                    count => format!(", done {count} times"),
                }
            ),
        ));
    }
    problems
}

fn load(experiment: &Experiment, problems: &mut Vec<Problem>) {
    let Load { to, arrivals, .. } = &experiment.load;
    if *arrivals == Arrivals::External {
        return;
    }
    let at_to = |detail: String| {
        let place = match arrivals {
            Arrivals::Serial(_) => Problem::at("to", detail).under("serial"),
            _ => Problem::at("to", detail),
        };
        place.under("load")
    };
    if let Some(authority) = to.strip_prefix("http://") {
        if authority
            .trim_end_matches('/')
            .parse::<http::uri::Authority>()
            .is_err()
        {
            problems.push(at_to(format!("`{to}` is not of the form http://HOST:PORT")));
        }
        return;
    }
    let mut names: Vec<&str> = experiment
        .routes
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    names.extend(experiment.demo.as_ref().map(|it| it.system.front()));
    if !names.is_empty() && !names.contains(&to.as_str()) {
        problems.push(at_to(brownout_fault::read::unknown("route", to, &names)));
    }
}

fn watch(experiment: &Experiment, problems: &mut Vec<Problem>) {
    let Some(watch) = &experiment.load.watch else {
        return;
    };
    let mut tell = |detail: String| problems.push(Problem::at("watch", detail).under("load"));
    let names: Vec<&str> = experiment
        .routes
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    if names.contains(&Watch::NAME) || experiment.load.to == Watch::NAME {
        tell("is what expectations call it, and a route has that name".to_owned());
    }
    // The load's own address has been looked at.
    if watch.to == experiment.load.to {
        return;
    }
    match watch.to.strip_prefix("http://") {
        Some(authority)
            if authority
                .trim_end_matches('/')
                .parse::<http::uri::Authority>()
                .is_err() =>
        {
            tell(format!(
                "`{}` is not of the form http://HOST:PORT",
                watch.to
            ));
        }
        None if !names.is_empty() && !names.contains(&watch.to.as_str()) => {
            tell(brownout_fault::read::unknown("route", &watch.to, &names));
        }
        _ => {}
    }
}

fn pages(experiment: &Experiment, problems: &mut Vec<Problem>) {
    if let Arrivals::Open(rate) = experiment.load.arrivals {
        let pages = rate * experiment.expected_length().as_secs_f64();
        if pages > Experiment::PAGES_MAX as f64 {
            let max = Experiment::PAGES_MAX;
            let detail = format!("makes {pages:.0} pages in this run; at most {max}");
            problems.push(Problem::at("rate", detail).under("load"));
        }
    }
    let is_serial = matches!(experiment.load.arrivals, Arrivals::Serial(_));
    for (index, phase) in experiment.phases.iter().enumerate() {
        let mut tell = |key: &str, detail: &str| {
            let problem = Problem::at(key, detail).under(&index.to_string());
            problems.push(problem.under("phase"));
        };
        if phase.duration.is_none() && !is_serial {
            tell("duration", "is required, unless a serial load counts pages");
        }
        if phase.tail.is_some() && experiment.demo.is_none() {
            tell(
                "tail",
                "needs [demo], whose services tell whether they are busy",
            );
        }
        if !is_serial && phase.faults.iter().any(|it| it.pages.is_some()) {
            tell(
                "faults",
                "`pages` needs [load.serial], which asks for one page at a time",
            );
        }
        if phase.leave_after.is_some() && experiment.load.arrivals == Arrivals::External {
            tell("load", "`leave_after` needs a load of this file");
        }
    }
}

fn phases(experiment: &Experiment, problems: &mut Vec<Problem>) {
    for (index, phase) in experiment.phases.iter().enumerate() {
        let mut ids: Vec<&str> = phase.faults.iter().map(|it| it.id.as_str()).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            let detail = format!("`{}` is there twice", twice[0]);
            let problem = Problem::at("faults", detail).under(&index.to_string());
            problems.push(problem.under("phase"));
        }
    }
}

fn expectations(experiment: &Experiment, problems: &mut Vec<Problem>) {
    let steady = experiment.steady.as_ref();
    if let Some(steady) = steady {
        let length = Some(steady.duration);
        each(&steady.expect, "steady", "expect", length, problems, |it| {
            it.expectation
                .needs_baseline()
                .then_some("the steady state is the baseline itself")
        });
    }
    let no_baseline = |it: &Expected| {
        let lacks = it.expectation.needs_baseline() && steady.is_none();
        lacks.then_some("needs [steady], whose measures are the baseline")
    };
    for (index, phase) in experiment.phases.iter().enumerate() {
        let section = format!("phase/{index}");
        each(
            &phase.expect,
            &section,
            "expect",
            phase.duration,
            problems,
            no_baseline,
        );
        each(
            &phase.after,
            &section,
            "after",
            phase.after_length(),
            problems,
            no_baseline,
        );
    }
    if let Some(recovery) = &experiment.recovery {
        let length = Some(recovery.observe);
        each(
            &recovery.expect,
            "recovery",
            "expect",
            length,
            problems,
            no_baseline,
        );
    }
    each(
        &experiment.guard.halt_if,
        "guard",
        "halt_if",
        None,
        problems,
        |it| {
            if it.expectation.within.is_some() {
                return Some("a guard takes `for`, not `within`");
            }
            if it.expectation.needs_evidence() {
                return Some(
                    "a guard is watched while the run goes on, and this is known only afterwards",
                );
            }
            match (&it.expectation.subject, &it.expectation.condition) {
                (
                    Subject::Hop {
                        measure: Measure::PeakRate,
                        ..
                    },
                    _,
                )
                | (_, Condition::Happens) => Some("a guard takes measures of a moment"),
                _ => no_baseline(it),
            }
        },
    );
}

/// Adds what is wrong with a list of expectations.
fn each(
    list: &[Expected],
    section: &str,
    key: &str,
    length: Option<Duration>,
    problems: &mut Vec<Problem>,
    wrong: impl Fn(&Expected) -> Option<&'static str>,
) {
    for (index, expected) in list.iter().enumerate() {
        let mut tell = |detail: &str| {
            problems.push(Problem {
                pointer: format!("/{section}/{key}/{index}"),
                detail: format!("`{}`: {detail}", expected.expectation),
            });
        };
        if key != "halt_if" && expected.expectation.sustained.is_some() {
            tell("`for` is for a guard; write `within`");
        }
        if let Some(within) = expected.expectation.within
            && !matches!(
                expected.expectation.subject,
                Subject::Hop {
                    measure: Measure::Answered,
                    ..
                }
            )
            && length.is_some_and(|length| within >= length)
        {
            tell("`within` is no shorter than the time that is measured");
        }
        if let Some(detail) = wrong(expected) {
            tell(detail);
        }
    }
}
