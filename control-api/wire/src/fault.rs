//! Faults as they are shown: the spec as understood, and what became of it.

use std::collections::BTreeMap;

use brownout_fault::{
    Counters, EndedFault, FaultSpec, FaultStatus, Magnitude, Moment, RouteCounters, State,
    units::{show_duration, show_rate},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use crate::{FaultDraft, FaultTags};

/// A fault as the API shows it.
///
/// In JSON one flat object: every field of the spec with its default written out, then the state.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultAnswer {
    /// The fault with every default filled in.
    pub spec: FaultSpec,
    /// Labels, owner and lease.
    pub tags: FaultTags,
    /// The id, chosen by the caller or made from the kind and a number.
    pub id: String,
    /// Whether it waits for its start, acts, is used up or has ended.
    pub state: State,
    /// When it was armed, on the wall clock.
    pub created_at: Timestamp,
    /// When its ttl ends; `None` if it stays until it is removed.
    pub expires_at: Option<Timestamp>,
    /// The revision of the change that armed or last changed it: its `ETag`.
    pub revision: u64,
    /// How many requests or connections it matched, hit and passed by.
    pub counters: CountersAnswer,
    /// The same for each route that it met, if it names several.
    pub by_route: BTreeMap<String, RouteCountersAnswer>,
    /// The delays and bytes that were asked for and achieved.
    pub magnitude: MagnitudeAnswer,
    /// When it was armed and struck, on the clock of `GET /requests`.
    pub times: Option<FaultTimes>,
    /// When and why it ended, if it has.
    pub end: Option<FaultEnd>,
}

/// When a fault did something, in µs on the proxy's clock, as in `GET /requests`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FaultTimes {
    /// When it was armed, in µs.
    pub armed_us: u64,
    /// When it had its first effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_struck_us: Option<u64>,
    /// When it had its last effect so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_struck_us: Option<u64>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<u64>,
}

/// The end of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultEnd {
    /// When it ended, on the wall clock.
    pub at: Timestamp,
    /// Why: `removed`, `replaced`, `expired`, `spent`, `halted`, `lease`, `route` or `shutdown`.
    pub reason: String,
}

/// Faults, as `GET /faults` and the arming of a list answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultList {
    /// In the order of creation; of those that have ended, the last one first.
    pub faults: Vec<FaultAnswer>,
}

/// The counters of a fault. `matched` is the sum of `injected`, `skipped` and `overflow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CountersAnswer {
    /// Requests, or connections, that fitted its `match`.
    pub matched: u64,
    /// Those that it acted on.
    pub injected: u64,
    /// Those that it left alone: by its percent, its counts, an earlier ending, or because it had nothing to act on.
    pub skipped: u64,
    /// Those that passed because it already held `max_active`.
    pub overflow: u64,
    /// Those that it holds now.
    pub active: u64,
    /// Those whose client left while it acted on them.
    pub client_gave_up: u64,
}

/// What a fault that names several routes did on one of them. At most 1,000 routes are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteCountersAnswer {
    /// Requests, or connections, that fitted its `match`.
    pub matched: u64,
    /// Those that it acted on.
    pub injected: u64,
}

/// What a fault was to do and really did, as measured; empty until it did something that is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MagnitudeAnswer {
    /// The median of the delays that were asked for, as text; of holds that were not cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_p50: Option<String>,
    /// The 99th percentile of the delays that were asked for, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_p99: Option<String>,
    /// The median of the achieved delays, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_p50: Option<String>,
    /// The 99th percentile of the achieved delays, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_p99: Option<String>,
    /// The median of how much longer than asked for holds were, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_p50: Option<String>,
    /// The 99th percentile of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_p99: Option<String>,
    /// Bytes of bodies that went through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes a second that each budget was to let through, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_rate: Option<String>,
    /// Bytes a second of those bodies while they went, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Requests that came back before the time they were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_returns: Option<u64>,
}

impl From<Magnitude> for MagnitudeAnswer {
    fn from(magnitude: Magnitude) -> Self {
        let show = |delay: Option<std::time::Duration>| delay.map(show_duration);
        Self {
            asked_p50: show(magnitude.asked.map(|delays| delays.p50)),
            asked_p99: show(magnitude.asked.map(|delays| delays.p99)),
            delay_p50: show(magnitude.achieved.map(|delays| delays.p50)),
            delay_p99: show(magnitude.achieved.map(|delays| delays.p99)),
            late_p50: show(magnitude.late.map(|delays| delays.p50)),
            late_p99: show(magnitude.late.map(|delays| delays.p99)),
            bytes: magnitude.bytes,
            asked_rate: magnitude.asked_bytes_per_second.map(show_rate),
            rate: magnitude.bytes_per_second.map(show_rate),
            early_returns: magnitude.early_returns,
        }
    }
}

/// The members that stand beside the spec.
#[derive(Serialize, Deserialize)]
struct Beside {
    state: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revision: u64,
    counters: CountersAnswer,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    by_route: BTreeMap<String, RouteCountersAnswer>,
    magnitude: MagnitudeAnswer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<FaultTimes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

const BESIDE: [&str; 10] = [
    "state",
    "created_at",
    "expires_at",
    "revision",
    "counters",
    "by_route",
    "magnitude",
    "times",
    "ended_at",
    "reason",
];

impl From<FaultStatus> for FaultAnswer {
    fn from(status: FaultStatus) -> Self {
        Self {
            id: status.id,
            spec: status.spec,
            tags: FaultTags::default(),
            state: status.state,
            created_at: timestamp(status.created_at),
            expires_at: status.expires_at.map(timestamp),
            revision: status.revision,
            counters: status.counters.into(),
            by_route: by_route(status.by_route),
            magnitude: status.magnitude.into(),
            times: None,
            end: None,
        }
    }
}

impl FaultAnswer {
    /// Of a fault that has ended.
    #[must_use]
    pub fn ended(fault: EndedFault, tags: FaultTags, ended_at: Moment, reason: &str) -> Self {
        let (counters, magnitude, _) = fault.counts();
        let by_route = by_route(fault.by_route());
        Self {
            id: fault.id,
            spec: fault.spec,
            tags,
            state: State::Ended,
            created_at: timestamp(fault.created_at),
            expires_at: fault.expires_at.map(timestamp),
            revision: fault.revision,
            counters: counters.into(),
            by_route,
            magnitude: magnitude.into(),
            times: None,
            end: None,
        }
        .has_ended(ended_at, reason)
    }

    /// The same of a fault that ended at that moment.
    #[must_use]
    pub fn has_ended(self, at: Moment, reason: &str) -> Self {
        Self {
            state: State::Ended,
            end: Some(FaultEnd {
                at: timestamp(at),
                reason: reason.to_owned(),
            }),
            ..self
        }
    }
}

fn by_route(counted: BTreeMap<String, RouteCounters>) -> BTreeMap<String, RouteCountersAnswer> {
    let answers = counted.into_iter().map(|(route, it)| {
        let RouteCounters { matched, injected } = it;
        (route, RouteCountersAnswer { matched, injected })
    });
    answers.collect()
}

impl From<Counters> for CountersAnswer {
    fn from(counters: Counters) -> Self {
        Self {
            matched: counters.matched,
            injected: counters.injected,
            skipped: counters.skipped,
            overflow: counters.overflow,
            active: counters.active,
            client_gave_up: counters.client_gave_up,
        }
    }
}

/// Before 9999, as no ttl is longer than a year.
fn timestamp(moment: Moment) -> Timestamp {
    let exact = Timestamp::try_from(moment.wall).unwrap_or(Timestamp::MAX);
    exact.round(jiff::Unit::Millisecond).unwrap_or(exact)
}

impl Serialize for FaultAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let beside = Beside {
            state: self.state.name().to_owned(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            revision: self.revision,
            counters: self.counters,
            by_route: self.by_route.clone(),
            magnitude: self.magnitude.clone(),
            times: self.times,
            ended_at: self.end.as_ref().map(|end| end.at),
            reason: self.end.as_ref().map(|end| end.reason.clone()),
        };
        let beside = serde_json::to_value(beside).map_err(serde::ser::Error::custom)?;
        let mut all = Map::new();
        let tags = Value::Object(self.tags.members());
        for value in [self.spec.to_value(), tags, beside] {
            if let Value::Object(members) = value {
                all.extend(members);
            }
        }
        all.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FaultAnswer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Map::deserialize(deserializer)?;
        let (beside, spec): (Map<_, _>, Map<_, _>) = all
            .into_iter()
            .partition(|(key, _)| BESIDE.contains(&key.as_str()));
        let beside: Beside =
            serde_json::from_value(Value::Object(beside)).map_err(D::Error::custom)?;
        let mut spec = spec;
        // That of a toxic is free text.
        let id = spec.shift_remove("id");
        let id = id.as_ref().and_then(Value::as_str).map(str::to_owned);
        let id = id.ok_or_else(|| D::Error::missing_field("id"))?;
        let draft = FaultDraft::read(&Value::Object(spec)).map_err(|problems| {
            let first = problems.first().map(ToString::to_string);
            D::Error::custom(first.unwrap_or_default())
        })?;
        let FaultDraft { mut spec, tags } = draft;
        spec.id = Some(id.clone());
        let state = State::parse(&beside.state)
            .ok_or_else(|| D::Error::custom(format!("unknown state `{}`", beside.state)))?;
        Ok(Self {
            id,
            spec,
            tags,
            state,
            created_at: beside.created_at,
            expires_at: beside.expires_at,
            revision: beside.revision,
            counters: beside.counters,
            by_route: beside.by_route,
            magnitude: beside.magnitude,
            times: beside.times,
            end: (beside.ended_at.zip(beside.reason)).map(|(at, reason)| FaultEnd { at, reason }),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use brownout_fault::store;
    use serde_json::json;

    use super::*;

    fn answer(fault: &Value) -> FaultAnswer {
        let (mut writer, _) = store(1);
        let now = Moment {
            instant: Instant::now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        };
        let armed = writer
            .arm(vec![FaultSpec::read(fault).unwrap()], now)
            .unwrap();
        armed.into_iter().next().unwrap().into()
    }

    #[test]
    fn an_answer_is_one_flat_object_with_every_default() {
        let shown =
            serde_json::to_value(answer(&json!({ "route": "web", "latency": "250ms" }))).unwrap();

        assert_eq!(
            shown,
            json!({
                "id": "latency-1", "route": "web", "latency": { "value": "250ms", "mode": "add", "side": "request" },
                "match": {}, "percent": 100, "per": "request", "skip_first": 0, "every": 1, "offset": 0, "start": "0s", "ttl": "10m",
                "max_active": 1000, "priority": 0, "stealth": false,
                "state": "active", "created_at": "2027-01-15T08:00:00Z",
                "expires_at": "2027-01-15T08:10:00Z", "revision": 1,
                "counters": {
                    "matched": 0, "injected": 0, "skipped": 0, "overflow": 0, "active": 0,
                    "client_gave_up": 0,
                },
                "magnitude": {},
            })
        );
    }

    #[test]
    fn an_answer_reads_back_as_itself() {
        let fault =
            json!({ "route": "*", "abort": 503, "ttl": "none", "start": "1s", "note": "x" });
        let mut shown = answer(&fault);
        shown.tags.labels = vec!["run-42".to_owned()];
        shown.tags.lease = Some("ci-1".to_owned());
        shown.state = State::Ended;
        shown.times = Some(FaultTimes {
            armed_us: 1,
            ended_us: Some(2),
            ..FaultTimes::default()
        });
        shown.end = Some(FaultEnd {
            at: shown.created_at,
            reason: "removed".to_owned(),
        });

        let text = serde_json::to_string(&shown).unwrap();

        assert_eq!(serde_json::from_str::<FaultAnswer>(&text).unwrap(), shown);
    }
}
