//! How often a fault fires.

use serde_json::{Number, Value, json};

use crate::read::{Problem, expected, shorten};

/// The share of matching requests that a fault hits.
///
/// From 0 to 100 percent in steps of one in a million (`0.0001`), or an exact ratio such as `"1/1000"`.
/// 0 is legal: armed, but silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(Share);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    PartsPerMillion(u32),
    Ratio { hits: u64, of: u64 },
}

impl Percent {
    /// Every matching request.
    pub const ALL: Self = Self(Share::PartsPerMillion(1_000_000));

    /// Reads a number from 0 to 100, or a ratio written as text.
    ///
    /// # Errors
    /// When it is out of range, finer than one in a million, or neither number nor ratio.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        match value {
            Value::Number(number) => Self::from_number(number),
            Value::String(text) => Self::from_ratio(text),
            other => Err(expected(
                "a number from 0 to 100, or a ratio such as \"1/1000\"",
                other,
            )),
        }
    }

    fn from_number(number: &Number) -> Result<Self, Problem> {
        let percent = number.as_f64().unwrap_or(f64::NAN);
        if !(0.0..=100.0).contains(&percent) {
            return Err(Problem::here(format!("{number} is outside 0 to 100")));
        }
        let parts = percent * 10_000.0;
        if (parts - parts.round()).abs() > 1e-6 {
            return Err(Problem::here(format!(
                "{number} is finer than one in a million (0.0001)"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 1,000,000, as checked above"
        )]
        let parts = parts.round() as u32;
        Ok(Self(Share::PartsPerMillion(parts)))
    }

    fn from_ratio(text: &str) -> Result<Self, Problem> {
        let ratio = text
            .split_once('/')
            .and_then(|(hits, of)| Some((hits.trim().parse().ok()?, of.trim().parse().ok()?)));
        match ratio {
            Some((hits, of)) if of > 0 && hits <= of => Ok(Self(Share::Ratio { hits, of })),
            Some((hits, of)) => Err(Problem::here(format!("{hits}/{of} is outside 0 to 1"))),
            None => Err(Problem::here(format!(
                "`{}` is not a ratio; write a number from 0 to 100, or a ratio such as \"1/1000\"",
                shorten(text)
            ))),
        }
    }

    /// The form in which it was written.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self.0 {
            Share::PartsPerMillion(parts) if parts % 10_000 == 0 => json!(parts / 10_000),
            Share::PartsPerMillion(parts) => json!(f64::from(parts) / 10_000.0),
            Share::Ratio { hits, of } => json!(format!("{hits}/{of}")),
        }
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "for showing and statistics only"
        )]
        match self.0 {
            Share::PartsPerMillion(parts) => f64::from(parts) / 1e6,
            Share::Ratio { hits, of } => hits as f64 / of as f64,
        }
    }

    /// The smaller of two shares.
    #[must_use]
    pub fn at_most(self, most: Self) -> Self {
        let ((hits, of), (most_hits, most_of)) = (self.ratio(), most.ratio());
        match u128::from(hits) * u128::from(most_of) > u128::from(most_hits) * u128::from(of) {
            true => most,
            false => self,
        }
    }

    fn ratio(self) -> (u64, u64) {
        match self.0 {
            Share::PartsPerMillion(parts) => (u64::from(parts), 1_000_000),
            Share::Ratio { hits, of } => (hits, of),
        }
    }

    /// Whether a draw, uniform over all of `u64`, hits.
    #[must_use]
    pub fn hits(self, draw: u64) -> bool {
        let (hits, of) = self.ratio();
        // draw / 2^64 < hits / of, in whole numbers.
        u128::from(draw) * u128::from(of) < u128::from(hits) << 64
    }

    /// As [`hits`](Self::hits), with the share multiplied by `scale`, from 0 to 1.
    #[must_use]
    pub(crate) fn hits_scaled(self, draw: u64, scale: f64) -> bool {
        const ALL: f64 = 18_446_744_073_709_551_616.0; // 2^64
        if scale >= 1.0 {
            return self.hits(draw);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "53 bits are enough for a share that changes with time"
        )]
        let scaled = draw as f64 / scale;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive and below 2^64, as checked"
        )]
        let fits = scaled < ALL && self.hits(scaled as u64);
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn percent(value: Value) -> Percent {
        Percent::read(&value).unwrap()
    }

    #[test]
    fn none_and_all_are_exact() {
        for draw in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(!percent(json!(0)).hits(draw));
            assert!(percent(json!(100)).hits(draw));
            assert!(percent(json!("1/1")).hits(draw));
            assert!(!percent(json!("0/7")).hits(draw));
        }
    }

    #[test]
    fn one_in_a_million_is_the_finest_percent() {
        let finest = percent(json!(0.0001));

        assert!(finest.hits(u64::MAX / 1_000_000 - 1));
        assert!(!finest.hits(u64::MAX / 1_000_000 + 1));
        assert!(Percent::read(&json!(0.00001)).is_err());
    }

    #[test]
    fn a_scale_makes_the_share_smaller() {
        let share = |percent: Percent, scale: f64| {
            let draws = (0..1_000_u64).map(|n| n * (u64::MAX / 1_000));
            draws
                .filter(|draw| percent.hits_scaled(*draw, scale))
                .count()
        };

        assert_eq!(share(Percent::ALL, 1.0), 1_000);
        assert_eq!(share(Percent::ALL, 0.25), 250);
        assert_eq!(share(percent(json!(50)), 0.5), 250);
        assert_eq!(share(Percent::ALL, 0.0), 0);
    }

    #[test]
    fn of_two_shares_the_smaller_one_is_exact() {
        for (one, other, smaller) in [
            (json!(20), json!(50), json!(20)),
            (json!(50), json!(20), json!(20)),
            (json!("1/1000"), json!(0.1001), json!("1/1000")),
            (json!("1/1000"), json!(0.0999), json!(0.0999)),
            (json!("1/3"), json!(33.3334), json!("1/3")),
            (json!(0), json!(100), json!(0)),
        ] {
            let found = percent(one.clone()).at_most(percent(other.clone()));
            assert_eq!(found.to_value(), smaller, "{one} and {other}");
        }
    }

    #[test]
    fn it_is_shown_as_it_was_written() {
        for value in [
            json!(20),
            json!(0.5),
            json!(0.0001),
            json!("1/1000"),
            json!(99.9999),
        ] {
            assert_eq!(percent(value.clone()).to_value(), value);
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        let cases = [
            (json!(150), "150 is outside 0 to 100"),
            (json!(-1), "-1 is outside 0 to 100"),
            (json!(1e300), "1e+300 is outside 0 to 100"),
            (json!("3/2"), "3/2 is outside 0 to 1"),
            (json!("1/0"), "1/0 is outside 0 to 1"),
        ];
        for (value, detail) in cases {
            assert_eq!(Percent::read(&value).unwrap_err().detail, detail);
        }
        for value in [
            json!("20"),
            json!("half"),
            json!(null),
            json!([1]),
            json!("-1/2"),
        ] {
            assert!(Percent::read(&value).is_err(), "{value}");
        }
    }
}
