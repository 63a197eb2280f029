//! Parts of a file that are read before or beside its sections.

use std::time::Duration;

use brownout_fault::{
    read::{Object, Problem, whole},
    units::duration_up_to,
};
use brownout_wire::RouteSpec;
use serde_json::{Map, Value, json};

use super::{EveryPage, TailWatch, fields::owned};

/// A problem as it is seen from the file.
pub(super) fn within(at: &str, problem: Problem) -> Problem {
    Problem {
        pointer: format!("{at}{}", problem.pointer),
        detail: problem.detail,
    }
}

pub(super) fn made_id(phase: &str, index: usize) -> String {
    format!("{phase}-{}", index + 1)
}

/// A route of `[routes]`: its address may be left out.
pub(super) fn route(name: &str, value: &Value) -> Result<RouteSpec, Vec<Problem>> {
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

pub(super) fn every_page(value: &Value) -> Result<EveryPage, Problem> {
    let pages = Object::new(value)?;
    pages.only(&["every", "attempts"])?;
    Ok(EveryPage {
        every: pages.optional("every", whole(1, 1_000))?.unwrap_or(1),
        attempts: pages.optional("attempts", whole(1, 1_000))?.unwrap_or(1),
    })
}

/// The tail of a phase: the service's name, or a table.
pub(super) fn tail_watch(value: &Value) -> Result<TailWatch, Problem> {
    const LIMIT: Duration = Duration::from_secs(20);
    if value.is_string() {
        return Ok(TailWatch {
            of: owned(value)?,
            limit: LIMIT,
        });
    }
    let tail = Object::new(value)?;
    tail.only(&["of", "limit"])?;
    Ok(TailWatch {
        of: tail.required("of", owned)?,
        limit: tail
            .optional("limit", duration_up_to(Duration::from_secs(60 * 60)))?
            .unwrap_or(LIMIT),
    })
}

/// The phases by the names that they have in the file.
pub(super) fn phase_names(file: &Value) -> Vec<String> {
    let names = phases_of(file).filter_map(|it| it["name"].as_str());
    names.map(str::to_owned).collect()
}

/// The routes that faults name, where the file declares none.
pub(super) fn fault_routes(file: &Value) -> Vec<String> {
    let inline = phases_of(file)
        .filter_map(|phase| phase["faults"].as_array())
        .flatten();
    let listed = file["fault"].as_array().into_iter().flatten();
    let mut names: Vec<String> = Vec::new();
    for fault in listed.chain(inline) {
        match &fault["route"] {
            Value::String(name) => names.push(name.clone()),
            Value::Array(list) => {
                names.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
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
pub(super) fn inline_ids(file: &Value) -> Vec<String> {
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
