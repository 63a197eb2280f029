//! A run as one HTML page that needs no network: everything is in it, and it is below 1 MB.

mod audit;
mod charts;
mod histogram;
mod hypotheses;
mod latency;
mod map;
mod phases;
mod story;
mod timeline;
mod truth;
mod words;

pub use self::audit::audit_html;

use std::fmt::Write as _;

use super::span;
use crate::run::{Exemplar, RunRecord, Verdict};

const STYLE: &str = include_str!("html/style.css");
/// Of tables whose last column is a bar.
const BARS_STYLE: &str = include_str!("html/bars.css");
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
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}: {}</title>\n<style>\n{STYLE}{BARS_STYLE}</style>\n</head>\n<body>\n",
        record.verdict.word(),
        escape(&run.title)
    ));
    verdict(&mut page, record);
    page.put(format_args!("<main>\n"));
    let fallback = record
        .account
        .as_ref()
        .and_then(|it| it.fallback.as_deref());
    words::write(&mut page, &words::of_run(fallback));
    story::write(&mut page, record);
    map::write(&mut page, record);
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
    let unproven = record
        .expectations()
        .filter(|it| it.proven == Some(false))
        .count();
    let badge = match unproven {
        0 => String::new(),
        some => format!(
            " <span class=\"badge unsure\">{some} of {} not proven</span>",
            record.expectations().count()
        ),
    };
    page.put(format_args!(
        "<header class=\"{class}\">\n<p class=\"kicker\">brownout experiment · {}</p>\n<h1>{}</h1>\n\
         <p class=\"verdict\"><strong>{}</strong>{badge} {}</p>\n",
        escape(&run.name),
        escape(&run.title),
        capital(record.verdict),
        marked(record.sentence.split_once(": ").map_or(record.sentence.as_str(), |(_, rest)| rest))
    ));
    story::headline(page, record);
    let because = run.because.as_ref();
    if let Some(because) = because {
        page.put(format_args!(
            "<p class=\"because\">Why this is tested: {}</p>\n",
            escape(because)
        ));
    }
    page.put(format_args!(
        "<p class=\"facts\">began {} · took {} · exit code {}</p>\n</header>\n",
        escape(&story::began(record)),
        span((record.length_ms + 500) / 1_000 * 1_000),
        record.exit_code
    ));
}

/// The verdict as the beginning of a sentence.
fn capital(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "Passed:",
        Verdict::Failed => "Failed:",
        Verdict::SteadyNotMet => "Not started:",
        Verdict::Inconclusive => "Inconclusive:",
        Verdict::Halted => "Halted:",
        Verdict::FaultsLeft => "Faults left:",
        Verdict::Interrupted => "Interrupted:",
    }
}

fn exemplars(page: &mut Page, record: &RunRecord) {
    if record.exemplars.is_empty() {
        return;
    }
    page.put(format_args!(
        "<section aria-labelledby=\"pages\">\n<h2 id=\"pages\">Pages worth a look</h2>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"pages\"><table class=\"stack\">\n\
         <thead><tr><th scope=\"col\">phase</th><th scope=\"col\">page</th><th scope=\"col\">ended with</th>\
         <th scope=\"col\" class=\"n\">took</th><th scope=\"col\">trace</th></tr></thead>\n<tbody>\n"
    ));
    for it in &record.exemplars {
        page.put(format_args!(
            "<tr><td class=\"head\">{}</td><td data-label=\"page\">{}</td><td data-label=\"ended with\">{}</td>\
             <td class=\"n\" data-label=\"took\">{}</td><td class=\"wide\" data-label=\"trace\">{}</td></tr>\n",
            escape(&it.phase),
            escape(match it.why.as_str() {
                "typical" => "median",
                why => why,
            }),
            escape(&it.outcome),
            story::length(it.latency_ms),
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
        ("commit", run.commit.as_deref().unwrap_or("not given")),
        ("control API", &run.control),
        ("owner", run.owner.as_deref().unwrap_or("not given")),
    ];
    for (name, value) in facts {
        page.put(format_args!(
            "<div><dt>{name}</dt><dd>{}</dd></div>\n",
            escape(value)
        ));
    }
    page.put(format_args!(
        "</dl>\n<p class=\"note\">All times are since the run began, on one clock, unless they say UTC.</p>\n</section>\n"
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
