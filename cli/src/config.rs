//! `brownout.toml`: routes, faults and settings, with the keys of the API.

use std::{collections::BTreeSet, fs, path::Path};

use brownout_control_api::{check_routes, new_route};
use brownout_experiment::TomlTree;
use brownout_fault::read::{Object, Problem, text, unknown, whole};
use brownout_proxy::NewRoute;
use brownout_telemetry::{Dialect, FaultSampling};
use brownout_wire::{FaultDraft, RouteSpec};
use serde_json::Value;

use crate::{
    control_settings::ControlFile,
    exit::{Exit, Failure},
    process_settings::ProcessFile,
    telemetry::TelemetryFile,
    variables::{expand, variable},
};

/// What a file says; `None` where it says nothing.
#[derive(Debug, Default, Clone)]
pub(crate) struct Config {
    pub(crate) routes: Vec<NewRoute>,
    pub(crate) faults: Vec<FaultDraft>,
    pub(crate) seed: Option<u64>,
    pub(crate) process: ProcessFile,
    pub(crate) control: ControlFile,
    pub(crate) telemetry: TelemetryFile,
    pub(crate) connections_max: Option<usize>,
    /// How many requests are kept as evidence.
    pub(crate) evidence_capacity: Option<usize>,
}

impl Config {
    const KEYS: [&'static str; 7] = [
        "route",
        "fault",
        "seed",
        "control",
        "telemetry",
        "limits",
        "evidence",
    ];

    /// Reads a file: all of it is good, or every problem is told with its line.
    /// Its faults may also name the routes `others`, which are made elsewhere.
    pub(crate) fn read(path: &Path, others: &[NewRoute]) -> Result<Self, Failure> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::Usage, format!("could not read `{shown}`: {error}"))
        })?;
        let wrong = |places: Vec<String>| {
            let places = places.join("\n\n");
            Failure::new(Exit::Usage, format!("`{shown}` cannot be used\n\n{places}"))
        };
        let mut tree = TomlTree::parse(&text).map_err(|place| wrong(vec![place.to_string()]))?;
        let mut value = std::mem::take(&mut tree.value);
        expand(&mut value, &variable)
            .and_then(|()| Self::from_value(&value, others))
            .map_err(|problems| {
                let places = problems
                    .iter()
                    .map(|problem| tree.place(problem).to_string());
                wrong(places.collect())
            })
    }

    /// Whether what is read at the start alone is the same in both.
    pub(crate) fn has_the_settings_of(&self, other: &Self) -> bool {
        let of = |config: &Self| {
            let Self {
                routes: _,
                faults: _,
                seed,
                process,
                control,
                telemetry,
                connections_max,
                evidence_capacity,
            } = config.clone();
            let limits = (connections_max, evidence_capacity);
            (seed, process, control, telemetry, limits)
        };
        of(self) == of(other)
    }

    fn from_value(value: &Value, others: &[NewRoute]) -> Result<Self, Vec<Problem>> {
        let file = Object::new(value).map_err(|problem| vec![problem])?;
        let known = [&Self::KEYS[..], &ProcessFile::KEYS].concat();
        let mut problems: Vec<Problem> = file.unknown(&known).collect();
        let routes = list(&file, "route", &mut problems, |value| {
            RouteSpec::read(value).and_then(|spec| new_route(&spec))
        });
        let faults = list(&file, "fault", &mut problems, FaultDraft::read);
        let process = ProcessFile::read(&file, &mut problems);
        let mut config = Self {
            routes,
            faults,
            process,
            ..Self::default()
        };
        problems.extend(strays(&config, others));

        let settings = [
            file.optional("seed", whole(0, u64::MAX))
                .map(|seed| config.seed = seed),
            file.optional("control", |value| config.read_control(value))
                .map(drop),
            file.optional("telemetry", |value| config.read_telemetry(value))
                .map(drop),
            file.optional("limits", |value| config.read_limits(value))
                .map(drop),
            file.optional("evidence", |value| config.read_evidence(value))
                .map(drop),
        ];
        problems.extend(settings.into_iter().filter_map(Result::err));
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }

    fn read_control(&mut self, value: &Value) -> Result<(), Problem> {
        self.control = ControlFile::read(value)?;
        Ok(())
    }

    fn read_telemetry(&mut self, value: &Value) -> Result<(), Problem> {
        let telemetry = Object::new(value)?;
        let keys = [
            "otlp",
            "statsd",
            "dialect",
            "sample_ratio",
            "fault_sampling",
        ];
        telemetry.only(&keys)?;
        self.telemetry = TelemetryFile {
            otlp: telemetry.optional("otlp", owned)?,
            statsd: telemetry.optional("statsd", owned)?,
            dialect: telemetry.optional("dialect", dialect)?,
            sample_ratio: telemetry.optional("sample_ratio", share)?,
            fault_sampling: telemetry.optional("fault_sampling", fault_sampling)?,
        };
        Ok(())
    }

    fn read_limits(&mut self, value: &Value) -> Result<(), Problem> {
        let limits = Object::new(value)?;
        limits.only(&["connections"])?;
        let connections = limits.optional("connections", whole(1, 1_000_000))?;
        self.connections_max = connections.and_then(|count| usize::try_from(count).ok());
        Ok(())
    }

    fn read_evidence(&mut self, value: &Value) -> Result<(), Problem> {
        let evidence = Object::new(value)?;
        evidence.only(&["capacity"])?;
        let capacity = evidence.optional("capacity", whole(0, 1_000_000))?;
        self.evidence_capacity = capacity.and_then(|count| usize::try_from(count).ok());
        Ok(())
    }
}

/// Reads each element of an array of tables.
fn list<T>(
    file: &Object<'_>,
    key: &str,
    problems: &mut Vec<Problem>,
    read: impl Fn(&Value) -> Result<T, Vec<Problem>>,
) -> Vec<T> {
    let items = file.optional(key, |value| match value {
        Value::Array(items) => Ok(items.clone()),
        _ => Err(Problem::here(format!("is written as [[{key}]]"))),
    });
    let items = match items {
        Ok(items) => items.unwrap_or_default(),
        Err(problem) => {
            problems.push(problem);
            return Vec::new();
        }
    };
    let mut good = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match read(item) {
            Ok(read) => good.push(read),
            Err(found) => problems.extend(
                found
                    .into_iter()
                    .map(|problem| problem.under(&index.to_string()).under(key)),
            ),
        }
    }
    good
}

/// What does not fit together: a route or an id twice, a fault for a route that is not there or cannot carry it.
fn strays(config: &Config, others: &[NewRoute]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for (index, route) in config.routes.iter().enumerate() {
        if !names.insert(route.name.as_str()) {
            let problem = Problem::at(
                "name",
                format!("`{}` is taken by another route", route.name),
            );
            problems.push(problem.under(&index.to_string()).under("route"));
        }
    }
    let mut ids = BTreeSet::new();
    for (index, fault) in config.faults.iter().enumerate() {
        if let Some(id) = &fault.spec.id
            && !ids.insert(id.as_str())
        {
            let problem = Problem::at("id", format!("`{id}` is taken by another fault"));
            problems.push(problem.under(&index.to_string()).under("fault"));
        }
    }
    let routes: Vec<NewRoute> = config.routes.iter().chain(others).cloned().collect();
    problems.extend(
        check_routes(&routes, &config.faults)
            .err()
            .unwrap_or_default(),
    );
    problems
}

fn dialect(value: &Value) -> Result<Dialect, Problem> {
    let names = Dialect::ALL.map(Dialect::name);
    let word = text(value)?;
    word.parse()
        .map_err(|_| Problem::here(unknown("dialect", word, &names)))
}

fn fault_sampling(value: &Value) -> Result<FaultSampling, Problem> {
    match text(value)? {
        "inherit" => Ok(FaultSampling::Inherit),
        "always" => Ok(FaultSampling::Always),
        other => Err(Problem::here(unknown(
            "word",
            other,
            &["inherit", "always"],
        ))),
    }
}

fn share(value: &Value) -> Result<f64, Problem> {
    let ratio = value.as_f64().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| Problem::here("is no share between 0 and 1"))
}

fn owned(value: &Value) -> Result<String, Problem> {
    text(value).map(str::to_owned)
}
