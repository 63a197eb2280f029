//! Writing values the way a policy file has them.

use std::{fmt::Debug, ops::RangeInclusive, time::Duration};

/// Whole milliseconds in the largest unit that is exact and short: `2m`, `1.5s`, `250ms`.
pub(super) fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1000, "s")] {
        if ms.is_multiple_of(unit) {
            return format!("{}{name}", ms / unit);
        }
    }
    if ms > 1000 {
        let thousandths = format!("{:03}", ms % 1000);
        return format!("{}.{}s", ms / 1000, thousandths.trim_end_matches('0'));
    }
    format!("{ms}ms")
}

pub(super) fn duration_or_none(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "none".to_owned(), duration)
}

/// A list of texts; their quoting is TOML's as well, since none holds anything but letters, digits and `_-*`.
pub(super) fn list(words: &[impl Debug]) -> String {
    format!("{words:?}")
}

/// What is wrong with a duration that should be in this range, if anything is.
pub(super) fn outside(value: Duration, range: RangeInclusive<Duration>) -> Option<String> {
    if !value.subsec_nanos().is_multiple_of(1_000_000) {
        return Some(format!("{value:?} is finer than a millisecond"));
    }
    (!range.contains(&value)).then(|| {
        let (low, high) = range.into_inner();
        let [value, low, high] = [value, low, high].map(duration);
        format!("{value} is outside {low} to {high}")
    })
}

/// What is wrong with a number that should be in this range, if anything is.
pub(super) fn beyond<T: Copy + PartialOrd + Debug>(
    value: T,
    range: RangeInclusive<T>,
) -> Option<String> {
    let (low, high) = (range.start(), range.end());
    (!range.contains(&value)).then(|| format!("{value:?} is outside {low:?} to {high:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_the_largest_exact_unit() {
        let cases = [
            (0, "0s"),
            (1, "1ms"),
            (500, "500ms"),
            (1500, "1.5s"),
            (1234, "1.234s"),
            (30_000, "30s"),
            (90_000, "90s"),
            (120_000, "2m"),
            (3_600_000, "1h"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
    }
}
