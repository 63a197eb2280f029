//! Several stories on one page that needs no network: why one goes better than the other.

use std::fmt::Write as _;

use super::html::escape;
use crate::{
    expectation::Unit,
    run::{JudgementVerdict, PhaseKind, RunRecord, TailRecord},
    stories::{Row, StoriesReport, changes, rows, table},
};

const STYLE: &str = include_str!("comparison.css");
/// The charts are so wide, in their own units.
const WIDTH: f64 = 720.0;
/// Each is so high.
const HEIGHT: f64 = 90.0;

/// Several runs on one page: of each story the last one, and of all of them the table. With an earlier report, what has
/// changed since.
#[must_use]
pub fn comparison(report: &StoriesReport, before: Option<&StoriesReport>) -> String {
    let runs = last_runs(report);
    let title = match runs.as_slice() {
        [first, second] => format!("{} against {}", second.run.name, first.run.name),
        several => format!("{} stories side by side", several.len()),
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<p class=\"kicker\">brownout simulate</p>\n<h1>{title}</h1>\n",
        title = escape(&title)
    );
    if let [first, second] = runs.as_slice() {
        put(
            &mut page,
            format_args!(
                "<p class=\"verdict\">{}</p>\n",
                escape(&difference(first, second))
            ),
        );
    }
    page.push_str("</header>\n<main>\n");
    numbers(&mut page, report);
    if let Some(before) = before {
        since(&mut page, report, before);
    }
    timelines(&mut page, &runs);
    expected(&mut page, &runs);
    again(&mut page, &runs);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a String takes everything");
}

/// The last run of each story, in order.
fn last_runs(report: &StoriesReport) -> Vec<&RunRecord> {
    let mut runs: Vec<&RunRecord> = Vec::new();
    for run in &report.runs {
        match runs.iter_mut().find(|it| it.run.name == run.run.name) {
            Some(found) => *found = run,
            None => runs.push(run),
        }
    }
    runs
}

/// Why one run is better or worse than the other, in a sentence.
fn difference(first: &RunRecord, second: &RunRecord) -> String {
    let of = |it: &RunRecord| rows(it).into_iter().next();
    let (Some(was), Some(is)) = (of(first), of(second)) else {
        return String::new();
    };
    let mut parts = Vec::new();
    parts.push(format!(
        "{} serves {} in place of {} pages{}",
        second.run.name,
        is.served,
        was.served,
        ratio(is.served as f64, was.served as f64)
    ));
    if let (Some(is), Some(was)) = (is.calls, was.calls) {
        parts.push(format!(
            "it sends {is} in place of {was} requests to the slow upstream{}",
            ratio(is as f64, was as f64)
        ));
    }
    if let (Some(is), Some(was)) = (is.tail_seconds, was.tail_seconds) {
        parts.push(format!(
            "and leaves it {} in place of {} of work for nobody",
            Unit::Time.show(is),
            Unit::Time.show(was)
        ));
    }
    let reason = because(&was, &is, first, second);
    format!("{}.{reason}", parts.join("; "))
}

/// What breakers did that one run has and the other has not; nothing where that does not tell them apart.
fn because(was: &Row, is: &Row, first: &RunRecord, second: &RunRecord) -> String {
    let (more, less, row, other) = match (was.breakers_opened, is.breakers_opened) {
        (0, opened) if opened > 0 => (second, first, is, was),
        (opened, 0) if opened > 0 => (first, second, was, is),
        _ => return String::new(),
    };
    let mut text = format!(
        " The breakers of {} opened ({} of them): from then on its pages do not call the upstream",
        more.run.name, row.breakers_opened
    );
    if let (Some(with), Some(without)) = (row.p50_ms, other.p50_ms) {
        let show = |ms: f64| Unit::Time.show(ms / 1_000.0);
        write!(
            text,
            ", so half of them take at most {} instead of the {} of {}, which waits for it each time",
            show(with),
            show(without),
            less.run.name
        )
        .expect("a String takes everything");
    }
    text + "."
}

fn ratio(is: f64, was: f64) -> String {
    if was <= 0.0 || is <= 0.0 {
        return String::new();
    }
    match is / was {
        more if more >= 1.5 => format!(" ({more:.1} times as many)"),
        less if less <= 0.67 => format!(" (one in {:.1})", 1.0 / less),
        _ => String::new(),
    }
}

fn numbers(page: &mut String, report: &StoriesReport) {
    page.push_str("<section aria-labelledby=\"numbers\">\n<h2 id=\"numbers\">In numbers</h2>\n<div class=\"scroll\"><table>\n");
    let text = table(&report.groups(), true);
    let lines = text.lines().enumerate();
    let mut cells: Vec<Vec<&str>> = lines
        .filter(|(number, _)| *number != 1) // The rule below the heading of Markdown.
        .map(|(_, line)| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    // Few stories stand beside each other, which a phone has room for.
    if cells.len() <= 4 {
        cells = (0..cells[0].len())
            .map(|at| {
                cells
                    .iter()
                    .filter_map(|row| row.get(at).copied())
                    .collect()
            })
            .collect();
    }
    for (number, row) in cells.iter().enumerate() {
        let cells: String = (row.iter().enumerate())
            .map(|(at, it)| {
                let cell = if number == 0 || at == 0 { "th" } else { "td" };
                format!("<{cell}>{}</{cell}>", escape(it))
            })
            .collect();
        put(page, format_args!("<tr>{cells}</tr>\n"));
    }
    put(
        page,
        format_args!(
            "</table></div>\n<p class=\"note\">{}</p>\n</section>\n",
            escape(super::stories::FOOTNOTE)
        ),
    );
}

fn since(page: &mut String, report: &StoriesReport, before: &StoriesReport) {
    page.push_str("<section aria-labelledby=\"since\">\n<h2 id=\"since\">Since the earlier report</h2>\n<ul>\n");
    let lines = changes(before, report);
    for line in &lines {
        put(page, format_args!("<li>{}</li>\n", escape(line)));
    }
    if lines.is_empty() {
        page.push_str("<li>nothing has changed by more than noise</li>\n");
    }
    page.push_str("</ul>\n</section>\n");
}

/// Pages and calls of each story over the same seconds, at the same heights; and the work for nobody behind them.
fn timelines(page: &mut String, runs: &[&RunRecord]) {
    page.push_str(
        "<section aria-labelledby=\"time\">\n<h2 id=\"time\">Over time, all at one scale</h2>\n\
         <ul class=\"legend\"><li><span class=\"key ok\"></span>whole pages a second</li>\
         <li><span class=\"key degraded\"></span>pages that lack something</li><li><span class=\"key error\"></span>failed</li>\
         <li><span class=\"key calls\"></span>requests a second to the upstream</li>\
         <li><span class=\"key band\"></span>the load is there, and the fault armed</li>\
         <li><span class=\"key tail\"></span>the upstream works for nobody</li></ul>\n",
    );
    let seconds = runs.iter().map(|it| shown_seconds(it)).fold(1.0, f64::max);
    let most = runs.iter().map(|it| most(it)).fold(1.0, f64::max);
    for run in runs {
        put(
            page,
            format_args!(
                "<figure>\n<figcaption><strong>{}</strong> {}</figcaption>\n{}</figure>\n",
                escape(&run.run.name),
                escape(&run.run.title),
                timeline(run, seconds, most)
            ),
        );
    }
    page.push_str("</section>\n");
}

/// A tail is drawn up to three times the length of the load.
fn shown_seconds(run: &RunRecord) -> f64 {
    let load = run
        .phases
        .iter()
        .filter_map(|it| it.to_ms)
        .max()
        .unwrap_or(0) as f64
        / 1_000.0;
    let tail = run.phases.iter().filter_map(|it| it.tail.as_ref());
    let tail = tail.map(TailRecord::total_seconds).fold(0.0, f64::max);
    load + tail.min(2.0 * load)
}

fn most(run: &RunRecord) -> f64 {
    let seconds = run.seconds.iter().filter(|it| is_shown(run, &it.hop));
    seconds.map(|it| it.requests).fold(0.0, f64::max)
}

fn is_shown(run: &RunRecord, hop: &str) -> bool {
    run.run.load_name.as_deref() == Some(hop) || is_upstream(hop)
}

fn is_upstream(hop: &str) -> bool {
    ["recommendations", "primary"].contains(&hop)
}

fn timeline(run: &RunRecord, seconds: f64, most: f64) -> String {
    let x = |second: f64| second / seconds * WIDTH;
    let high = |value: f64| value / most * HEIGHT;
    let rows = rows(run);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">\n",
        HEIGHT + 16.0,
        escape(&described(run, &rows))
    );
    for phase in run.phases.iter().filter(|it| it.kind == PhaseKind::Fault) {
        let armed = run.faults.iter().any(|it| it.phase == phase.name);
        let from = phase.from_ms as f64 / 1_000.0;
        let to = phase.to_ms.unwrap_or(run.length_ms) as f64 / 1_000.0;
        if armed {
            let (left, width) = (x(from), x(to - from));
            put(
                &mut svg,
                format_args!(
                    "<rect class=\"band\" x=\"{left:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{HEIGHT}\"/>\n"
                ),
            );
        }
        if let Some(tail) = &phase.tail {
            let all = tail.total_seconds();
            let width = x(all.min(seconds - to)).max(0.0);
            let goes_on = if all > seconds - to {
                ", far beyond this chart"
            } else {
                ""
            };
            put(
                &mut svg,
                format_args!(
                    "<rect class=\"tail\" x=\"{:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"12\"/>\n\
                     <text x=\"{:.1}\" y=\"{}\">{} for nobody{goes_on}</text>\n",
                    x(to),
                    HEIGHT - 12.0,
                    x(to) + 4.0,
                    HEIGHT - 16.0,
                    Unit::Time.show(all)
                ),
            );
        }
    }
    let load = run.run.load_name.as_deref();
    let wide = (x(1.0) - 0.5).max(0.5);
    for second in run
        .seconds
        .iter()
        .filter(|it| Some(it.hop.as_str()) == load)
    {
        let whole = (second.requests - second.errors - second.degraded).max(0.0);
        let mut top = HEIGHT;
        for (class, value) in [
            ("ok", whole),
            ("degraded", second.degraded),
            ("error", second.errors),
        ] {
            if value > 0.0 {
                top -= high(value);
                put(
                    &mut svg,
                    format_args!(
                        "<rect class=\"{class}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{:.1}\"/>\n",
                        x(f64::from(second.second)),
                        high(value)
                    ),
                );
            }
        }
    }
    let calls = run.seconds.iter().filter(|it| is_upstream(&it.hop));
    let points: Vec<String> = calls
        .map(|it| {
            let at = x(f64::from(it.second) + 0.5);
            format!("{at:.1},{:.1}", HEIGHT - high(it.requests))
        })
        .collect();
    put(
        &mut svg,
        format_args!(
            "<polyline class=\"calls\" points=\"{}\"/>\n<line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{HEIGHT}\" y2=\"{HEIGHT}\"/>\n\
             <text x=\"0\" y=\"{ground}\">0 s</text>\n<text x=\"{WIDTH}\" y=\"{ground}\" text-anchor=\"end\">{seconds:.0} s</text>\n\
             <text x=\"0\" y=\"10\">{most:.0}/s</text>\n</svg>\n",
            points.join(" "),
            ground = HEIGHT + 13.0
        ),
    );
    svg
}

/// A chart in words, for those who do not see it.
fn described(run: &RunRecord, rows: &[Row]) -> String {
    let each = rows.iter().map(|it| {
        let phase = it.phase.as_deref().unwrap_or("in all");
        format!("{phase}: {} served, {} failed", it.served, it.failed)
    });
    let each: Vec<String> = each.collect();
    format!(
        "Pages of {} in each second; {}.",
        run.run.name,
        each.join("; ")
    )
}

fn expected(page: &mut String, runs: &[&RunRecord]) {
    page.push_str("<section aria-labelledby=\"expected\">\n<h2 id=\"expected\">What was expected</h2>\n<div class=\"scroll\"><table class=\"expected\">\n\
                   <tr><th>story</th><th>expectation</th><th>observed</th><th>held to</th><th></th></tr>\n");
    for run in runs {
        for it in run.expectations() {
            let (class, word) = match it.verdict {
                JudgementVerdict::Passed => ("good", "held"),
                JudgementVerdict::Failed => ("bad", "did not hold"),
                JudgementVerdict::Inconclusive => ("unsure", "is not known"),
            };
            put(
                page,
                format_args!(
                    "<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>\n",
                    escape(&run.run.name),
                    escape(&it.text),
                    escape(&it.observed),
                    escape(&it.expected)
                ),
            );
        }
    }
    page.push_str("</table></div>\n</section>\n");
}

fn again(page: &mut String, runs: &[&RunRecord]) {
    page.push_str(
        "<section aria-labelledby=\"again\">\n<h2 id=\"again\">Do it again</h2>\n<pre><code>",
    );
    for run in runs {
        put(page, format_args!("{}\n", escape(&run.run.reproduce)));
    }
    page.push_str("</code></pre>\n</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Event;

    fn run_of(name: &str) -> RunRecord {
        let text = include_str!("../../tests/data/run.jsonl");
        let events: Vec<Event> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let mut record = RunRecord::of(&events).unwrap();
        record.run.name = name.to_owned();
        record
    }

    #[test]
    fn breakers_that_only_one_story_has_are_the_reason() {
        let (first, second) = (run_of("without"), run_of("with"));
        let row = rows(&first).into_iter().next().unwrap();
        let of = |breakers_opened, p50_ms| Row {
            breakers_opened,
            p50_ms: Some(p50_ms),
            ..row.clone()
        };

        let reason = because(&of(0, 595.0), &of(8, 77.0), &first, &second);

        assert_eq!(
            reason,
            " The breakers of with opened (8 of them): from then on its pages do not call the upstream, so half of them \
             take at most 77ms instead of the 595ms of without, which waits for it each time."
        );
        assert_eq!(because(&of(8, 77.0), &of(8, 70.0), &first, &second), "");
        assert_eq!(because(&of(0, 77.0), &of(0, 70.0), &first, &second), "");
    }

    #[test]
    fn two_stories_are_on_one_page_that_needs_no_network() {
        let report = StoriesReport::of(vec![run_of("without"), run_of("with<b>")]);

        let page = comparison(&report, None);

        assert!(page.contains("with&lt;b&gt; against without"), "{page}");
        assert_eq!(page.matches("<svg").count(), 2);
        for forbidden in ["http://www", "https://", "<script", "with<b>"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.len() < 1_000_000);
    }
}
