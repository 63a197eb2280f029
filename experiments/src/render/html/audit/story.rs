//! What broke, when, who noticed and what saved the page: in sentences.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{AuditReport, Page, escape, of, worst_first};
use crate::{
    audit::{CalmRecord, ExemplarAttempt, ExperimentRecord},
    forensics::Verdict,
    render::evidence::{calls_of, counted, time, title},
};

/// More ways of breaking than this are only counted.
const WAYS_MAX: usize = 4;

pub(super) fn write(page: &mut Page, report: &AuditReport) {
    page.put(format_args!(
        "<section aria-labelledby=\"story\">\n<h2 id=\"story\">What happened</h2>\n<ol class=\"story\">\n"
    ));
    for calm in &report.calm {
        page.put(format_args!(
            "<li><strong>Before anything was broken.</strong> {}</li>\n",
            before(calm)
        ));
        let own: Vec<&ExperimentRecord> = report
            .experiments
            .iter()
            .filter(|it| it.route == calm.route)
            .collect();
        if own.is_empty() {
            continue;
        }
        page.put(format_args!(
            "<li><strong>What broke, and when.</strong> {}</li>\n",
            broke(calm, &own)
        ));
        page.put(format_args!(
            "<li><strong>Who noticed.</strong> {}</li>\n",
            noticed(&own, &report.budget)
        ));
        page.put(format_args!(
            "<li><strong>What kept the page up.</strong> {}</li>\n",
            saved(&own)
        ));
        if let Some(why) = report.stopped.get(&calm.route) {
            page.put(format_args!(
                "<li><strong>It ended early.</strong> {}.</li>\n",
                escape(why)
            ));
        }
    }
    let defects = worst_first(report);
    let told: Vec<String> = defects
        .iter()
        .map(|it| {
            format!(
                "<a href=\"#{}-{}\">{}</a>",
                it.id.as_str(),
                escape(&it.route),
                title(it.id)
            )
        })
        .collect();
    let untold = of(report, Verdict::Undetermined).len();
    let rest = match untold {
        0 => String::new(),
        1 => " 1 check is undetermined.".to_owned(),
        more => format!(" {more} checks are undetermined."),
    };
    page.put(format_args!(
        "<li><strong>What is wrong.</strong> {}.{rest}</li>\n</ol>\n</section>\n",
        match told.is_empty() {
            true => "Nothing was found".to_owned(),
            false => told.join("; "),
        }
    ));
}

fn before(calm: &CalmRecord) -> String {
    let told = calls_of(calm, |path| format!("<code>{}</code>", escape(path)));
    format!(
        "<code>{}</code>: {told}. Median of pages {}, p95 {}; median of calls {}.",
        escape(&calm.route),
        time(calm.page_p50_ms),
        time(calm.page_p95_ms),
        time(calm.call_p50_ms)
    )
}

fn broke(calm: &CalmRecord, own: &[&ExperimentRecord]) -> String {
    let with_fault: Vec<_> = own.iter().filter(|it| it.struck.is_some()).collect();
    let from = with_fault.iter().map(|it| it.at_ms).min().unwrap_or(0);
    let to = with_fault
        .iter()
        .map(|it| it.at_ms + it.took_ms)
        .max()
        .unwrap_or(0);
    let mut ways: Vec<&str> = with_fault.iter().map(|it| it.fault.as_str()).collect();
    ways.sort_unstable();
    ways.dedup();
    let struck: u64 = with_fault.iter().filter_map(|it| it.struck).sum();
    format!(
        "Within {}, brownout broke <code>{}</code> in {}, one at a time, and injected that into {}: {}. \
         Before each it waited until the service was well. <a href=\"#tried\">Each one with its time is below.</a>",
        time((to - from) as f64),
        escape(&calm.route),
        counted(ways.len(), "way"),
        counted(usize::try_from(struck).unwrap_or(usize::MAX), "call"),
        kinds(&ways),
    )
}

/// What the ways have in common.
fn kinds(ways: &[&str]) -> String {
    let kinds = [
        ("no answer", "is answered|no connection"),
        ("slow answers", "later"),
        ("error statuses", "answered with"),
        ("resets", "is reset before|is reset after"),
        ("damaged answers", "answer is"),
        ("answers that end early", "ends after"),
        ("answers that dribble or stop", "pieces|stops"),
    ];
    let is_there = |words: &str| {
        ways.iter().any(|way| {
            let mut words = words.split('|');
            words.any(|word| match word {
                "is answered" => way.starts_with("no call"),
                word => way.contains(word),
            })
        })
    };
    let told = kinds
        .iter()
        .filter(|(_, words)| is_there(words))
        .map(|(kind, _)| *kind);
    told.collect::<Vec<_>>().join(", ")
}

fn noticed(own: &[&ExperimentRecord], budget: &str) -> String {
    let sum = |of: fn(&ExperimentRecord) -> usize| own.iter().map(|it| of(it)).sum::<usize>();
    let pages = sum(|it| it.pages) - sum(|it| it.seen.left);
    let failed = sum(|it| it.seen.failed);
    let degraded = sum(|it| it.seen.degraded);
    let late = sum(|it| it.seen.late);
    let Some(longest) = own
        .iter()
        .max_by(|one, other| one.seen.page_max_ms.total_cmp(&other.seen.page_max_ms))
    else {
        return "Nobody.".to_owned();
    };
    let mut told = vec![format!(
        "Users asked for {}: {} failed, {} came from a fallback, {} took longer than {}.",
        counted(pages, "page"),
        none(failed),
        none(degraded),
        none(late),
        escape(budget)
    )];
    if late > 0 {
        let end = match longest
            .seen
            .exemplar
            .as_ref()
            .is_some_and(|it| it.took_ms.is_none())
        {
            true => "had not ended after",
            false => "took",
        };
        told.push(format!(
            "The longest {end} {} ({}).",
            time(longest.seen.page_max_ms),
            escape(&longest.fault)
        ));
    }
    for (what, of) in [
        (
            "Pages failed",
            (|it| it.seen.failed) as fn(&ExperimentRecord) -> usize,
        ),
        ("Pages were late", |it| it.seen.late),
    ] {
        let mut ways: BTreeMap<&str, usize> = BTreeMap::new();
        for it in own.iter().filter(|it| of(it) > 0) {
            *ways.entry(it.fault.as_str()).or_default() += of(it);
        }
        let mut ways: Vec<(&str, usize)> = ways.into_iter().collect();
        ways.sort_by_key(|(_, pages)| Reverse(*pages));
        let ways: Vec<String> = ways
            .into_iter()
            .map(|(way, pages)| format!("{way} ({pages})"))
            .collect();
        if !ways.is_empty() {
            told.push(format!("{what} where {}.", listed(&ways, "; ")));
        }
    }
    told.join(" ")
}

/// The first few by name.
fn listed(ways: &[String], between: &str) -> String {
    let more = match ways.len().saturating_sub(WAYS_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    escape(&ways[..ways.len().min(WAYS_MAX)].join(between)) + &more
}

/// Whether a fault struck an attempt, and another for the same that came behind it was well.
fn is_repeated(failed: &ExemplarAttempt, all: &[ExemplarAttempt]) -> bool {
    let is_same = |it: &ExemplarAttempt| (&it.method, &it.path) == (&failed.method, &failed.path);
    let is_behind = |it: &ExemplarAttempt| it.from_ms >= failed.to_ms && !it.struck;
    failed.struck && all.iter().any(|it| is_same(it) && is_behind(it))
}

fn saved(own: &[&ExperimentRecord]) -> String {
    let sum = |of: fn(&ExperimentRecord) -> usize| own.iter().map(|it| of(it)).sum::<usize>();
    let degraded = sum(|it| it.seen.degraded);
    let failed = sum(|it| it.seen.failed);
    // A page that is whole though one of its attempts failed, and another for the same did not.
    let retried = own.iter().filter(|it| {
        let saved = it.seen.exemplar.as_ref().filter(|page| {
            let good = page.status.is_some_and(|it| it < 300) && !page.degraded;
            good && page
                .attempts
                .iter()
                .any(|it| is_repeated(it, &page.attempts))
        });
        saved.is_some() && matches!(it.id.as_str(), "S2" | "S3" | "S11" | "S14" | "S24" | "S23")
    });
    let mut ways: Vec<String> = retried.map(|it| it.fault.clone()).collect();
    ways.sort_unstable();
    ways.dedup();
    let retries = match ways.is_empty() {
        true => "No retry was seen to help a page.".to_owned(),
        false => format!(
            "A retry answered pages where {}.",
            listed(&ways, "; or where ")
        ),
    };
    let fallback = match degraded {
        0 => "No page was seen to be served by a fallback.".to_owned(),
        pages => format!(
            "A fallback: {} came without what the dependency gives.",
            counted(pages, "page")
        ),
    };
    let nothing = match failed {
        0 => String::new(),
        pages => format!(" Nothing helped {}: they failed.", counted(pages, "page")),
    };
    format!("{fallback} {retries}{nothing}")
}

fn none(count: usize) -> String {
    match count {
        0 => "none".to_owned(),
        more => more.to_string(),
    }
}
