//! What kept pages up while a dependency failed.

use std::collections::BTreeMap;

use super::{FaultPhase, Saved, Seen, breaker::count_of, outage::usual, percent};
use crate::run::recording::Page;

/// Where fewer calls carry their page's id, pages and calls are not joined.
const JOINED_MIN: f64 = 0.8;

/// What was tried for a page on the routes with faults.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    failed: usize,
    good: usize,
}

pub(super) fn by(seen: &Seen<'_>, phase: &FaultPhase, opened: bool) -> Vec<Saved> {
    let pages: Vec<(u64, &Page)> = seen.pages_in(phase.span).collect();
    if pages.is_empty() {
        return vec![undetermined("no page of a load is known")];
    }
    let failed = pages.iter().filter(|(_, it)| it.is_error()).count();
    let calls = seen.calls_on(&phase.routes, phase.span);
    let is_fallback = |it: &Page| it.is_answered() && !it.is_error() && it.fits & 1 == 1;
    let marked = pages.iter().filter(|(_, it)| is_fallback(it)).count();
    let mut saved = Vec::new();
    if !seen.calls.is_known() {
        if marked > 0 {
            saved.push(told(
                "fallback",
                format!(
                    "{marked} of {} pages say that they are a fallback's ({}).",
                    pages.len(),
                    seen.fallback
                ),
            ));
        } else if failed < pages.len() {
            let why = seen
                .calls
                .unknown
                .as_deref()
                .unwrap_or("single calls are not known");
            saved.push(undetermined(why));
        }
        return with_failures(saved, failed, pages.len());
    }
    let failed_calls = calls.iter().filter(|it| it.failed).count();
    if calls.iter().all(|it| !it.injected) {
        let why = "the fault acted on no call while the page was asked for";
        return vec![told("not_needed", format!("Nothing was needed: {why}."))];
    }
    let joined = calls.iter().filter(|it| it.page.is_some()).count();
    if (joined as f64) < calls.len() as f64 * JOINED_MIN {
        return with_failures(unjoined(seen, phase, &pages, marked), failed, pages.len());
    }
    let mut tried: BTreeMap<u64, Tried> = BTreeMap::new();
    for call in &calls {
        let of_page = tried.entry(call.page.unwrap_or(u64::MAX)).or_default();
        of_page.failed += usize::from(call.failed);
        of_page.good += usize::from(call.good);
    }
    let usually: f64 = phase.routes.iter().filter_map(|it| usual(seen, it)).sum();
    let (mut retried, mut without, mut spared) = (0, Vec::new(), 0);
    for (index, page) in pages
        .iter()
        .filter(|(_, it)| !it.is_error() && it.is_answered())
    {
        match tried.get(index) {
            Some(it) if it.good > 0 && it.failed > 0 => retried += 1,
            Some(it) if it.failed > 0 => without.push((*index, is_fallback(page))),
            Some(_) => {}
            None if usually >= 0.9 => {
                spared += 1;
                without.push((*index, is_fallback(page)));
            }
            None => {}
        }
    }
    let hit = phase.routes.join(", ");
    if !without.is_empty() {
        let says = without.iter().filter(|(_, says)| *says).count();
        let says = match says {
            0 => format!(
                " No page says so ({} was looked for), so what it showed instead is not known.",
                seen.fallback
            ),
            says => format!(" {says} of them say so ({}).", seen.fallback),
        };
        let text = format!(
            "{} of {} pages were good without a good answer from {hit}: their service has a fallback.{says}{}",
            without.len(),
            pages.len(),
            second_source(seen, phase, &without)
        );
        saved.push(told("fallback", text));
    }
    if retried > 0 {
        let text = format!(
            "{retried} of {} pages had a failed call on {hit} and then a good one: a retry answered them.",
            pages.len()
        );
        saved.push(told("retry", text));
    }
    if opened && spared > 0 {
        let text = format!(
            "{spared} of {} pages made no call on {hit} at all, so they did not wait for it to fail; the others made {}.",
            pages.len(),
            count_of(calls.len(), "call")
        );
        saved.push(told("breaker", text));
    } else if usually >= 0.9 && !opened && failed_calls > 0 {
        let text = format!(
            "No circuit breaker was seen to open: {} for {} pages went to {hit} during the outage.",
            count_of(calls.len(), "call"),
            pages.len()
        );
        saved.push(told("no_breaker", text));
    }
    if saved.iter().all(|it| it.by == "no_breaker") && failed == 0 {
        let text = match failed_calls {
            0 => format!(
                "Nothing was needed: every call on {hit} was answered, only later or changed."
            ),
            _ => format!(
                "undetermined, because the {failed_calls} failed calls on {hit} belong to no page that was measured."
            ),
        };
        let by = if failed_calls == 0 {
            "not_needed"
        } else {
            "undetermined"
        };
        saved.insert(0, told(by, text));
    }
    with_failures(saved, failed, pages.len())
}

/// Routes that were called for pages without an answer, and not before.
fn second_source(seen: &Seen<'_>, phase: &FaultPhase, without: &[(u64, bool)]) -> String {
    let mut found = Vec::new();
    for route in seen
        .calls
        .routes
        .iter()
        .filter(|it| !phase.routes.contains(it))
    {
        let own = [route.clone()];
        let Some(steady) = seen.steady else { continue };
        let share = |pages: &[u64], span| {
            let mut called: Vec<u64> = seen
                .calls_on(&own, span)
                .iter()
                .filter_map(|it| it.page)
                .collect();
            called.sort_unstable();
            called.dedup();
            let hits = pages
                .iter()
                .filter(|it| called.binary_search(it).is_ok())
                .count();
            (hits, pages.len())
        };
        let calm: Vec<u64> = seen.pages_in(steady).map(|(index, _)| index).collect();
        let missing: Vec<u64> = without.iter().map(|(index, _)| *index).collect();
        let (before, during) = (share(&calm, steady), share(&missing, phase.span));
        let part = |(hits, all): (usize, usize)| hits as f64 / all.max(1) as f64;
        if part(before) < 0.1 && part(during) > 0.5 {
            found.push(format!(
                " {route} was called for {} of these pages, and for {} before the outage: it is the second source.",
                percent(during.0, during.1),
                percent(before.0, before.1)
            ));
        }
    }
    found.concat()
}

/// What is known where calls do not tell their page.
fn unjoined(
    seen: &Seen<'_>,
    phase: &FaultPhase,
    pages: &[(u64, &Page)],
    marked: usize,
) -> Vec<Saved> {
    let calls = seen.calls_on(&phase.routes, phase.span);
    let hit = phase.routes.join(", ");
    let good_pages = pages
        .iter()
        .filter(|(_, it)| it.is_answered() && !it.is_error())
        .count();
    let mut saved = Vec::new();
    if calls.iter().all(|it| !it.good) && good_pages > 0 {
        saved.push(told(
            "fallback",
            format!(
                "No call on {hit} had a good answer, and {good_pages} of {} pages were good: their service has a fallback.{}",
                pages.len(),
                match marked {
                    0 => String::new(),
                    marked => format!(" {marked} pages say so ({}).", seen.fallback),
                }
            ),
        ));
    } else if marked > 0 {
        saved.push(told(
            "fallback",
            format!(
                "{marked} of {} pages say that they are a fallback's ({}).",
                pages.len(),
                seen.fallback
            ),
        ));
    }
    saved.push(undetermined(&format!(
        "calls on {hit} do not carry the id of their page (traceparent or x-request-id), so what else helped which page cannot be told"
    )));
    saved
}

fn with_failures(mut saved: Vec<Saved>, failed: usize, all: usize) -> Vec<Saved> {
    if failed > 0 {
        saved.push(told(
            "nothing",
            format!("Nothing saved {failed} of {all} pages: they failed."),
        ));
    }
    saved
}

fn undetermined(why: &str) -> Saved {
    told("undetermined", format!("undetermined, because {why}."))
}

fn told(by: &str, text: String) -> Saved {
    Saved {
        by: by.to_owned(),
        text,
    }
}
