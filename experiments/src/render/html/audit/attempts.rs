//! Attempts of one page as a waterfall, and an outage over time.

use super::{Page, escape};
use crate::{
    audit::{AttemptEnding, ExemplarAttempt, ExemplarPage, OverTime},
    render::{
        evidence::{counted, time},
        html::charts::{self, Band, Step},
    },
};

/// A table whose last column is a bar: it can be read without the bars.
pub(super) fn waterfall(page: &mut Page, exemplar: &ExemplarPage, what: &str, budget: f64) {
    let attempts = &exemplar.attempts;
    let ends = attempts
        .iter()
        .map(|it| it.to_ms)
        .chain(exemplar.took_ms)
        .chain(exemplar.left_ms);
    let longest = ends.fold(1.0, f64::max);
    // The budget is shown where it tells something: not where all is over long before.
    let shows_budget = budget > 0.0 && longest * 4.0 >= budget;
    let length = if shows_budget {
        longest.max(budget)
    } else {
        longest
    };
    let several = attempts
        .iter()
        .any(|it| it.path != attempts[0].path || it.method != attempts[0].method);
    page.put(format_args!(
        "<figure>\n<figcaption>One page and its {}, while {}. Times are since the page was asked for.{}</figcaption>\n\
         <table class=\"waterfall\">\n<thead><tr><th scope=\"col\">what</th><th scope=\"col\" class=\"n\">began</th>\
         <th scope=\"col\" class=\"n\">took</th><th scope=\"col\">ended</th><th scope=\"col\" class=\"bars\" aria-hidden=\"true\"></th></tr></thead>\n<tbody>\n",
        match attempts.len() + exemplar.more {
            1 => "only attempt".to_owned(),
            more => counted(more, "attempt"),
        },
        escape(what),
        match &exemplar.request_id {
            Some(id) => format!(" Its x-request-id: <code>{}</code>.", escape(id)),
            None => String::new(),
        },
    ));
    if shows_budget {
        row(page, "a page may take", (0.0, budget), "", "budget", length);
    }
    let (to, how, class) = page_end(exemplar, longest);
    row(
        page,
        "<strong>page</strong>",
        (0.0, to),
        &how,
        class,
        length,
    );
    for (index, it) in attempts.iter().enumerate() {
        let what = match several {
            true => format!("{} {} {}", index + 1, it.method, it.path),
            false => format!("attempt {}", index + 1),
        };
        let (how, class) = attempt_end(it);
        row(
            page,
            &escape(&what),
            (it.from_ms, it.to_ms),
            &how,
            class,
            length,
        );
    }
    page.put(format_args!("</tbody></table>\n"));
    if exemplar.more > 0 {
        page.put(format_args!(
            "<p class=\"note\">{} more are not shown.</p>\n",
            exemplar.more
        ));
    }
    page.put(format_args!("</figure>\n"));
}

fn page_end(page: &ExemplarPage, length: f64) -> (f64, String, &'static str) {
    match (page.left_ms, page.took_ms, page.status) {
        (Some(left), None, _) => (left, "its caller left".to_owned(), "left"),
        (_, Some(took), Some(status)) if (200..300).contains(&status) && page.degraded => {
            (took, format!("{status}, by a fallback"), "degraded")
        }
        (_, Some(took), Some(status)) if (200..300).contains(&status) => {
            (took, format!("{status}, whole"), "ok")
        }
        (_, Some(took), Some(status)) => (took, format!("{status}, failed"), "error"),
        (_, Some(took), None) => (took, "failed without a whole answer".to_owned(), "error"),
        (_, None, _) => (length, "not yet".to_owned(), "error"),
    }
}

fn attempt_end(attempt: &ExemplarAttempt) -> (String, &'static str) {
    let status = attempt.status.map(|it| it.to_string());
    match (attempt.end, status) {
        (AttemptEnding::Answered | AttemptEnding::Fault, Some(status))
            if attempt.status.is_some_and(|it| it >= 400) =>
        {
            (status, "error")
        }
        (AttemptEnding::Answered, Some(status)) if attempt.struck => {
            (format!("{status}, as the fault made it"), "degraded")
        }
        (AttemptEnding::Answered, Some(status)) => (status, "ok"),
        (AttemptEnding::Answered, None) => ("answered".to_owned(), "ok"),
        (AttemptEnding::Fault, _) => ("broken off by the fault".to_owned(), "error"),
        (AttemptEnding::UpstreamError, _) => ("the dependency broke".to_owned(), "error"),
        (AttemptEnding::ClientFin | AttemptEnding::ClientRst, _) => ("given up".to_owned(), "left"),
        (AttemptEnding::StillOpen, _) => ("still open".to_owned(), "error"),
    }
}

fn row(page: &mut Page, what: &str, (from, to): (f64, f64), how: &str, class: &str, length: f64) {
    let left = (from / length * 100.0).clamp(0.0, 99.0);
    let width = ((to - from) / length * 100.0).clamp(0.6, 100.0 - left);
    page.put(format_args!(
        "<tr><th scope=\"row\">{what}</th><td class=\"n\" data-label=\"at\">{}</td><td class=\"n\" data-label=\"for\">{}</td><td>{}</td>\
         <td class=\"bars\" aria-hidden=\"true\"><span class=\"bar {class}\" style=\"margin-left:{left:.1}%;width:{width:.1}%\"></span></td></tr>\n",
        time(from),
        time(to - from),
        escape(how)
    ));
}

/// Pages and calls of an outage over time: in the one one sees who noticed, in the other whether calls stop and come back.
pub(super) fn over_time(page: &mut Page, seen: &OverTime, what: &str) {
    let seconds = |ms: u64| ms as f64 / 1_000.0;
    let step = seconds(seen.step_ms);
    let length = step * seen.steps.len() as f64;
    let armed = seen.armed_ms.map(seconds);
    let removed = seen.removed_ms.map_or(length, seconds);
    let bands: Vec<Band> = armed
        .map(|from| Band {
            from,
            to: removed.min(length),
            label: "broken".to_owned(),
        })
        .into_iter()
        .collect();
    let at = |index: usize| (index as f64 * step, (index + 1) as f64 * step);
    let pages: Vec<Step> = seen
        .steps
        .iter()
        .enumerate()
        .map(|(index, it)| Step {
            from: at(index).0,
            to: at(index).1,
            ok: it.whole as f64 / step,
            degraded: it.degraded as f64 / step,
            errors: it.failed as f64 / step,
            ..Step::default()
        })
        .collect();
    let calls: Vec<Step> = seen
        .steps
        .iter()
        .enumerate()
        .map(|(index, it)| Step {
            from: at(index).0,
            to: at(index).1,
            ok: it.calls as f64 / step,
            ..Step::default()
        })
        .collect();
    let told = escape(&format!(
        "Many pages, while {what}. {}",
        in_words(seen, armed.unwrap_or(0.0), removed)
    ));
    page.put(format_args!(
        "<figure>\n<figcaption>{told}</figcaption>\n\
         <ul class=\"legend\"><li><span class=\"key ok\"></span>whole page, or call</li><li><span class=\"key degraded\"></span>page by a fallback</li>\
         <li><span class=\"key error\"></span>failed page</li><li><span class=\"key band\"></span>broken</li></ul>\n\
         <p class=\"axis\">pages a second</p>\n{}\n<p class=\"axis\">calls to the dependency a second</p>\n{}\n</figure>\n",
        charts::rate(&pages, &bands, length, "Pages a second, as the text above tells them"),
        charts::rate(&calls, &bands, length, "Calls to the dependency a second, as the text above tells them"),
    ));
}

/// What the charts show, for who does not see them.
fn in_words(seen: &OverTime, armed: f64, removed: f64) -> String {
    let step = seen.step_ms as f64 / 1_000.0;
    let of = |from: f64, to: f64| {
        let steps = seen.steps.iter().enumerate();
        let own = steps.filter(|(index, _)| {
            let middle = (*index as f64 + 0.5) * step;
            (from..to).contains(&middle)
        });
        own.fold((0, 0, 0, 0), |sum, (_, it)| {
            (
                sum.0 + it.calls,
                sum.1 + it.whole,
                sum.2 + it.degraded,
                sum.3 + it.failed,
            )
        })
    };
    let told = |(calls, whole, degraded, failed): (usize, usize, usize, usize)| {
        let pages = whole + degraded + failed;
        format!(
            "{}, {} ({whole} whole, {degraded} by a fallback, {failed} failed)",
            counted(calls, "call"),
            counted(pages, "page")
        )
    };
    let length = step * seen.steps.len() as f64;
    let mut parts = Vec::new();
    if armed > step {
        parts.push(format!("Before: {}.", told(of(0.0, armed))));
    }
    parts.push(format!(
        "Broken for {}: {}.",
        time((removed - armed) * 1e3),
        told(of(armed, removed))
    ));
    if length - removed > step {
        parts.push(format!(
            "In the {} after that: {}.",
            time((length - removed) * 1e3),
            told(of(removed, length))
        ));
    }
    parts.join(" ")
}
