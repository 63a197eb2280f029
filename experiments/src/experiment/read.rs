//! From the text of a file to an [`Experiment`], or every problem with its place.

use std::{fmt, time::Duration};

use brownout_fault::{
    FaultSpec,
    read::{Object, Problem, boolean, one_or_many, text, unknown, whole},
    units::duration_up_to,
};
use brownout_wire::RouteSpec;
use serde_json::{Map, Value, json};

use super::{
    EveryPage, Expected, Experiment, Guard, Load, Phase, PlannedFault, Recovery, ReportFiles,
    Steady, VerdictRule, checks,
    fields::{confidence, name, owned, path},
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

const KEYS: [&str; 18] = [
    "schema", "name", "title", "because", "owner", "tags", "seed", "timeout", "proxy", "routes",
    "load", "steady", "fault", "phase", "recovery", "guard", "verdict", "report",
];
const PHASE_KEYS: [&str; 6] = ["name", "duration", "faults", "expect", "after", "load"];
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
        let load = self.keep("", file.optional("load", Load::read));
        let load = load.unwrap_or_else(Load::external);
        self.names = Names {
            load: load.name().map(str::to_owned),
            routes: routes.iter().map(|it| it.name.clone()).collect(),
            faults: Vec::new(),
        };
        // An attached proxy has its routes already.
        if routes.is_empty() && !file.has("routes") {
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
        let experiment = Experiment {
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
            load,
            steady,
            phases,
            recovery: self.recovery(&file),
            guard: self.guard(&file),
            verdict: self.verdict(&file),
            report: self.report(&file),
        };
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

    fn guard(&mut self, file: &Object<'_>) -> Guard {
        let mut guard = Guard {
            halt_if: Vec::new(),
            min_samples: 50,
            lease: Duration::from_secs(15),
        };
        let Some((at, table)) = self.table(file, "guard") else {
            return guard;
        };
        let Ok(object) = Object::new(&table) else {
            return guard;
        };
        self.only(&at, &object, &["halt_if", "min_samples", "lease"]);
        guard.halt_if = self.expected(&at, &object, "halt_if");
        let samples = object.optional("min_samples", whole(1, Experiment::PAGES_MAX));
        guard.min_samples = self.keep(&at, samples).unwrap_or(guard.min_samples);
        let lease = object.optional("lease", duration_up_to(DURATION_MAX));
        guard.lease = self.keep(&at, lease).unwrap_or(guard.lease);
        guard
    }

    fn verdict(&mut self, file: &Object<'_>) -> VerdictRule {
        let read = file.optional("verdict", |value| {
            let verdict = Object::new(value)?;
            verdict.only(&["repeat", "confidence", "inconclusive", "min_samples"])?;
            // Part of the form; more than one run of a file is one command in a loop.
            verdict.optional("repeat", whole(1, 1))?;
            let words = ["fail", "skip"];
            let inconclusive = verdict.optional("inconclusive", |value| {
                let word = text(value)?;
                let is_known = words.contains(&word);
                is_known
                    .then_some(word == "fail")
                    .ok_or_else(|| Problem::here(unknown("word", word, &words)))
            })?;
            Ok(VerdictRule {
                min_samples: verdict
                    .optional("min_samples", whole(0, Experiment::PAGES_MAX))?
                    .unwrap_or(VerdictRule::MIN_SAMPLES),
                confidence: verdict.optional("confidence", confidence)?.unwrap_or(0.95),
                inconclusive_fails: inconclusive.unwrap_or(true),
            })
        });
        self.keep("", read).unwrap_or_default()
    }

    fn report(&mut self, file: &Object<'_>) -> ReportFiles {
        let read = file.optional("report", |value| {
            let report = Object::new(value)?;
            report.only(&["junit", "json", "html", "markdown", "github", "traces"])?;
            let github = report.optional("github", |value| {
                brownout_fault::read::one_of("word", &["auto", "off"])(value).map(|it| it == "auto")
            })?;
            Ok(ReportFiles {
                junit: report.optional("junit", path)?,
                json: report.optional("json", path)?,
                html: report.optional("html", path)?,
                markdown: report.optional("markdown", path)?,
                github: github.unwrap_or(true),
                traces: report.optional("traces", |value| match text(value)? {
                    url if url.starts_with("http") && url.contains("{trace_id}") => {
                        Ok(url.to_owned())
                    }
                    _ => Err(Problem::here("is not a URL with {trace_id} in it")),
                })?,
            })
        });
        let github = true;
        let usual = ReportFiles {
            github,
            ..ReportFiles::default()
        };
        self.keep("", read).unwrap_or(usual)
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

/// A problem as it is seen from the file.
fn within(at: &str, problem: Problem) -> Problem {
    Problem {
        pointer: format!("{at}{}", problem.pointer),
        detail: problem.detail,
    }
}

fn made_id(phase: &str, index: usize) -> String {
    format!("{phase}-{}", index + 1)
}

/// A route of `[routes]`: its address may be left out.
fn route(name: &str, value: &Value) -> Result<RouteSpec, Vec<Problem>> {
    let Value::Object(members) = value else {
        return Err(vec![Problem::here(
            "is a table, such as { upstream = \"http://127.0.0.1:9000\" }",
        )]);
    };
    let mut body: Map<String, Value> = members.clone();
    body.insert("name".to_owned(), json!(name));
    body.entry("listen").or_insert_with(|| json!("127.0.0.1:0"));
    RouteSpec::read(&Value::Object(body))
}

fn every_page(value: &Value) -> Result<EveryPage, Problem> {
    let pages = Object::new(value)?;
    pages.only(&["every", "attempts"])?;
    Ok(EveryPage {
        every: pages.optional("every", whole(1, 1_000))?.unwrap_or(1),
        attempts: pages.optional("attempts", whole(1, 1_000))?.unwrap_or(1),
    })
}

/// The routes that faults name, where the file declares none.
fn fault_routes(file: &Value) -> Vec<String> {
    let inline = phases_of(file)
        .filter_map(|phase| phase["faults"].as_array())
        .flatten();
    let listed = file["fault"].as_array().into_iter().flatten();
    let mut names: Vec<String> = Vec::new();
    for fault in listed.chain(inline) {
        match &fault["route"] {
            Value::String(name) => names.push(name.clone()),
            Value::Array(list) => {
                names.extend(list.iter().filter_map(Value::as_str).map(str::to_owned))
            }
            _ => {}
        }
    }
    names.retain(|name| name != "*");
    names.sort_unstable();
    names.dedup();
    names
}

/// The ids of faults that stand in phases, also those that are made.
fn inline_ids(file: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    for (number, phase) in phases_of(file).enumerate() {
        let made = format!("phase-{}", number + 1);
        let name = phase["name"].as_str().unwrap_or(&made);
        let faults = phase["faults"].as_array().into_iter().flatten();
        for (index, fault) in faults.enumerate().filter(|(_, fault)| fault.is_object()) {
            let given = fault["id"].as_str().map(str::to_owned);
            ids.push(given.unwrap_or_else(|| made_id(name, index)));
        }
    }
    ids
}

fn phases_of(file: &Value) -> impl Iterator<Item = &Value> {
    file["phase"].as_array().into_iter().flatten()
}

impl VerdictRule {
    /// Pages that a phase needs where the file does not say.
    pub const MIN_SAMPLES: u64 = 20;
}

impl Default for VerdictRule {
    fn default() -> Self {
        Self {
            min_samples: Self::MIN_SAMPLES,
            confidence: 0.95,
            inconclusive_fails: true,
        }
    }
}
