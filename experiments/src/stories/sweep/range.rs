//! The values that a sweep goes through.

use std::time::Duration;

use brownout_fault::units::{parse_duration, show_duration};

/// From one value to another of the same kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The first, in the base unit of its kind: seconds, a rate in seconds, or a bare number.
    pub from: f64,
    /// The last; above the first.
    pub to: f64,
    /// Their kind.
    pub scale: Scale,
}

/// The kind of values, which says how they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// `50ms`.
    Time,
    /// `100/s`.
    Rate,
    /// `20`.
    Number,
}

impl Range {
    /// Into so many parts a sweep divides a range, each so many times the one before: it is as exact as one of them.
    pub const PARTS: u32 = 64;

    /// Reads `50ms..2s`, `10/s..500/s` or `1..100`.
    ///
    /// # Errors
    /// A sentence that says what would be accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no range; write it like 50ms..2s, 10/s..500/s or 1..100");
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let ((from, scale), (to, other)) = (
            value(from.trim()).ok_or_else(wrong)?,
            value(to.trim()).ok_or_else(wrong)?,
        );
        if scale != other {
            return Err(format!("`{text}`: both ends need the same unit"));
        }
        if !(from > 0.0 && to > from) {
            return Err(format!("`{text}` does not go up from above zero"));
        }
        Ok(Self { from, to, scale })
    }

    /// The value at one of [`PARTS`](Self::PARTS) + 1 places: equal steps are equal factors.
    #[must_use]
    pub fn at(&self, place: u32) -> f64 {
        let share = f64::from(place) / f64::from(Self::PARTS);
        let value = self.from * (self.to / self.from).powf(share);
        match self.scale {
            // What is shorter no timer keeps.
            Scale::Time => ((value * 1_000.0).round() / 1_000.0).max(0.001),
            Scale::Rate => (value * 100.0).round() / 100.0,
            Scale::Number => value.round(),
        }
    }
}

impl Scale {
    /// A value as it is written.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Time => show_duration(Duration::from_secs_f64(value)),
            Self::Rate => format!("{value}/s"),
            Self::Number => format!("{value}"),
        }
    }

    /// A value as it stands in a file.
    #[must_use]
    pub fn to_toml(self, value: f64) -> toml::Value {
        match self {
            Self::Time | Self::Rate => toml::Value::String(self.show(value)),
            #[expect(clippy::cast_possible_truncation, reason = "a whole number, rounded")]
            Self::Number => toml::Value::Integer(value as i64),
        }
    }
}

fn value(text: &str) -> Option<(f64, Scale)> {
    if let Some(rate) = text.strip_suffix("/s") {
        return Some((rate.trim().parse().ok()?, Scale::Rate));
    }
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some((number, Scale::Number));
    }
    let duration = parse_duration(text).ok()?;
    Some((duration.as_secs_f64(), Scale::Time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_equal_factors_between_its_places() {
        let range = Range::parse("50ms..2s").unwrap();

        assert_eq!((range.at(0), range.at(Range::PARTS)), (0.05, 2.0));
        assert_eq!(range.scale.show(range.at(32)), "316ms");
        assert_eq!(Range::parse("10/s..40/s").unwrap().at(32), 20.0);
        assert_eq!(Range::parse("1..100").unwrap().at(32), 10.0);
        for wrong in ["50ms", "2s..50ms", "0..3", "1..3s", "a..b", ".."] {
            assert!(Range::parse(wrong).is_err(), "{wrong}");
        }
    }
}
