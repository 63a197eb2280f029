//! The table of what was expected.

use super::{Page, escape, story};
use crate::run::{JudgementVerdict, RunRecord};

pub(super) fn write(page: &mut Page, record: &RunRecord) {
    if record.judgements.is_empty() {
        return;
    }
    // A column in which nothing stands only takes room.
    let has_baseline = record.deciding().any(|it| it.baseline.is_some());
    page.put(format_args!(
        "<section aria-labelledby=\"expected\">\n<h2 id=\"expected\">What was expected</h2>\n\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"expected\"><table class=\"stack expected\">\n\
         <thead><tr><th scope=\"col\">verdict</th><th scope=\"col\">phase</th><th scope=\"col\">expectation</th>\
         <th scope=\"col\">observed</th><th scope=\"col\">limit</th>{}\
         <th scope=\"col\" class=\"n\">room</th><th scope=\"col\" class=\"n\">requests</th></tr></thead>\n<tbody>\n",
        if has_baseline { "<th scope=\"col\">baseline</th>" } else { "" }
    ));
    for it in record.deciding() {
        let (class, word) = match it.verdict {
            JudgementVerdict::Passed => ("good", "✓ held"),
            JudgementVerdict::Failed => ("bad", "✗ failed"),
            JudgementVerdict::Inconclusive => ("unsure", "? unknown"),
        };
        let line = match it.line {
            0 => String::new(),
            line => format!("<span class=\"line\">line {line}</span>"),
        };
        let why = it.why.as_ref().map_or_else(String::new, |why| {
            format!("<span class=\"why\">{}</span>", escape(why))
        });
        let interval = it.interval.as_ref().map_or_else(String::new, |interval| {
            let unproven = match it.proven {
                Some(false) => ". The limit lies in it: too few requests to prove it",
                Some(true) | None => "",
            };
            format!(
                "<span class=\"line\">true value: {}{unproven}</span>",
                escape(interval)
            )
        });
        let proven = match it.proven {
            Some(false) => " <span class=\"badge unsure\">not proven</span>",
            Some(true) | None => "",
        };
        let phase = match story::place_of(record, &it.phase) {
            Some(place) => format!("<a href=\"#{place}\">{}</a>", escape(&it.phase)),
            None => escape(&it.phase),
        };
        // Room of more than ten times the threshold says no more than that.
        let margin = it.margin.filter(|it| it.abs() < 10.0);
        let margin = margin.map_or_else(String::new, room);
        let samples = match it.samples {
            0 => String::new(),
            count => count.to_string(),
        };
        page.put(format_args!(
            "<tr class=\"{class}\"><td class=\"wide\"><span class=\"badge {class}\">{word}</span>{proven}</td>\
             <td data-label=\"phase\">{phase}</td>\
             <td class=\"wide\" data-label=\"expectation\"><code>{}</code>{line}{why}</td>\
             <td class=\"wide\" data-label=\"observed\">{}{interval}</td><td data-label=\"limit\">{}</td>\
             {}<td class=\"n\" data-label=\"room\">{margin}</td>\
             <td class=\"n\" data-label=\"requests\">{samples}</td></tr>\n",
            escape(&it.text),
            escape(&it.observed),
            // The sign of a comparison stays with its number.
            escape(&it.expected.replacen(' ', "\u{a0}", 1)),
            match has_baseline {
                true => format!(
                    "<td data-label=\"baseline\">{}</td>",
                    escape(it.baseline.as_deref().unwrap_or_default())
                ),
                false => String::new(),
            }
        ));
    }
    page.put(format_args!(
        "</tbody></table></div>\n<p class=\"note\">Room: how far the observed value is from the limit, as a share of the limit; \
         negative where it missed. True value: the range in which the share of all such requests lies, at the file's confidence \
         (95 % unless it says otherwise). An expectation is judged by the observed value. Rows that say \u{201c}was injected\u{201d} are checks that \
         every run makes.</p>\n</section>\n"
    ));
}

/// A share of the limit, so that a small one is not rounded to twice its size.
fn room(margin: f64) -> String {
    let percent = margin * 100.0;
    match percent.abs() < 9.95 {
        true => format!("{percent:+.1} %"),
        false => format!("{percent:+.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn room_of_half_a_percent_is_not_told_as_one() {
        assert_eq!(room(0.005_025), "+0.5 %");
        assert_eq!(room(-0.251), "-25 %");
        assert_eq!(room(1.0), "+100 %");
    }
}
