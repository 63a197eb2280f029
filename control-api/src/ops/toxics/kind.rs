//! What each kind of toxic does, in our words.

use std::fmt;

use brownout_fault::read::Problem;
use serde_json::{Map, Value, json};

/// The kinds of Toxiproxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToxicKind {
    /// Each chunk comes late.
    Latency,
    /// No more than so many bytes a second.
    Bandwidth,
    /// The end comes late.
    SlowClose,
    /// Everything is swallowed, then the connection is closed.
    Timeout,
    /// The connection is reset.
    ResetPeer,
    /// Bytes come in small pieces.
    Slicer,
    /// The connection is closed behind so many bytes.
    LimitData,
    /// Nothing.
    Noop,
}

/// The attributes of a toxic: every one of its kind, in its order.
pub type Attributes = Vec<(&'static str, i64)>;

/// Attributes that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidToxic(pub String);

impl InvalidToxic {
    pub(super) fn of(problem: Option<&Problem>) -> Self {
        Self(problem.map_or_else(String::new, ToString::to_string))
    }
}

impl ToxicKind {
    const ALL: [Self; 8] = [
        Self::Latency,
        Self::Bandwidth,
        Self::SlowClose,
        Self::Timeout,
        Self::ResetPeer,
        Self::Slicer,
        Self::LimitData,
        Self::Noop,
    ];

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name that Toxiproxy gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Bandwidth => "bandwidth",
            Self::SlowClose => "slow_close",
            Self::Timeout => "timeout",
            Self::ResetPeer => "reset_peer",
            Self::Slicer => "slicer",
            Self::LimitData => "limit_data",
            Self::Noop => "noop",
        }
    }

    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Latency => &["latency", "jitter"],
            Self::Bandwidth => &["rate"],
            Self::SlowClose => &["delay"],
            Self::Timeout | Self::ResetPeer => &["timeout"],
            Self::Slicer => &["average_size", "size_variation", "delay"],
            Self::LimitData => &["bytes"],
            Self::Noop => &[],
        }
    }

    /// Reads attributes over those that are there already; what is not named is 0. Letters may be large or small, null
    /// and unknown keys say nothing, as Go's `encoding/json` has it.
    ///
    /// # Errors
    /// When one is no whole number.
    pub fn attributes(
        self,
        before: Option<&Attributes>,
        said: &Map<String, Value>,
    ) -> Result<Attributes, InvalidToxic> {
        let before = |key: &str| {
            let known = before.into_iter().flatten();
            known
                .into_iter()
                .find(|(known, _)| *known == key)
                .map_or(0, |(_, number)| *number)
        };
        let mut attributes = Vec::new();
        for key in self.keys() {
            let named = said
                .iter()
                .rev()
                .find(|(said, _)| said.eq_ignore_ascii_case(key));
            let number = match named.map(|(_, value)| value) {
                None | Some(Value::Null) => before(key),
                Some(value) => whole(value).ok_or_else(|| {
                    InvalidToxic(format!(
                        "bad request body: json: cannot unmarshal {} into Go struct field .{key} of type int64",
                        shown(value)
                    ))
                })?,
            };
            attributes.push((*key, number));
        }
        Ok(attributes)
    }

    /// Whether a toxic with these attributes does anything.
    pub(super) fn acts(self, attributes: &Attributes) -> bool {
        let latest = || {
            attributes
                .iter()
                .map(|(_, number)| *number)
                .fold(0, i64::saturating_add)
        };
        match self {
            Self::Noop => false,
            Self::Latency | Self::SlowClose => latest() > 0,
            Self::Bandwidth | Self::Timeout | Self::ResetPeer | Self::Slicer | Self::LimitData => {
                true
            }
        }
    }

    /// The kind of our fault and its parameters. What does not [act](Self::acts) has parameters that can be read.
    ///
    /// # Errors
    /// When a number is negative, or makes no sense.
    pub(super) fn fault(
        self,
        attributes: &Attributes,
    ) -> Result<(&'static str, Value), InvalidToxic> {
        let get = |key: &str| {
            let found = attributes.iter().find(|(known, _)| *known == key);
            found.map_or(0, |(_, number)| *number)
        };
        let natural = |key: &str| match get(key) {
            number @ 0.. => Ok(number),
            number => Err(InvalidToxic(format!(
                "{key} is {number}; it cannot be below 0"
            ))),
        };
        Ok(match self {
            Self::Latency => {
                let (latency, jitter) = (get("latency"), natural("jitter")?);
                let at = |number: i64| format!("{}ms", number.max(0));
                if !self.acts(attributes) {
                    return Ok(nothing());
                }
                let (min, max) = (
                    latency.saturating_sub(jitter),
                    latency.saturating_add(jitter),
                );
                match jitter {
                    0 => ("latency", json!({ "value": at(latency) })),
                    _ => ("latency", json!({ "min": at(min), "max": at(max) })),
                }
            }
            Self::Bandwidth => match natural("rate")? {
                // It stops without loss, and goes on when it is removed.
                0 => ("stall", json!({ "for": "until_removed" })),
                rate => {
                    let rate = format!("{}B/s", rate.saturating_mul(1_000));
                    ("bandwidth", json!({ "rate": rate, "burst": "0B" }))
                }
            },
            Self::SlowClose => (
                "slow_close",
                json!({ "delay": ms(natural("delay")?.max(1)) }),
            ),
            Self::Timeout => match natural("timeout")? {
                0 => ("blackhole", json!({ "then": "close" })),
                idle => ("blackhole", json!({ "idle": ms(idle), "then": "close" })),
            },
            // With the first data; until then nothing happens.
            Self::ResetPeer => {
                let hold = ms(natural("timeout")?.max(1));
                let params = json!({ "from": "first_data", "hold": hold, "then": "reset" });
                ("blackhole", params)
            }
            Self::Slicer => {
                let size = natural("average_size")?;
                if size == 0 {
                    let why = "average_size is 0; a slice has a byte or more";
                    return Err(InvalidToxic(why.to_owned()));
                }
                let variation = natural("size_variation")?;
                let gap = format!("{}us", natural("delay")?);
                let params = json!({
                    "size": format!("{size}B"), "variation": format!("{variation}B"), "gap": gap,
                });
                ("slicer", params)
            }
            Self::LimitData => (
                "limit_data",
                json!({ "bytes": format!("{}B", natural("bytes")?) }),
            ),
            Self::Noop => nothing(),
        })
    }
}

impl fmt::Display for ToxicKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stands for a toxic that does nothing, at a percent of 0.
fn nothing() -> (&'static str, Value) {
    ("latency", json!({ "value": "1ms" }))
}

fn ms(number: i64) -> String {
    format!("{number}ms")
}

/// A whole number; also one that is written with a fraction of zero, as some languages do.
fn whole(value: &Value) -> Option<i64> {
    let exact = |number: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is whole, and small as checked"
        )]
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    };
    value.as_i64().or_else(|| exact(value.as_f64()?))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) => format!("number {number}"),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Toxic;

    #[test]
    fn every_kind_makes_a_fault_or_says_why_not() {
        let cases: [(ToxicKind, Value, Option<&str>); 16] = [
            (
                ToxicKind::Latency,
                json!({ "latency": 100 }),
                Some("latency"),
            ),
            (
                ToxicKind::Latency,
                json!({ "latency": 100, "jitter": 200 }),
                Some("latency"),
            ),
            (ToxicKind::Latency, json!({}), Some("latency")),
            (ToxicKind::Latency, json!({ "jitter": -1 }), None),
            (
                ToxicKind::Bandwidth,
                json!({ "rate": 100 }),
                Some("bandwidth"),
            ),
            (ToxicKind::Bandwidth, json!({ "RATE": 0 }), Some("stall")),
            (ToxicKind::Bandwidth, json!({ "rate": -1 }), None),
            (
                ToxicKind::SlowClose,
                json!({ "delay": 10 }),
                Some("slow_close"),
            ),
            (
                ToxicKind::Timeout,
                json!({ "timeout": 0 }),
                Some("blackhole"),
            ),
            (
                ToxicKind::Timeout,
                json!({ "timeout": 10 }),
                Some("blackhole"),
            ),
            (ToxicKind::ResetPeer, json!({}), Some("blackhole")),
            (
                ToxicKind::ResetPeer,
                json!({ "timeout": 10 }),
                Some("blackhole"),
            ),
            (
                ToxicKind::Slicer,
                json!({ "average_size": 64, "size_variation": 32, "delay": 10 }),
                Some("slicer"),
            ),
            (ToxicKind::Slicer, json!({}), None),
            (
                ToxicKind::LimitData,
                json!({ "bytes": 100 }),
                Some("limit_data"),
            ),
            (ToxicKind::Noop, json!({ "anything": 1 }), Some("latency")),
        ];
        for (kind, said, wanted) in cases {
            let attributes = kind.attributes(None, said.as_object().unwrap()).unwrap();
            let toxic = Toxic {
                name: "x".to_owned(),
                kind,
                stream: "UPSTREAM".to_owned(),
                toxicity: 0.3,
                attributes,
            };
            let fault = toxic.to_fault("A Proxy:1");
            let made = fault.as_ref().ok().map(|spec| spec.fault.name());
            assert_eq!(made, wanted, "{kind} {said}: {fault:?}");
            if let Ok(spec) = fault {
                assert_eq!(spec.id.as_deref(), Some("A Proxy:1.x"));
                assert_eq!(spec.check_stream(), Ok(()));
            }
        }
    }

    #[test]
    fn attributes_are_whole_numbers_and_merged_one_by_one() {
        let before = vec![("latency", 100), ("jitter", 10)];
        let said = |value: Value| value.as_object().unwrap().clone();
        let merged = ToxicKind::Latency.attributes(
            Some(&before),
            &said(json!({ "Jitter": 5.0, "latency": null })),
        );
        assert_eq!(merged, Ok(vec![("latency", 100), ("jitter", 5)]));
        for wrong in [
            json!({ "rate": "1" }),
            json!({ "rate": 1.5 }),
            json!({ "rate": 1e30 }),
            json!({ "rate": [] }),
        ] {
            assert!(ToxicKind::Bandwidth.attributes(None, &said(wrong)).is_err());
        }
    }
}
