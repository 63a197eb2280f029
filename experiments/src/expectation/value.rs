//! Units of measures, and numbers with units as text.

use std::time::Duration;

use brownout_fault::units::parse_duration;

/// The unit of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Part of a whole, from 0 to 1; written `99.5%`.
    Share,
    /// Seconds; written `300ms`.
    Time,
    /// Per second; written `100/s`.
    Rate,
    /// A number without a unit.
    Count,
}

impl Unit {
    /// Reads a number with this unit, in the base unit.
    ///
    /// # Errors
    /// A sentence that says what would be accepted.
    pub(super) fn parse(self, word: &str) -> Result<f64, String> {
        let plain = |digits: &str| {
            digits
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|it| it.is_finite())
        };
        match self {
            Self::Share => word
                .strip_suffix('%')
                .and_then(plain)
                .filter(|it| (0.0..=100.0).contains(it))
                .map(|it| it / 100.0)
                .ok_or_else(|| format!("`{word}` is not a share; write it like 99.5%")),
            Self::Time => parse_duration(word).map(|it| it.as_secs_f64()),
            Self::Rate => {
                let per = [("/s", 1.0), ("/m", 60.0)];
                let read = per.iter().find_map(|(suffix, seconds)| {
                    let number = plain(word.strip_suffix(suffix)?)?;
                    (number >= 0.0).then_some(number / seconds)
                });
                read.ok_or_else(|| format!("`{word}` is not a rate; write it like 100/s"))
            }
            Self::Count => plain(word)
                .filter(|it| *it >= 0.0)
                .ok_or_else(|| format!("`{word}` is not a number; write it like 20 or 1.3")),
        }
    }

    /// Shows a number of this unit, short and rounded.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return "none".to_owned();
        }
        match self {
            Self::Share => format!("{}%", rounded(value * 100.0)),
            Self::Time => show_seconds(value),
            Self::Rate => format!("{}/s", rounded(value)),
            Self::Count => rounded(value),
        }
    }
}

/// `9.5ms`, `118ms`, `5.32s`.
#[must_use]
pub(crate) fn show_seconds(seconds: f64) -> String {
    let ms = seconds * 1_000.0;
    if ms < 10.0 {
        format!("{ms:.1}ms")
    } else if ms < 999.5 {
        format!("{ms:.0}ms")
    } else if seconds < 100.0 {
        format!("{seconds:.2}s")
    } else {
        format!("{seconds:.0}s")
    }
}

/// `1m 20s`, `20s`, `250ms`: a length of time for a person.
pub(crate) fn show_span(span: Duration) -> String {
    if span.subsec_nanos() > 0 {
        return show_seconds(span.as_secs_f64());
    }
    if span.as_secs() < 60 {
        return format!("{}s", span.as_secs());
    }
    match (span.as_secs() / 60, span.as_secs() % 60) {
        (minutes, 0) => format!("{minutes}m"),
        (minutes, seconds) => format!("{minutes}m {seconds}s"),
    }
}

/// Three significant digits or more, without trailing zeros.
fn rounded(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 1,
        size if size >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "" | "-0" => "0".to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_carries_the_unit_of_its_measure() {
        assert_eq!(Unit::Share.parse("99.5%"), Ok(0.995));
        assert_eq!(Unit::Time.parse("300ms"), Ok(0.3));
        assert_eq!(Unit::Rate.parse("120/m"), Ok(2.0));
        assert_eq!(Unit::Count.parse("1.3"), Ok(1.3));
        for (unit, word) in [
            (Unit::Share, "0.995"),
            (Unit::Share, "120%"),
            (Unit::Time, "300"),
            (Unit::Rate, "100"),
            (Unit::Count, "20%"),
            (Unit::Count, "-1"),
            (Unit::Count, "inf"),
        ] {
            assert!(unit.parse(word).is_err(), "{unit:?} {word}");
        }
    }

    #[test]
    fn numbers_are_shown_short() {
        assert_eq!(Unit::Share.show(0.998_7), "99.87%");
        assert_eq!(Unit::Share.show(0.0), "0%");
        assert_eq!(Unit::Share.show(1.0), "100%");
        assert_eq!(Unit::Time.show(0.009_51), "9.5ms");
        assert_eq!(Unit::Time.show(2.1), "2.10s");
        assert_eq!(Unit::Rate.show(99.96), "99.96/s");
        assert_eq!(Unit::Count.show(1998.0), "1998");
        assert_eq!(Unit::Count.show(f64::NAN), "none");
    }

    #[test]
    fn spans_are_shown_for_a_person() {
        let shown =
            [250, 1_000, 20_000, 60_000, 80_000].map(|ms| show_span(Duration::from_millis(ms)));

        assert_eq!(shown, ["250ms", "1s", "20s", "1m", "1m 20s"]);
    }
}
