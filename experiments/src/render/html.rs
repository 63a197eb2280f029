//! A run as one HTML page that needs no network: everything is in it, and it is below 1 MB.

mod audit;
mod charts;
mod hypotheses;
mod latency;
mod timeline;
mod truth;

pub use self::audit::audit_html;

use std::fmt::Write as _;

use super::span;
use crate::run::{Exemplar, JudgementVerdict, PhaseKind, RunRecord, Verdict};

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");
/// The result as JSON is left out of the page where it is longer.
const JSON_BYTES_MAX: usize = 400 * 1024;

/// A run as one HTML page, for a person who was not there.
#[must_use]
pub fn html(record: &RunRecord) -> String {
    let mut page = Page(String::new());
    let run = &record.run;
    page.put(format_args!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        record.verdict.word(),
        escape(&run.title)
    ));
    verdict(&mut page, record);
    page.put(format_args!("<main>\n"));
    summary(&mut page, record);
    hypotheses::write(&mut page, record);
    timeline::write(&mut page, record);
    latency::write(&mut page, record);
    truth::write(&mut page, record);
    exemplars(&mut page, record);
    reproduce(&mut page, record);
    page.put(format_args!("</main>\n"));
    json(&mut page, record);
    page.put(format_args!(
        "<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    ));
    page.0
}

fn verdict(page: &mut Page, record: &RunRecord) {
    let run = &record.run;
    let class = match record.verdict {
        Verdict::Passed => "good",
        Verdict::Failed | Verdict::FaultsLeft | Verdict::Halted => "bad",
        Verdict::SteadyNotMet | Verdict::Inconclusive | Verdict::Interrupted => "unsure",
    };
    page.put(format_args!(
        "<header class=\"{class}\">\n<p class=\"kicker\">brownout experiment · {}</p>\n<h1>{}</h1>\n\
         <p class=\"verdict\"><strong>{}</strong> {}</p>\n",
        escape(&run.name),
        escape(&run.title),
        record.verdict.word(),
        marked(record.sentence.split_once(": ").map_or(record.sentence.as_str(), |(_, rest)| rest))
    ));
    let because = run.because.as_ref();
    if let Some(because) = because {
        page.put(format_args!(
            "<p class=\"because\">Why this is tested: {}</p>\n",
            escape(because)
        ));
    }
    page.put(format_args!(
        "<p class=\"facts\">{} · took {} · exit code {}</p>\n</header>\n",
        escape(&run.started_at),
        span(record.length_ms / 1_000 * 1_000),
        record.exit_code
    ));
}

/// What broke, when, who noticed and what saved the page: in sentences.
fn summary(page: &mut Page, record: &RunRecord) {
    page.put(format_args!("<section aria-labelledby=\"story\">\n<h2 id=\"story\">What happened</h2>\n<ol class=\"story\">\n"));
    let load = record.run.load_name.as_deref();
    page.put(format_args!(
        "<li>Load: {}.</li>\n",
        escape(&record.run.load)
    ));
    if let Some(watch) = &record.run.watch {
        page.put(format_args!(
            "<li>Watched besides: {}.</li>\n",
            escape(watch)
        ));
    }
    let steady = record.phases.iter().find(|it| it.kind == PhaseKind::Steady);
    let steady = steady.and_then(|it| it.hops.iter().find(|hop| Some(hop.hop.as_str()) == load));
    if let Some(hop) = steady {
        page.put(format_args!(
            "<li>Before any fault, {} served {} pages: {} failed, the median took {} and the 99th percentile {}.</li>\n",
            escape(&hop.hop),
            hop.requests,
            super::markdown::percent(hop.error_rate),
            super::markdown::at(hop, 0.5),
            super::markdown::at(hop, 0.99)
        ));
    }
    for phase in record
        .phases
        .iter()
        .filter(|it| it.kind == PhaseKind::Fault)
    {
        let faults = record.faults.iter().filter(|it| it.phase == phase.name);
        let broke: Vec<String> = faults
            .map(|it| match it.injected() {
                0 => format!("{} (never struck)", it.what),
                count => format!("{} (struck {count} times)", it.what),
            })
            .collect();
        let broke = if broke.is_empty() {
            "nothing".to_owned()
        } else {
            broke.join("; ")
        };
        let hop = phase.hops.iter().find(|hop| Some(hop.hop.as_str()) == load);
        let noticed = hop.map_or_else(String::new, |hop| {
            let degraded = hop.degraded_rate.filter(|it| *it > 0.0);
            let saved = degraded.map_or_else(String::new, |share| {
                format!(
                    "; {} of the answers were a fallback",
                    super::markdown::percent(share)
                )
            });
            format!(
                " Users of {}: {} of {} pages failed, the 99th percentile took {}{saved}.",
                hop.hop,
                super::markdown::percent(hop.error_rate),
                hop.requests,
                super::markdown::at(hop, 0.99)
            )
        });
        let watched = phase
            .hops
            .iter()
            .find(|hop| hop.is_load && Some(hop.hop.as_str()) != load);
        let meanwhile = watched.map_or_else(String::new, |hop| {
            format!(
                " The watched endpoint meanwhile: {} of {} requests failed, the median took {} and the 99th percentile {}.",
                super::markdown::percent(hop.error_rate),
                hop.requests,
                super::markdown::at(hop, 0.5),
                super::markdown::at(hop, 0.99)
            )
        });
        page.put(format_args!(
            "<li><strong>{}</strong>, from {} on: {}.{}{}</li>\n",
            escape(&phase.name),
            span(phase.from_ms / 100 * 100),
            escape(&broke),
            escape(&noticed),
            escape(&meanwhile)
        ));
    }
    if let Some((guard, observed)) = &record.guard {
        page.put(format_args!(
            "<li>The guard <code>{}</code> stopped the run: it was {}.</li>\n",
            escape(guard),
            escape(observed)
        ));
    }
    let all = record.deciding().count();
    let failed = record.judged(JudgementVerdict::Failed).count();
    let unsure = record.judged(JudgementVerdict::Inconclusive).count();
    page.put(format_args!(
        "<li>{} of {all} checks held{}{}.</li>\n</ol>\n",
        all - failed - unsure,
        if failed > 0 {
            format!(", {failed} did not")
        } else {
            String::new()
        },
        if unsure > 0 {
            format!(", {unsure} could not be told")
        } else {
            String::new()
        }
    ));
    for note in &record.notes {
        page.put(format_args!("<p class=\"note\">{}</p>\n", escape(note)));
    }
    page.put(format_args!("</section>\n"));
}

fn exemplars(page: &mut Page, record: &RunRecord) {
    if record.exemplars.is_empty() {
        return;
    }
    page.put(format_args!(
        "<section aria-labelledby=\"pages\">\n<h2 id=\"pages\">Pages worth a look</h2>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"pages\"><table>\n\
         <thead><tr><th scope=\"col\">phase</th><th scope=\"col\">page</th><th scope=\"col\">ended with</th>\
         <th scope=\"col\" class=\"n\">took</th><th scope=\"col\">trace</th></tr></thead>\n<tbody>\n"
    ));
    for it in &record.exemplars {
        page.put(format_args!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{} ms</td><td>{}</td></tr>\n",
            escape(&it.phase),
            escape(&it.why),
            escape(&it.outcome),
            it.latency_ms,
            trace(record, it)
        ));
    }
    page.put(format_args!("</tbody></table></div>\n</section>\n"));
}

fn trace(record: &RunRecord, exemplar: &Exemplar) -> String {
    match (&exemplar.trace_id, &record.run.traces) {
        (Some(id), Some(url)) => {
            let url = url.replace("{trace_id}", id);
            format!(
                "<a href=\"{}\"><code>{}</code></a>",
                escape(&url),
                escape(id)
            )
        }
        (Some(id), None) => format!("<code>{}</code>", escape(id)),
        (None, _) => "none".to_owned(),
    }
}

fn reproduce(page: &mut Page, record: &RunRecord) {
    let run = &record.run;
    page.put(format_args!(
        "<section aria-labelledby=\"again\">\n<h2 id=\"again\">Do it again</h2>\n<pre><code>{}</code></pre>\n<dl>\n",
        escape(&run.reproduce)
    ));
    let seed = run.seed.to_string();
    let facts = [
        ("file", run.file.as_str()),
        ("seed", &seed),
        ("brownout", &run.brownout),
        ("commit", run.commit.as_deref().unwrap_or("not told")),
        ("control API", &run.control),
        ("owner", run.owner.as_deref().unwrap_or("not told")),
    ];
    for (name, value) in facts {
        page.put(format_args!(
            "<div><dt>{name}</dt><dd>{}</dd></div>\n",
            escape(value)
        ));
    }
    page.put(format_args!(
        "</dl>\n<p class=\"note\">Latencies are counted from the time at which a page was to be sent, so waiting before \
         sending is not hidden. Numbers of routes are counted by the proxy, ten times a second.</p>\n</section>\n"
    ));
}

/// The result for other programs.
fn json(page: &mut Page, record: &RunRecord) {
    let text = serde_json::to_string(record).expect("a record is JSON");
    if text.len() <= JSON_BYTES_MAX {
        // Nothing in it may begin or end an element.
        let text = text.replace('<', "\\u003c");
        page.put(format_args!(
            "<script type=\"application/json\" id=\"result\">{text}</script>\n"
        ));
    }
}

/// A page as it is written.
struct Page(String);

impl Page {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a String takes everything");
    }
}

/// Text that is no markup, with what stands between backticks as code.
fn marked(text: &str) -> String {
    let mut parts = text.split('`');
    let mut marked = escape(parts.next().unwrap_or_default());
    let mut is_code = true;
    for part in parts {
        marked.push_str(if is_code { "<code>" } else { "</code>" });
        marked.push_str(&escape(part));
        is_code = !is_code;
    }
    if !is_code {
        marked.push_str("</code>");
    }
    marked
}

/// Text that is no markup, also in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
