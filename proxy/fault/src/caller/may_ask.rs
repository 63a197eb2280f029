//! Who may ask for faults on a route.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::{Value, json};

use crate::{
    matcher::Network,
    probability::Percent,
    read::{Object, Problem, expected, shorten},
};

/// Who may ask for faults on a route: `false`, `true`, the ranges of addresses from which requests may, or an object with
/// `percent` and `from`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MayAsk {
    /// The fields are those of the upstream, like any other.
    #[default]
    Nobody,
    /// Whoever sends a request.
    Anybody,
    /// Whoever sends it from one of these. What others ask for is ignored.
    From(Vec<Network>),
    /// Those that come from one of the ranges, or whoever sends a request where there are none; and of the requests that ask for one
    /// kind of fault at most so many percent are given it.
    Share {
        /// Never more, even if a request asks for more itself.
        percent: Percent,
        /// Empty for everybody.
        from: Vec<Network>,
    },
}

impl MayAsk {
    /// The most ranges of one route.
    pub const NETWORKS_MAX: usize = 64;

    /// Reads it: `true`, `false`, a range, a list of them, or `{"percent":20,"from":["10.0.0.0/8"]}` with one of the two or both.
    ///
    /// # Errors
    /// When it is none of these, or a list that is empty or longer than [`NETWORKS_MAX`](Self::NETWORKS_MAX).
    pub fn read(value: &Value) -> Result<Self, Problem> {
        match value {
            Value::Bool(false) => Ok(Self::Nobody),
            Value::Bool(true) => Ok(Self::Anybody),
            Value::String(_) | Value::Array(_) => Ok(Self::From(ranges(value)?)),
            Value::Object(_) => Self::read_share(&Object::new(value)?),
            other => Err(Problem::here(format!(
                "`{}` is neither true nor false, nor ranges of addresses such as [\"10.0.0.0/8\"], nor an object such as \
                 {{\"percent\":20}}",
                shorten(&other.to_string())
            ))),
        }
    }

    fn read_share(object: &Object<'_>) -> Result<Self, Problem> {
        object.only(&["percent", "from"])?;
        let percent = object.optional("percent", Percent::read)?;
        let from = object.optional("from", ranges)?;
        match (percent, from) {
            (None, None) => Err(Problem::here("has neither `percent` nor `from`")),
            (None, Some(from)) => Ok(Self::From(from)),
            (Some(percent), from) => {
                let from = from.unwrap_or_default();
                Ok(Self::Share { percent, from })
            }
        }
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Nobody => json!(false),
            Self::Anybody => json!(true),
            Self::From(ranges) => shown(ranges),
            Self::Share { percent, from } if from.is_empty() => {
                json!({ "percent": percent.to_value() })
            }
            Self::Share { percent, from } => {
                json!({ "percent": percent.to_value(), "from": shown(from) })
            }
        }
    }

    /// Whether nobody may.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        *self == Self::Nobody
    }

    /// Whether a request from this address may.
    #[must_use]
    pub fn includes(&self, client: IpAddr) -> bool {
        match self {
            Self::Nobody => false,
            Self::Anybody => true,
            Self::From(ranges) => ranges.iter().any(|range| range.contains(client)),
            Self::Share { from, .. } => {
                from.is_empty() || from.iter().any(|range| range.contains(client))
            }
        }
    }

    /// The most of those requests that ask for one kind of fault and may, in percent, that are given it.
    #[must_use]
    pub fn percent(&self) -> Percent {
        match self {
            Self::Nobody | Self::Anybody | Self::From(_) => Percent::ALL,
            Self::Share { percent, .. } => *percent,
        }
    }
}

/// One range, or a list of them.
fn ranges(value: &Value) -> Result<Vec<Network>, Problem> {
    match value {
        Value::String(_) => Ok(vec![Network::read(value)?]),
        Value::Array(ranges) if (1..=MayAsk::NETWORKS_MAX).contains(&ranges.len()) => {
            let read = ranges.iter().enumerate().map(|(index, range)| {
                Network::read(range).map_err(|problem| problem.under(&index.to_string()))
            });
            read.collect()
        }
        Value::Array(ranges) => Err(Problem::here(format!(
            "has {} ranges of addresses; there may be 1 to {}",
            ranges.len(),
            MayAsk::NETWORKS_MAX
        ))),
        other => Err(expected(
            "ranges of addresses such as [\"10.0.0.0/8\"]",
            other,
        )),
    }
}

fn shown(ranges: &[Network]) -> Value {
    ranges.iter().map(ToString::to_string).collect()
}

impl From<bool> for MayAsk {
    fn from(anybody: bool) -> Self {
        match anybody {
            true => Self::Anybody,
            false => Self::Nobody,
        }
    }
}

impl Serialize for MayAsk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MayAsk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(&value).map_err(|problem| D::Error::custom(problem.detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for value in [
            json!(true),
            json!(false),
            json!(["10.0.0.0/8", "::1/128"]),
            json!({ "percent": 20 }),
            json!({ "percent": "1/1000", "from": ["10.0.0.0/8"] }),
        ] {
            assert_eq!(MayAsk::read(&value).unwrap().to_value(), value);
        }
        let one = MayAsk::read(&json!("127.0.0.1")).unwrap();
        assert_eq!(one.to_value(), json!(["127.0.0.1/32"]));
        let from = MayAsk::read(&json!({ "from": "::1" })).unwrap();
        assert_eq!(from.to_value(), json!(["::1/128"]));
    }

    #[test]
    fn what_is_no_range_is_refused_with_its_place() {
        let many = vec!["10.0.0.0/8"; MayAsk::NETWORKS_MAX + 1];
        for (value, place) in [
            (json!("yes"), ""),
            (json!(1), ""),
            (json!([]), ""),
            (json!(many), ""),
            (json!(["10.0.0.0/8", "10.0.0.1/8"]), "/1"),
            (json!({}), ""),
            (json!({ "percent": 101 }), "/percent"),
            (json!({ "percent": true }), "/percent"),
            (json!({ "percnt": 5 }), "/percnt"),
            (json!({ "percent": 5, "from": [] }), "/from"),
            (json!({ "from": ["::1", "nowhere"] }), "/from/1"),
            (json!({ "from": false }), "/from"),
        ] {
            assert_eq!(MayAsk::read(&value).unwrap_err().pointer, place, "{value}");
        }
    }

    #[test]
    fn a_range_includes_those_who_come_from_it() {
        let from = MayAsk::read(&json!(["10.0.0.0/8", "::1"])).unwrap();
        for (client, may) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("::1", true),
            ("127.0.0.1", false),
        ] {
            assert_eq!(from.includes(client.parse().unwrap()), may, "{client}");
        }
        let some = MayAsk::read(&json!({ "percent": 5, "from": "::1" })).unwrap();
        let all = MayAsk::read(&json!({ "percent": 5 })).unwrap();
        let client = "127.0.0.1".parse().unwrap();
        assert!(!some.includes(client) && all.includes(client));
    }
}
