//! A fault as it is written and sent.

mod fields;
mod kind;
mod layers;
mod schema;

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    faults::{CommonFields, Fault, NOT_YET},
    matcher::{MatchSpec, Per},
    probability::Percent,
    read::{Object, Problem, boolean, one_or_many, text, whole},
    schedule::{Burst, Nemesis, Pulse, Ramp, RampOf, Schedule, Wave},
    stream::{Direction, Layer},
    units::show_duration,
    written::single_or_list,
};

/// The routes a fault is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routes {
    /// Every route, those made later included: `"*"`.
    All,
    /// The routes of these names.
    Named(Vec<String>),
}

impl Routes {
    /// Whether it is one route, whichever are made later.
    #[must_use]
    pub fn is_one(&self) -> bool {
        matches!(self, Self::Named(names) if names.len() == 1)
    }

    /// Whether the route `name` is among them.
    #[must_use]
    pub fn include(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|named| named == name),
        }
    }

    /// Reads a name, a list of names, or `"*"`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        let names = one_or_many(|value| match text(value)? {
            "" => Err(Problem::here("is empty; name a route, or \"*\" for all")),
            name => Ok(name.to_owned()),
        })(value)?;
        Ok(if names.iter().any(|name| name == "*") {
            Self::All
        } else {
            Self::Named(names)
        })
    }

    fn to_value(&self) -> Value {
        match self {
            Self::All => json!("*"),
            Self::Named(names) => single_or_list(names.iter().cloned()),
        }
    }
}

/// A fault as it is written and sent: what goes wrong, where, how often and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSpec {
    /// Its id; `<kind>-<n>` is made when it is left out.
    pub id: Option<String>,
    /// The routes that it is for.
    pub route: Routes,
    /// The layer that it acts on; `None` for every layer that its kind and a route have.
    pub layer: Option<Layer>,
    /// The bytes of a connection that it acts on; `None` for those to the client.
    pub direction: Option<Direction>,
    /// The requests that it is meant for.
    pub matching: MatchSpec,
    /// The share of those requests that it hits; 100 percent when left out.
    pub percent: Percent,
    /// What a random draw belongs to: each request by itself when left out.
    pub per: Per,
    /// The number of matches that pass first; 0 when left out.
    pub skip_first: u64,
    /// Then one match in this many is taken, at least 1, which is the default.
    pub every: u64,
    /// The one of those that is taken, from 0 (the default) to `every` - 1.
    pub offset: u64,
    /// The most injections, at least 1; then the fault is spent. `None` for no limit.
    pub limit: Option<u64>,
    /// The time from arming until it begins to act; 0 when left out.
    pub start: Duration,
    /// The time from arming until it expires: [`TTL`](Self::TTL) when left out, `None` for ever.
    pub ttl: Option<Duration>,
    /// Changes of its strength over time.
    pub schedule: Schedule,
    /// Faults of one group share their draws and their schedule's chance.
    pub group: Option<String>,
    /// The most requests that it holds at once, 1 to 10,000; more pass untouched.
    pub max_active: u64,
    /// Its own seed instead of the process's.
    pub seed: Option<u64>,
    /// Its order inside a phase: higher first, then by creation. -1,000,000 to 1,000,000, 0 when left out.
    pub priority: i64,
    /// Whether injected answers have no marker header.
    pub stealth: bool,
    /// Free text, up to 1,024 bytes.
    pub note: Option<String>,
    /// What goes wrong.
    pub fault: Fault,
}

impl FaultSpec {
    /// The time to live of a fault that does not say: ten minutes.
    pub const TTL: Duration = Duration::from_secs(600);
    /// Requests a fault may hold when it does not say.
    pub const MAX_ACTIVE: u64 = 1_000;
    /// The longest note, in bytes.
    pub const NOTE_BYTES_MAX: usize = 1_024;

    /// The keys that every kind shares.
    pub const KEYS: [&'static str; 24] = [
        "id",
        "route",
        "layer",
        "direction",
        "match",
        "percent",
        "per",
        "skip_first",
        "every",
        "offset",
        "limit",
        "start",
        "ttl",
        "ramp",
        "wave",
        "pulses",
        "nemesis",
        "burst",
        "group",
        "max_active",
        "seed",
        "priority",
        "stealth",
        "note",
    ];

    /// Reads a fault from a value tree.
    ///
    /// # Errors
    /// All problems: one for each top-level field, and inside a kind's parameters the first.
    pub fn read(value: &Value) -> Result<Self, Vec<Problem>> {
        let object = Object::new(value).map_err(|problem| vec![problem])?;
        let mut problems = Problems::default();

        let known: Vec<&str> = Self::KEYS.iter().chain(Fault::NAMES).copied().collect();
        let refused = |problem: &Problem| {
            let key = problem.pointer.trim_start_matches('/');
            NOT_YET.iter().any(|(name, _)| *name == key)
        };
        problems.0.extend(
            object
                .unknown(&known)
                .filter(|problem| !refused(problem))
                .map(kind::meant),
        );
        let fault = problems.keep(kind::read(&object, &Self::KEYS));

        let id = problems.optional(&object, "id", fields::id);
        let route = problems.keep(object.required("route", Routes::read));
        let layer = problems.optional(&object, "layer", Layer::read);
        let direction = problems.optional(&object, "direction", Direction::read);
        let matching = problems.optional(&object, "match", MatchSpec::read);
        let percent = problems.optional(&object, "percent", Percent::read);
        let per = problems.optional(&object, "per", Per::read);
        let skip_first = problems.optional(&object, "skip_first", whole(0, u64::MAX));
        let every = problems
            .optional(&object, "every", whole(1, u64::MAX))
            .unwrap_or(1);
        let offset = problems
            .optional(&object, "offset", fields::offset(every))
            .unwrap_or(0);
        let limit = problems.optional(&object, "limit", fields::limit);
        let ttl = problems
            .optional(&object, "ttl", fields::ttl)
            .unwrap_or(Some(Self::TTL));
        let start = problems.optional(&object, "start", fields::start(ttl));
        let schedule = Schedule {
            ramp: problems.optional(&object, "ramp", Ramp::read),
            wave: problems.optional(&object, "wave", Wave::read),
            pulses: problems
                .optional(&object, "pulses", Pulse::read_all)
                .unwrap_or_default(),
            nemesis: problems.optional(&object, "nemesis", Nemesis::read),
            burst: problems.optional(&object, "burst", Burst::read),
        };
        let group = problems.optional(&object, "group", fields::group);
        let max_active = problems.optional(&object, "max_active", whole(1, 10_000));
        let seed = problems.optional(&object, "seed", whole(0, u64::MAX));
        let priority = problems.optional(&object, "priority", fields::priority);
        let stealth = problems.optional(&object, "stealth", boolean);
        let note = problems.optional(&object, "note", fields::note(Self::NOTE_BYTES_MAX));

        let (Some(route), Some(fault), true) = (route, fault.flatten(), problems.0.is_empty())
        else {
            return Err(problems.0);
        };
        let spec = Self {
            id,
            route,
            layer,
            direction,
            matching: matching.unwrap_or_default(),
            percent: percent.unwrap_or(Percent::ALL),
            per: per.unwrap_or_default(),
            skip_first: skip_first.unwrap_or(0),
            every,
            offset,
            limit,
            start: start.unwrap_or_default(),
            ttl,
            schedule,
            group,
            max_active: max_active.unwrap_or(Self::MAX_ACTIVE),
            seed,
            priority: priority.unwrap_or(0),
            stealth: stealth.unwrap_or(false),
            note,
            fault,
        };
        match spec.agrees() {
            Ok(()) => Ok(spec),
            Err(problem) => Err(vec![problem]),
        }
    }

    /// Checks what concerns more than one field.
    fn agrees(&self) -> Result<(), Problem> {
        if let Some(ramp) = self.schedule.ramp {
            if ramp.of == RampOf::Value && !self.fault.scales() {
                let detail = format!("`{}` has no magnitude that grows", self.fault.name());
                return Err(Problem::at("of", detail).under("ramp"));
            }
            let room = self.ttl.map(|ttl| ttl - self.start);
            if !ramp.down.is_zero() && room.is_none() {
                let detail = "fades before the end, but the ttl is \"none\"";
                return Err(Problem::at("down", detail).under("ramp"));
            }
            if room.is_some_and(|room| ramp.up.saturating_add(ramp.down) > room) {
                let detail = "`up` and `down` together are longer than the fault is armed";
                return Err(Problem::at("ramp", detail));
            }
        }
        self.check_layer()?;
        self.fault.check(&CommonFields {
            percent: self.percent,
            matching: &self.matching,
            per: &self.per,
            skip_first: self.skip_first,
            every: self.every,
            limit: self.limit,
            burst: self.schedule.burst,
        })
    }

    /// The form in which it is written, with every default written out.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        if let Some(id) = &self.id {
            put("id", json!(id));
        }
        put("route", self.route.to_value());
        put(self.fault.name(), self.fault.to_value());
        if let Some(layer) = self.layer {
            put("layer", json!(layer.name()));
        }
        if let Some(direction) = self.direction {
            put("direction", json!(direction.name()));
        }
        put("match", self.matching.to_value());
        put("percent", self.percent.to_value());
        put("per", json!(self.per.to_text()));
        put("skip_first", json!(self.skip_first));
        put("every", json!(self.every));
        put("offset", json!(self.offset));
        if let Some(limit) = self.limit {
            put("limit", json!(limit));
        }
        put("start", json!(show_duration(self.start)));
        put(
            "ttl",
            json!(self.ttl.map_or("none".to_owned(), show_duration)),
        );
        for (key, value) in self.schedule.members() {
            put(key, value);
        }
        if let Some(group) = &self.group {
            put("group", json!(group));
        }
        put("max_active", json!(self.max_active));
        if let Some(seed) = self.seed {
            put("seed", json!(seed));
        }
        put("priority", json!(self.priority));
        put("stealth", json!(self.stealth));
        if let Some(note) = &self.note {
            put("note", json!(note));
        }
        Value::Object(map)
    }

    /// Whether the counts let the match number `count`, from 0, through to the draw.
    pub(crate) fn counts_in(&self, count: u64) -> bool {
        count
            .checked_sub(self.skip_first)
            .is_some_and(|counted| counted % self.every == self.offset)
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn keep<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.0.push(problem)).ok()
    }

    fn optional<T>(
        &mut self,
        object: &Object<'_>,
        key: &str,
        read: impl FnOnce(&Value) -> Result<T, Problem>,
    ) -> Option<T> {
        self.keep(object.optional(key, read)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn problems(value: Value) -> Vec<(String, String)> {
        let problems = FaultSpec::read(&value).unwrap_err();
        problems
            .into_iter()
            .map(|p| (p.pointer, p.detail))
            .collect()
    }

    #[test]
    fn every_default_is_written_out_and_reads_back_as_the_same_fault() {
        let spec = FaultSpec::read(&json!({ "route": "web", "reset": {} })).unwrap();

        let written = spec.to_value();

        assert_eq!(
            written,
            json!({
                "route": "web", "reset": { "at": "request" }, "match": {}, "percent": 100, "per": "request", "skip_first": 0, "every": 1,
                "offset": 0, "start": "0s", "ttl": "10m", "max_active": 1000, "priority": 0,
                "stealth": false,
            })
        );
        assert_eq!(FaultSpec::read(&written), Ok(spec));
    }

    #[test]
    fn a_fault_with_everything_reads_back_as_itself() {
        let value = json!({
            "id": "flaky", "route": ["a", "b"], "abort": { "status": 503, "headers": {}, "at": "before" },
            "match": { "method": "GET", "path": "/v1/*", "header": { "x-user": "user-7" } },
            "percent": "1/1000", "per": "cookie:sid", "skip_first": 3, "every": 5, "offset": 2, "limit": 7,
            "start": "10s", "ttl": "1h", "group": "zone-a",
            "ramp": { "up": "1m", "down": "30s", "shape": "steps", "steps": 4, "of": "percent" },
            "wave": { "period": "20s", "duty": 0.25, "phase": "5s" },
            "pulses": [{ "start": "1m", "for": "30s" }],
            "nemesis": { "every": "10s", "jitter": "2s", "for": "4s", "targets": "one" },
            "burst": { "p_bad": 0.01, "p_good": 0.2 }, "max_active": 12, "seed": 99, "priority": -3,
            "stealth": true, "note": "INC-1412",
        });

        assert_eq!(FaultSpec::read(&value).unwrap().to_value(), value);
    }

    #[test]
    fn all_problems_come_at_once_one_for_each_field() {
        let found = problems(json!({
            "route": 7, "latency": { "p50": "300ms", "p99": "200ms" }, "percent": 150,
            "ttl": 10, "color": "red", "id": "Not An Id",
        }));

        let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/color",
                "/latency/p99",
                "/id",
                "/route",
                "/percent",
                "/ttl"
            ]
        );
    }

    #[test]
    fn fields_that_contradict_each_other_are_refused() {
        let cases = [
            (json!({ "every": 3, "offset": 3 }), "/offset"),
            (json!({ "start": "10m" }), "/start"),
            (json!({ "limit": 0 }), "/limit"),
            (json!({ "every": 0 }), "/every"),
            (json!({ "ttl": "0s" }), "/ttl"),
            (json!({ "max_active": 10_001 }), "/max_active"),
            (json!({ "route": [] }), "/route"),
            (json!({ "route": "" }), "/route"),
            (json!({ "percent": null }), "/percent"),
            (json!({ "per": "user" }), "/per"),
            (json!({ "ramp": {} }), "/ramp"),
            (json!({ "ramp": { "up": "1m", "of": "value" } }), "/ramp/of"),
            (json!({ "ramp": { "up": "11m" } }), "/ramp"),
            (
                json!({ "ramp": { "down": "1m" }, "ttl": "none" }),
                "/ramp/down",
            ),
            (json!({ "wave": { "duty": 1 } }), "/wave/duty"),
            (
                json!({ "wave": { "period": "1s", "phase": "1s" } }),
                "/wave/phase",
            ),
            (json!({ "pulses": [{ "start": "1s" }] }), "/pulses/0/for"),
            (json!({ "nemesis": { "for": "11s" } }), "/nemesis"),
            (json!({ "burst": { "p_bad": 1 } }), "/burst/p_good"),
            (json!({ "group": "Zone A" }), "/group"),
        ];
        for (extra, pointer) in cases {
            let mut value = json!({ "route": "web", "reset": {} });
            value
                .as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            let found = problems(value);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].0, pointer);
        }
    }

    #[test]
    fn counts_take_the_matches_they_say() {
        let spec = FaultSpec::read(&json!({
            "route": "web", "reset": {}, "skip_first": 3, "every": 4, "offset": 1,
        }))
        .unwrap();

        let taken: Vec<u64> = (0..15).filter(|count| spec.counts_in(*count)).collect();

        assert_eq!(taken, [4, 8, 12]);
    }
}
