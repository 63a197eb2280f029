//! What words of a page mean, at its top.

use super::{Page, escape};

/// A word, and what it means in a sentence or two.
pub(super) type Word<'w> = (&'w str, String);

/// A list of words that a reader may close.
pub(super) fn write(page: &mut Page, words: &[Word<'_>]) {
    page.put(format_args!(
        "<details class=\"words\" open>\n<summary>Words on this page</summary>\n<dl>\n"
    ));
    for (word, meaning) in words {
        page.put(format_args!(
            "<div><dt>{}</dt><dd>{}</dd></div>\n",
            escape(word),
            escape(meaning)
        ));
    }
    page.put(format_args!("</dl>\n</details>\n"));
}

/// The words of the page of a run. `fallback` is how a fallback page is known.
pub(super) fn of_run(fallback: Option<&str>) -> Vec<Word<'static>> {
    let known = fallback.map_or_else(String::new, |it| format!(" (here: {it})"));
    let own = |text: &str| text.to_owned();
    vec![
        (
            "load, page",
            own("The load stands for users. Each of its requests asks for a page."),
        ),
        (
            "whole, fallback, failed page",
            format!(
                "A fallback is a good answer that says that something is missing{known}. A page failed if it had no whole \
                 answer, or a status of 400 and above. All others are whole."
            ),
        ),
        (
            "route, call",
            own(
                "A request that goes over a route of brownout, to a service. It failed if it had no whole \
                 answer, or a status of 500 and above.",
            ),
        ),
        (
            "circuit breaker",
            own(
                "A part of a service that stops its calls to another one after failures, and tries again after a while. It opens \
                 when it stops them, and closes when they go on.",
            ),
        ),
        (
            "phase",
            own(
                "A part of the run with faults and expectations of its own. Between two phases the load goes on.",
            ),
        ),
        (
            "steady state, baseline",
            own(
                "The phase before any fault. What it measured is the baseline, or \u{201c}before\u{201d}.",
            ),
        ),
        (
            "matched, injected",
            own(
                "A fault matches the calls that fit its conditions while it is on. It is injected into those that it acts on.",
            ),
        ),
        (
            "reset",
            own("The connection is broken off (TCP RST): the caller gets an error and no answer."),
        ),
        (
            "recovery, rollback",
            own(
                "Recovery is what is watched after the last fault. At the end brownout removes its faults and routes: the rollback.",
            ),
        ),
        (
            "median, p99",
            own(
                "Half of all pages took at most the median; 99 of 100 took at most p99. Counted from when a page was to be sent.",
            ),
        ),
        (
            "inferred",
            own("No service told it. It is read from calls that came, or did not come."),
        ),
        (
            "held, not proven, failed, unknown",
            own(
                "An expectation held if the measured value is within its limit. It is not proven if so few requests could have \
                 shown the same by chance. It is unknown if too little was measured.",
            ),
        ),
    ]
}

/// The words of the page of an audit. `budget` is how long a page may take.
pub(super) fn of_audit(budget: &str) -> Vec<Word<'static>> {
    let own = |text: &str| text.to_owned();
    vec![
        (
            "page",
            own("What brownout asks the service under test for, as users would."),
        ),
        (
            "whole, fallback, failed, late page",
            format!(
                "A fallback is a good answer that says that something is missing. A page failed if it had no whole answer, or no \
                 good status. It is late if it takes longer than {budget}."
            ),
        ),
        (
            "dependency, call, attempt",
            own(
                "A call is what the service asks its dependency for. Each try of it is an attempt: the first one, and its retries.",
            ),
        ),
        (
            "broken, injected",
            own(
                "A dependency is broken in one way at a time: a fault is injected into the calls to it.",
            ),
        ),
        (
            "median, p95",
            own("Half of all took at most the median, 19 of 20 took at most p95."),
        ),
        (
            "defect: high, medium, low",
            own(
                "What the service does wrong when the dependency fails. High and medium ones fail the audit.",
            ),
        ),
        (
            "undetermined",
            own(
                "What was seen does not tell whether the defect is there; the reason is below. It is neither found nor ruled out.",
            ),
        ),
    ]
}
