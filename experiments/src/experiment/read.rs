//! From the text of a file to an [`Experiment`], or every problem with its place.

mod settings;

use std::{fmt, time::Duration};

use brownout_fault::{
    FaultSpec,
    read::{Object, Problem, boolean, one_or_many, unknown, whole},
    units::duration_up_to,
};
use brownout_wire::RouteSpec;
use serde_json::{Value, json};

use super::{
    Demo, Expected, Experiment, Load, Phase, PlannedFault, Recovery, Steady, VerdictRule, checks,
    fields::{name, owned},
    parts::{
        every_page, fault_routes, inline_ids, made_id, phase_names, route, tail_watch, within,
    },
};
use crate::{
    expectation::{Expectation, Names},
    toml_tree::{Located, TomlTree},
};

/// Why a file is no experiment: every problem, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidExperiment {
    /// The file's name, as given.
    pub file: String,
    /// Each thing that is wrong.
    pub problems: Vec<Located>,
}

impl fmt::Display for InvalidExperiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            let Located {
                line,
                column,
                source,
                detail,
            } = problem;
            writeln!(f, "{}:{line}:{}: {detail}", self.file, column + 1)?;
            writeln!(f, "  {line} | {source}")?;
            let margin = line.to_string().len() + 6 + column;
            write!(f, "{:>margin$}", "^")?;
        }
        Ok(())
    }
}

const KEYS: [&str; 19] = [
    "schema", "name", "title", "because", "owner", "tags", "seed", "timeout", "proxy", "routes",
    "demo", "load", "steady", "fault", "phase", "recovery", "guard", "verdict", "report",
];
const PHASE_KEYS: [&str; 7] = [
    "name", "duration", "faults", "tail", "expect", "after", "load",
];
const DURATION_MAX: Duration = Duration::from_secs(60 * 60);
const PHASES_MAX: usize = 100;

impl Experiment {
    /// Reads the text of a file. `file` is its name, for messages.
    ///
    /// # Errors
    /// Every problem, with line and column: unknown keys with the nearest known one, wrong types and units, names of
    /// routes, faults and measures that are not there, numbers out of their bounds.
    pub fn read(source: &str, file: &str) -> Result<Self, InvalidExperiment> {
        let invalid = |problems| InvalidExperiment {
            file: file.to_owned(),
            problems,
        };
        let tree = TomlTree::parse(source).map_err(|problem| invalid(vec![problem]))?;
        let mut reader = Reader {
            tree: &tree,
            problems: Vec::new(),
            names: Names::default(),
        };
        let experiment = reader.experiment();
        if let Some(experiment) = &experiment {
            let found = checks::problems(experiment);
            reader.tell_all(found);
        }
        match experiment {
            Some(experiment) if reader.problems.is_empty() => Ok(experiment),
            _ => {
                let mut problems = reader.problems;
                problems.sort_by_key(|it| (it.line, it.column));
                Err(invalid(problems))
            }
        }
    }
}

struct Reader<'t> {
    tree: &'t TomlTree<'t>,
    problems: Vec<Located>,
    names: Names,
}

impl Reader<'_> {
    fn tell(&mut self, problem: &Problem) {
        self.problems.push(self.tree.place(problem));
    }

    fn tell_all(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            self.tell(&problem);
        }
    }

    /// Keeps what was read; `None` when it was not there, or wrong, which is told.
    fn keep<T>(&mut self, at: &str, read: Result<Option<T>, Problem>) -> Option<T> {
        read.unwrap_or_else(|problem| {
            self.tell(&within(at, problem));
            None
        })
    }

    fn experiment(&mut self) -> Option<Experiment> {
        let value = &self.tree.value;
        let file = Object::new(value).expect("a TOML file is a table");
        self.tell_all(file.unknown(&KEYS));
        self.keep(
            "",
            file.optional("schema", whole(Experiment::SCHEMA, Experiment::SCHEMA)),
        );
        let given = self.keep("", file.required("name", name).map(Some));
        let title = self.keep("", file.optional("title", owned));
        let (control, start) = self.proxy(&file);
        let routes = self.routes(&file);
        let demo = self.keep("", file.optional("demo", Demo::read));
        let load = self.keep("", file.optional("load", Load::read));
        let load = load.unwrap_or_else(Load::external);
        self.names = Names {
            load: load.name().map(str::to_owned),
            watch: load.watch.is_some(),
            routes: routes.iter().map(|it| it.name.clone()).collect(),
            faults: Vec::new(),
            phases: phase_names(value),
            runs: demo.is_some(),
        };
        if let Some(demo) = &demo {
            let hops = demo.system.hops().iter();
            self.names.routes = hops.map(|it| (*it).to_owned()).collect();
        }
        // An attached proxy has its routes already.
        if routes.is_empty() && !file.has("routes") && demo.is_none() {
            let named = fault_routes(value);
            self.names.routes = named;
            self.names
                .routes
                .extend(load.name().filter(|it| *it != "load").map(str::to_owned));
        }
        let faults = self.faults(&file);
        self.names.faults = faults.iter().map(|it| it.id.clone()).collect();
        let inline = inline_ids(value);
        self.names.faults.extend(inline);
        let steady = self.steady(&file);
        let phases = self.phases(&file, &faults);
        let mut experiment = Experiment {
            title: title.or_else(|| given.clone()).unwrap_or_default(),
            name: given.unwrap_or_default(),
            because: self.keep("", file.optional("because", owned)),
            owner: self.keep("", file.optional("owner", owned)),
            tags: self
                .keep("", file.optional("tags", one_or_many(owned)))
                .unwrap_or_default(),
            seed: self.keep("", file.optional("seed", whole(0, u64::MAX))),
            timeout: self
                .keep(
                    "",
                    file.optional("timeout", duration_up_to(Experiment::TIMEOUT_MAX)),
                )
                .unwrap_or(Duration::from_secs(600)),
            control,
            start,
            routes,
            demo,
            load,
            steady,
            phases,
            recovery: self.recovery(&file),
            guard: self.guard(&file),
            verdict: self.verdict(&file),
            report: self.report(&file),
        };
        experiment.watch_the_end();
        Some(experiment)
    }

    fn proxy(&mut self, file: &Object<'_>) -> (Option<String>, bool) {
        let read = file.optional("proxy", |value| {
            let proxy = Object::new(value)?;
            proxy.only(&["control", "start"])?;
            let control = proxy.optional("control", owned)?;
            let start = proxy.optional("start", boolean)?;
            if control.is_none() && start == Some(false) {
                return Err(Problem::at(
                    "start",
                    "is false, and no `control` says where a proxy runs",
                ));
            }
            let start = start.unwrap_or(control.is_none());
            Ok((control, start))
        });
        self.keep("", read).unwrap_or((None, true))
    }

    fn routes(&mut self, file: &Object<'_>) -> Vec<RouteSpec> {
        let read = file.optional("routes", |value| {
            let routes = Object::new(value)?;
            Ok(routes
                .iter()
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect::<Vec<_>>())
        });
        let mut routes = Vec::new();
        for (name, value) in self.keep("", read).unwrap_or_default() {
            let place = format!("/routes{}", Problem::at(&name, "").pointer);
            match route(&name, &value) {
                Ok(route) => routes.push(route),
                Err(problems) => {
                    for problem in problems {
                        self.tell(&within(&place, problem));
                    }
                }
            }
        }
        routes
    }

    fn faults(&mut self, file: &Object<'_>) -> Vec<PlannedFault> {
        let items = self.list(file, "fault");
        let mut faults: Vec<PlannedFault> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let place = format!("/fault/{index}");
            let Some(fault) = self.fault(item, &place, None) else {
                continue;
            };
            if faults.iter().any(|it| it.id == fault.id) {
                let detail = format!("`{}` is taken by another fault", fault.id);
                self.tell(&within(&place, Problem::at("id", detail)));
            }
            faults.push(fault);
        }
        faults
    }

    /// Reads a fault; `made` is its id where it may leave that out.
    fn fault(&mut self, value: &Value, place: &str, made: Option<String>) -> Option<PlannedFault> {
        let Value::Object(members) = value else {
            self.tell(&within(place, Problem::here("is written as a table")));
            return None;
        };
        let mut body = members.clone();
        let pages = body.remove("pages").map(|value| every_page(&value));
        let pages = self.keep(place, pages.transpose().map_err(|it| it.under("pages")));
        // The API's own name for this; a phase's faults end with the phase.
        let life = body.remove("for");
        if let Some(life) = life {
            if body.contains_key("ttl") {
                self.tell(&within(place, Problem::at("for", "and `ttl` say the same")));
            }
            body.insert("ttl".to_owned(), life);
        }
        if let (false, Some(made)) = (body.contains_key("id"), made) {
            body.insert("id".to_owned(), json!(made));
        }
        let body = Value::Object(body);
        let read = match FaultSpec::read(&body) {
            Ok(spec) => spec,
            Err(problems) => {
                for problem in problems {
                    self.tell(&within(place, problem));
                }
                return None;
            }
        };
        let Some(id) = read.id.clone() else {
            self.tell(&within(
                place,
                Problem::at("id", "is required: phases name it"),
            ));
            return None;
        };
        if let brownout_fault::Routes::Named(names) = &read.route {
            let known: Vec<&str> = self.names.routes.iter().map(String::as_str).collect();
            let strange = names.iter().find(|it| !known.contains(&it.as_str()));
            if let Some(strange) = strange {
                let detail = unknown("route", strange, &known);
                self.tell(&within(place, Problem::at("route", detail)));
            }
        }
        Some(PlannedFault {
            id,
            body,
            pages,
            line: self.tree.line_and_column(place).0,
        })
    }

    fn steady(&mut self, file: &Object<'_>) -> Option<Steady> {
        let (at, table) = self.table(file, "steady")?;
        let steady = Object::new(&table).ok()?;
        self.only(
            &at,
            &steady,
            &["warmup", "duration", "min_samples", "expect"],
        );
        let warmup = steady.optional("warmup", duration_up_to(DURATION_MAX));
        let warmup = self.keep(&at, warmup).unwrap_or_default();
        let read = steady.optional("duration", duration_up_to(DURATION_MAX));
        Some(Steady {
            warmup,
            duration: self.keep(&at, read).unwrap_or(Duration::from_secs(10)),
            min_samples: self
                .keep(
                    &at,
                    steady.optional("min_samples", whole(0, Experiment::PAGES_MAX)),
                )
                .unwrap_or(VerdictRule::MIN_SAMPLES),
            expect: self.expected(&at, &steady, "expect"),
        })
    }

    fn phases(&mut self, file: &Object<'_>, faults: &[PlannedFault]) -> Vec<Phase> {
        let items = self.list(file, "phase");
        if items.is_empty() {
            self.tell(&Problem::here("has no [[phase]]: nothing would be tried"));
        }
        if items.len() > PHASES_MAX {
            self.tell(&Problem::at(
                "phase",
                format!("there are more than {PHASES_MAX}"),
            ));
        }
        let mut phases: Vec<Phase> = Vec::new();
        for (index, item) in items.iter().take(PHASES_MAX).enumerate() {
            let at = format!("/phase/{index}");
            let Ok(table) = Object::new(item) else {
                self.tell(&within(&at, Problem::here("is written as a table")));
                continue;
            };
            self.only(&at, &table, &PHASE_KEYS);
            let given = self.keep(&at, table.optional("name", name));
            let given = given.unwrap_or_else(|| format!("phase-{}", index + 1));
            if phases.iter().any(|it| it.name == given) {
                let detail = format!("`{given}` is taken by another phase");
                self.tell(&within(&at, Problem::at("name", detail)));
            }
            if ["steady", "recovery"].contains(&given.as_str()) {
                let detail = format!("`{given}` is the name of a section of its own");
                self.tell(&within(&at, Problem::at("name", detail)));
            }
            let duration = table.optional("duration", duration_up_to(DURATION_MAX));
            let leave_after = table.optional("load", |value| {
                let load = Object::new(value)?;
                load.only(&["leave_after"])?;
                load.optional("leave_after", duration_up_to(Duration::from_secs(600)))
            });
            phases.push(Phase {
                duration: self.keep(&at, duration),
                faults: self.faults_of(&table, &at, &given, faults),
                expect: self.expected(&at, &table, "expect"),
                after: self.expected(&at, &table, "after"),
                tail: self.keep(&at, table.optional("tail", tail_watch)),
                leave_after: self.keep(&at, leave_after).flatten(),
                line: self.tree.line_and_column(&at).0,
                name: given,
            });
        }
        phases
    }

    /// The faults of a phase: ids of `[[fault]]`, or whole faults.
    fn faults_of(
        &mut self,
        table: &Object<'_>,
        at: &str,
        phase: &str,
        known: &[PlannedFault],
    ) -> Vec<PlannedFault> {
        let items = table.optional("faults", |value| match value {
            Value::Array(items) => Ok(items.clone()),
            _ => Err(Problem::here("is a list of ids, or of faults")),
        });
        let mut faults = Vec::new();
        for (index, item) in self.keep(at, items).unwrap_or_default().iter().enumerate() {
            let place = format!("{at}/faults/{index}");
            match item {
                Value::String(id) => match known.iter().find(|it| it.id == *id) {
                    Some(fault) => faults.push(fault.clone()),
                    None => {
                        let ids: Vec<&str> = known.iter().map(|it| it.id.as_str()).collect();
                        self.tell(&within(&place, Problem::here(unknown("fault", id, &ids))));
                    }
                },
                other => {
                    let made = made_id(phase, index);
                    faults.extend(self.fault(other, &place, Some(made)));
                }
            }
        }
        faults
    }

    fn recovery(&mut self, file: &Object<'_>) -> Option<Recovery> {
        let (at, table) = self.table(file, "recovery")?;
        let recovery = Object::new(&table).ok()?;
        self.only(&at, &recovery, &["observe", "expect"]);
        let read = recovery.optional("observe", duration_up_to(DURATION_MAX));
        Some(Recovery {
            observe: self.keep(&at, read).unwrap_or(Duration::from_secs(20)),
            expect: self.expected(&at, &recovery, "expect"),
        })
    }

    /// A section that is a table, and its place.
    fn table(&mut self, file: &Object<'_>, key: &str) -> Option<(String, Value)> {
        let read = file.optional(key, |value| Object::new(value).map(|_| value.clone()));
        self.keep("", read).map(|value| (format!("/{key}"), value))
    }

    /// The elements of an array of tables.
    fn list(&mut self, file: &Object<'_>, key: &str) -> Vec<Value> {
        let read = file.optional(key, |value| match value {
            Value::Array(items) => Ok(items.clone()),
            _ => Err(Problem::here(format!("is written as [[{key}]]"))),
        });
        self.keep("", read).unwrap_or_default()
    }

    fn only(&mut self, at: &str, object: &Object<'_>, keys: &[&str]) {
        let unknown: Vec<Problem> = object.unknown(keys).collect();
        for problem in unknown {
            self.tell(&within(at, problem));
        }
    }

    /// A list of expectations.
    fn expected(&mut self, at: &str, object: &Object<'_>, key: &str) -> Vec<Expected> {
        let texts = object.optional(key, |value| match value {
            Value::Array(items) => {
                let texts = items.iter().enumerate().map(|(index, item)| {
                    owned(item).map_err(|problem| problem.under(&index.to_string()))
                });
                texts.collect::<Result<Vec<String>, Problem>>()
            }
            other => Err(brownout_fault::read::expected("a list of texts", other)),
        });
        let mut read = Vec::new();
        for (index, text) in self.keep(at, texts).unwrap_or_default().iter().enumerate() {
            let place = format!("{at}/{key}/{index}");
            match Expectation::parse(text, &self.names) {
                Ok(expectation) => {
                    let (line, column) = self.tree.line_and_column(&place);
                    read.push(Expected {
                        expectation,
                        line,
                        column,
                    });
                }
                Err(wrong) => {
                    let located = self.tree.place_in_text(&place, wrong.at, &wrong.detail);
                    self.problems.push(located);
                }
            }
        }
        read
    }
}

impl VerdictRule {
    /// Pages that a phase needs where the file does not say.
    pub const MIN_SAMPLES: u64 = 20;
    /// The most repetitions of one file.
    pub const REPEAT_MAX: u32 = 20;
}

impl Default for VerdictRule {
    fn default() -> Self {
        Self {
            repeat: 1,
            min_samples: Self::MIN_SAMPLES,
            confidence: 0.95,
            inconclusive_fails: true,
        }
    }
}
