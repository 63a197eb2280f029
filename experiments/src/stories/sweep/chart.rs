//! A sweep for a person.

use std::fmt::Write as _;

use super::{Bisection, Edge, Scale};

/// The longest bar, in columns.
const BAR: f64 = 40.0;

/// What was tried, a line each with a bar as long as its value on a logarithmic scale, and what was found.
#[must_use]
pub fn chart(sweep: &Bisection, over: &str, scale: Scale) -> String {
    let points = sweep.points();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return format!("nothing was tried of {over}\n");
    };
    let whole = (last.value / first.value).ln().max(f64::MIN_POSITIVE);
    let widest = points
        .iter()
        .map(|it| scale.show(it.value).len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for point in points {
        let share = (point.value / first.value).ln() / whole;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the columns"
        )]
        let columns = (share * (BAR - 1.0)).round() as usize + 1;
        let (bar, word) = if point.holds {
            ("█", "holds")
        } else {
            ("░", "breaks")
        };
        writeln!(
            text,
            "  {:>widest$}  {:<40}  {word:<6}  {}",
            scale.show(point.value),
            bar.repeat(columns),
            point.observed
        )
        .expect("a String takes everything");
    }
    let show = |value: f64| scale.show(value);
    let found = match sweep.edge() {
        Edge::Above(safe, breaks) => {
            format!("safe to {}; at {} it breaks", show(safe), show(breaks))
        }
        Edge::Below(breaks, safe) => {
            format!("safe from {} on; at {} it breaks", show(safe), show(breaks))
        }
        Edge::Holds => format!("safe from {} to {}", show(first.value), show(last.value)),
        Edge::Fails => format!(
            "breaks at {} and at {}",
            show(first.value),
            show(last.value)
        ),
    };
    writeln!(text, "{over}: {found}").expect("a String takes everything");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stories::sweep::Range;

    #[test]
    fn the_chart_says_what_is_safe() {
        let range = Range::parse("50ms..2s").unwrap();
        let mut sweep = Bisection::of(range);
        while let Some(place) = sweep.next() {
            let holds = sweep.value(place) < 0.64;
            sweep.tell(place, holds, "p99 1s".to_owned());
        }

        let text = chart(&sweep, "fault.latency", range.scale);

        let last = text.lines().last().unwrap();
        assert_eq!(last, "fault.latency: safe to 632ms; at 669ms it breaks");
        assert_eq!(text.lines().count(), 9);
    }
}
