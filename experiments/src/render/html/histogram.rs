//! Waits between attempts as a histogram.

use super::Page;
use crate::render::evidence::counted;

/// Bars of a histogram.
const BARS: usize = 10;
/// Of fewer waits there is none.
pub(super) const WAITS_MIN: usize = 3;

/// How long the client waited between attempts, shortest first.
pub(super) fn write(page: &mut Page, waits: &[f64]) {
    let longest = waits.iter().copied().fold(0.0, f64::max);
    if waits.len() < WAITS_MIN || longest <= 0.0 {
        return;
    }
    let step = nice(longest / BARS as f64);
    let mut counts = vec![0_usize; BARS + 2];
    for wait in waits {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below the count of bars"
        )]
        let place = (wait.max(0.0) / step) as usize;
        let last = counts.len() - 1;
        counts[place.min(last)] += 1;
    }
    while counts.last() == Some(&0) {
        counts.pop();
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    page.put(format_args!(
        "<figure>\n<figcaption>{}: from the end of an attempt to the start of the next.</figcaption>\n<table class=\"waterfall waits\">\n\
         <thead><tr><th scope=\"col\">waited</th><th scope=\"col\" class=\"n\">times</th><th class=\"bars\" aria-hidden=\"true\"></th></tr></thead>\n<tbody>\n",
        counted(waits.len(), "wait")
    ));
    for (index, count) in counts.iter().enumerate() {
        let from = index as f64 * step;
        page.put(format_args!(
            "<tr><th scope=\"row\">{from} to {} ms</th><td class=\"n\">{count}</td>\
             <td class=\"bars\" aria-hidden=\"true\">{}</td></tr>\n",
            from + step,
            match *count {
                0 => String::new(),
                some => format!(
                    "<span class=\"bar typical\" style=\"width:{:.1}%\"></span>",
                    some as f64 / most as f64 * 100.0
                ),
            }
        ));
    }
    page.put(format_args!("</tbody></table>\n</figure>\n"));
}

/// The next of 1, 2 and 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1.0).log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|it| it * power >= step);
    factor.unwrap_or(10.0) * power
}
