//! Durations, sizes and rates as text: `"250ms"`, `"1.5s"`, `"64KiB"`, `"1MB/s"`.

mod bytes;

pub use self::bytes::{SIZE_MAX, byte_count, parse_size, rate, show_rate, show_size, size};

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;

use crate::read::{Problem, expected, shorten};

/// The longest span of time that is accepted anywhere: 365 days.
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Reads a duration written as text.
///
/// # Errors
/// When it is a bare number (a unit must be said), negative, over [`DURATION_MAX`] or no duration at all.
pub fn duration(value: &Value) -> Result<Duration, Problem> {
    match value {
        Value::String(text) => parse_duration(text).map_err(Problem::here),
        Value::Number(number) => Err(Problem::here(format!(
            "{number} has no unit; write \"{number}ms\" or \"{number}s\""
        ))),
        other => Err(expected("a duration such as \"250ms\"", other)),
    }
}

/// Reads a duration from 1 to `max`, for parameters where zero means nothing.
///
/// # Errors
/// As [`duration`], and when it is zero or above `max`.
pub fn duration_up_to(max: Duration) -> impl Fn(&Value) -> Result<Duration, Problem> {
    move |value| {
        let read = duration(value)?;
        if read.is_zero() {
            return Err(Problem::here("must be longer than 0s"));
        }
        if read > max {
            return Err(Problem::here(format!(
                "{} is above {}",
                show_duration(read),
                show_duration(max)
            )));
        }
        Ok(read)
    }
}

/// The word for a hold that lasts until its fault is removed.
const UNTIL_REMOVED: &str = "until_removed";

/// Reads how long something is held, up to `max`: `None` for until the fault is removed.
///
/// # Errors
/// As [`duration_up_to`].
pub(crate) fn hold_up_to(max: Duration) -> impl Fn(&Value) -> Result<Option<Duration>, Problem> {
    move |value| {
        if value == UNTIL_REMOVED {
            return Ok(None);
        }
        let read = duration_up_to(max)(value).map(Some);
        read.map_err(|problem| Problem::here(format!("{}, or \"{UNTIL_REMOVED}\"", problem.detail)))
    }
}

/// What [`hold_up_to`] reads.
pub(crate) fn show_hold(hold: Option<Duration>) -> String {
    hold.map_or_else(|| UNTIL_REMOVED.to_owned(), show_duration)
}

/// Parses a duration such as `250ms`, `1.5s` or `2m`.
///
/// # Errors
/// A sentence that says what is wrong, for a person.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let bare = !trimmed.is_empty() && trimmed.chars().all(|c| c.is_ascii_digit() || c == '.');
    if bare {
        return Err(format!(
            "`{}` has no unit; write \"{trimmed}ms\" or \"{trimmed}s\"",
            shorten(text)
        ));
    }
    let parsed: SignedDuration = trimmed.parse().map_err(|_| {
        format!(
            "`{}` is not a duration; write it like \"250ms\", \"1.5s\" or \"2m\"",
            shorten(text)
        )
    })?;
    let duration =
        Duration::try_from(parsed).map_err(|_| format!("`{}` is negative", shorten(text)))?;
    if duration > DURATION_MAX {
        return Err(format!("`{}` is above 365 days", shorten(text)));
    }
    Ok(duration)
}

/// Writes a duration in the largest unit that keeps it short and exact: `2m`, `1.5s`, `250ms`, `80us`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (unit, name) in UNITS {
        // Hours and minutes only when whole: 90 minutes read better as `90m` than as `1.5h`.
        let fraction_allowed = unit <= 1_000_000_000;
        let thousandths_exact = nanos.is_multiple_of(unit / 1_000);
        if nanos >= unit && (nanos.is_multiple_of(unit) || (fraction_allowed && thousandths_exact))
        {
            let (whole, rest) = (nanos / unit, nanos % unit);
            if rest == 0 {
                return format!("{whole}{name}");
            }
            let thousandths = format!("{:03}", rest / (unit / 1_000));
            return format!("{whole}.{}{name}", thousandths.trim_end_matches('0'));
        }
    }
    format!("{nanos}ns")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_text_with_a_unit() {
        let cases = [
            ("250ms", 250_000),
            ("1.5s", 1_500_000),
            ("2m", 120_000_000),
            ("80us", 80),
            ("0s", 0),
            ("1h30m", 5_400_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_micros(micros)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_a_hint() {
        let number = duration(&json!(250)).unwrap_err().detail;
        let text = duration(&json!("250")).unwrap_err().detail;

        assert_eq!(number, "250 has no unit; write \"250ms\" or \"250s\"");
        assert_eq!(text, "`250` has no unit; write \"250ms\" or \"250s\"");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "abc", "-1s", "NaN", "inf", "1e400s", "999999d", "1.5.2s", "ms",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_in_the_shortest_exact_unit() {
        let cases = [
            (0, "0s"),
            (80, "80us"),
            (250_000, "250ms"),
            (1_500_000, "1.5s"),
            (120_000_000, "2m"),
            (90_000_000, "90s"),
            (3_600_000_000, "1h"),
            (1_234_567, "1234.567ms"),
        ];
        for (micros, text) in cases {
            assert_eq!(show_duration(Duration::from_micros(micros)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same_duration(nanos in 0u64..31_536_000_000_000_000) {
            let duration = Duration::from_nanos(nanos);

            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
    }
}
