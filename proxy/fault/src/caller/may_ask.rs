//! Who may ask for faults on a route.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::{Value, json};

use crate::{
    matcher::Network,
    read::{Problem, shorten},
};

/// Who may ask for faults on a route: `false`, `true`, or the ranges of addresses from which requests may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MayAsk {
    /// The fields are those of the upstream, like any other.
    #[default]
    Nobody,
    /// Whoever sends a request.
    Anybody,
    /// Whoever sends it from one of these. What others ask for is ignored.
    From(Vec<Network>),
}

impl MayAsk {
    /// The most ranges of one route.
    pub const NETWORKS_MAX: usize = 64;

    /// Reads it: `true`, `false`, a range, or a list of them.
    ///
    /// # Errors
    /// When it is none of these, or a list that is empty or longer than [`NETWORKS_MAX`](Self::NETWORKS_MAX).
    pub fn read(value: &Value) -> Result<Self, Problem> {
        match value {
            Value::Bool(false) => Ok(Self::Nobody),
            Value::Bool(true) => Ok(Self::Anybody),
            Value::String(_) => Ok(Self::From(vec![Network::read(value)?])),
            Value::Array(ranges) if (1..=Self::NETWORKS_MAX).contains(&ranges.len()) => {
                let read = ranges.iter().enumerate().map(|(index, range)| {
                    Network::read(range).map_err(|problem| problem.under(&index.to_string()))
                });
                Ok(Self::From(read.collect::<Result<_, _>>()?))
            }
            Value::Array(ranges) => Err(Problem::here(format!(
                "has {} ranges of addresses; there may be 1 to {}",
                ranges.len(),
                Self::NETWORKS_MAX
            ))),
            other => Err(Problem::here(format!(
                "`{}` is neither true nor false, nor ranges of addresses such as [\"10.0.0.0/8\"]",
                shorten(&other.to_string())
            ))),
        }
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Nobody => json!(false),
            Self::Anybody => json!(true),
            Self::From(ranges) => ranges.iter().map(ToString::to_string).collect(),
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
        }
    }
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
        for value in [json!(true), json!(false), json!(["10.0.0.0/8", "::1/128"])] {
            assert_eq!(MayAsk::read(&value).unwrap().to_value(), value);
        }
        let one = MayAsk::read(&json!("127.0.0.1")).unwrap();
        assert_eq!(one.to_value(), json!(["127.0.0.1/32"]));
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
    }
}
