//! The deadline that a caller sends along with a request.

use std::time::Duration;

use http::HeaderName;
use serde_json::Value;

use crate::{
    fields::Fields,
    read::{Problem, text},
    units::{parse_duration, show_duration},
    wait::Wait,
};

/// `gRPC`'s own field: digits and a unit (`gRPC` over HTTP/2, "Timeout").
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// What Envoy and many others write: milliseconds.
const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-timeout-ms");

/// Where a deadline is found, and how far from it a request is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deadline {
    /// Only this field instead of the usual two.
    pub(super) header: Option<HeaderName>,
    pub(super) margin: Margin,
}

/// How far from the deadline, on which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Margin {
    Before(Duration),
    Behind(Duration),
}

impl Margin {
    pub(super) const NONE: Self = Self::Behind(Duration::ZERO);

    /// Reads `20ms` as behind the deadline, and `-20ms` as before it.
    pub(super) fn read(value: &Value) -> Result<Self, Problem> {
        let said = text(value)?.trim();
        let span = |said: &str| match parse_duration(said).map_err(Problem::here)? {
            span if span > Wait::MAX => Err(Problem::here("is above 1h")),
            span => Ok(span),
        };
        match said.strip_prefix('-') {
            Some(before) => Ok(Self::Before(span(before)?)),
            None => Ok(Self::Behind(span(said)?)),
        }
    }

    pub(super) fn to_text(self) -> String {
        match self {
            Self::Before(span) => format!("-{}", show_duration(span)),
            Self::Behind(span) => show_duration(span),
        }
    }
}

impl Deadline {
    /// How long to hold a request, counted from its arrival, at most 1 h; `None` when it has no deadline that can be
    /// read, or none that is left.
    pub(super) fn hold(&self, fields: &dyn Fields) -> Option<Duration> {
        let deadline = match &self.header {
            Some(name) => of_field(fields, name)?,
            None => of_field(fields, &GRPC_TIMEOUT).or_else(|| of_field(fields, &TIMEOUT_MS))?,
        };
        let hold = match self.margin {
            Margin::Before(span) => deadline.checked_sub(span)?,
            Margin::Behind(span) => deadline.saturating_add(span),
        };
        (!hold.is_zero()).then_some(hold.min(Wait::MAX))
    }
}

fn of_field(fields: &dyn Fields, name: &HeaderName) -> Option<Duration> {
    let value = std::str::from_utf8(fields.first(name.as_str())?)
        .ok()?
        .trim();
    if *name == GRPC_TIMEOUT {
        return grpc_timeout(value);
    }
    match value.parse() {
        Ok(millis) => Some(Duration::from_millis(millis)),
        Err(_) => parse_duration(value).ok(),
    }
}

/// At most eight digits and a unit.
fn grpc_timeout(value: &str) -> Option<Duration> {
    let unit = value.chars().next_back()?;
    let digits = &value[..value.len() - unit.len_utf8()];
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 60 * 60)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn hold(deadline: &Deadline, fields: &[(&'static str, &'static str)]) -> Option<u128> {
        let fields = fields.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let headers: HeaderMap = fields.collect();
        deadline.hold(&headers).map(|hold| hold.as_millis())
    }

    #[test]
    fn deadlines_are_found_where_callers_write_them() {
        let usual = Deadline {
            header: None,
            margin: Margin::NONE,
        };
        let own = Deadline {
            header: Some(HeaderName::from_static("x-budget")),
            margin: Margin::NONE,
        };

        assert_eq!(hold(&usual, &[("x-timeout-ms", "250")]), Some(250));
        assert_eq!(hold(&usual, &[("grpc-timeout", "2S")]), Some(2_000));
        assert_eq!(hold(&usual, &[("grpc-timeout", "1500000u")]), Some(1_500));
        assert_eq!(
            hold(&usual, &[("grpc-timeout", "99999999H")]),
            Some(3_600_000)
        );
        assert_eq!(hold(&own, &[("x-budget", "1.5s")]), Some(1_500));
        assert_eq!(hold(&own, &[("x-budget", "70")]), Some(70));
        assert_eq!(hold(&own, &[("x-timeout-ms", "250")]), None);
        for wrong in ["", "S", "2", "2s", "-2S", "123456789S", "2 S", "²S"] {
            let headers = [("grpc-timeout", wrong)].into_iter();
            let headers = headers.filter_map(|(name, value)| {
                let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
                Some((HeaderName::from_static(name), value))
            });
            assert_eq!(usual.hold(&headers.collect::<HeaderMap>()), None, "{wrong}");
        }
    }

    #[test]
    fn a_margin_lies_on_either_side() {
        let with = |margin: &str| Deadline {
            header: None,
            margin: Margin::read(&Value::from(margin)).unwrap(),
        };
        let fields = &[("x-timeout-ms", "250")];

        assert_eq!(hold(&with("20ms"), fields), Some(270));
        assert_eq!(hold(&with("-20ms"), fields), Some(230));
        assert_eq!(hold(&with("-300ms"), fields), None, "nothing is left");
        assert_eq!(with("-20ms").margin.to_text(), "-20ms");
        for wrong in ["20", "--1s", "2h", "soon"] {
            assert!(Margin::read(&Value::from(wrong)).is_err(), "{wrong}");
        }
    }
}
