//! The value of a file that a sweep moves.

use brownout_fault::read::unknown;
use toml::{Table, Value};

/// A place in an experiment's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As given.
    text: String,
    keys: Vec<String>,
}

impl Place {
    /// Reads `fault.latency`, `fault.ID.latency.max`, `load.rate`, `load.connections`, `demo.timeout` or
    /// `policy.breaker.wait`.
    ///
    /// # Errors
    /// A sentence that says what would be accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys: Vec<String> = text.split('.').map(str::to_owned).collect();
        let first = keys.first().map(String::as_str).unwrap_or_default();
        const KNOWN: [&str; 4] = ["fault", "load", "demo", "policy"];
        if !KNOWN.contains(&first) {
            return Err(unknown("place", first, &KNOWN));
        }
        if keys.len() < 2 || keys.iter().any(String::is_empty) {
            return Err(format!(
                "`{text}` names no value; write it like fault.latency or load.rate"
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            keys,
        })
    }

    /// As given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text of a file with another value there.
    ///
    /// # Errors
    /// When the file has no such place.
    pub fn set(&self, source: &str, value: Value) -> Result<String, String> {
        let mut file: Table = source.parse().map_err(|error| format!("{error}"))?;
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        match keys.as_slice() {
            ["fault", rest @ ..] => self.set_fault(&mut file, rest, &value)?,
            ["load", "rate"] => {
                let load = table(&mut file, "load");
                load.remove("connections");
                load.insert("rate".to_owned(), value);
            }
            ["policy", rest @ ..] => {
                let demo = table(&mut file, "demo");
                if !demo.get("policy").is_some_and(Value::is_table) {
                    return Err(format!(
                        "`{}`: the file has no policy of its own",
                        self.text
                    ));
                }
                put(table(demo, "policy"), rest, value);
            }
            [section, rest @ ..] => put(table(&mut file, section), rest, value),
            [] => {}
        }
        toml::to_string(&file).map_err(|error| error.to_string())
    }

    /// Sets a parameter of the fault that is named, or else of the first that has it. A fault that stands in several
    /// phases is one.
    fn set_fault(&self, file: &mut Table, keys: &[&str], value: &Value) -> Result<(), String> {
        let mut faults = faults(file);
        let id = faults.iter().find_map(|it| {
            let id = it.get("id")?.as_str()?;
            (keys.len() > 1 && Some(&id) == keys.first()).then(|| id.to_owned())
        });
        let keys = if id.is_some() { &keys[1..] } else { keys };
        let fits = |it: &&mut &mut Table| match &id {
            Some(id) => it.get("id").and_then(Value::as_str) == Some(id),
            None => it.contains_key(keys[0]),
        };
        let Some(first) = faults.iter_mut().find(fits) else {
            return Err(format!("`{}`: no fault has that", self.text));
        };
        match first.get("id").cloned() {
            Some(id) => {
                let same = faults.iter_mut().filter(|it| it.get("id") == Some(&id));
                same.for_each(|it| put(it, keys, value.clone()));
            }
            None => put(first, keys, value.clone()),
        }
        Ok(())
    }
}

/// Every fault of a file, those in phases included.
fn faults(file: &mut Table) -> Vec<&mut Table> {
    let mut all = Vec::new();
    for (key, section) in file.iter_mut() {
        let Some(items) = section.as_array_mut() else {
            continue;
        };
        let tables = items.iter_mut().filter_map(Value::as_table_mut);
        match key.as_str() {
            "fault" => all.extend(tables),
            "phase" => {
                let inline = tables.filter_map(|it| it.get_mut("faults")?.as_array_mut());
                all.extend(inline.flatten().filter_map(Value::as_table_mut));
            }
            _ => {}
        }
    }
    all
}

/// The table of this name, made if it is not there.
fn table<'t>(parent: &'t mut Table, key: &str) -> &'t mut Table {
    let made = parent
        .entry(key)
        .or_insert_with(|| Value::Table(Table::new()));
    if !made.is_table() {
        *made = Value::Table(Table::new());
    }
    made.as_table_mut().expect("it was just made one")
}

fn put(parent: &mut Table, keys: &[&str], value: Value) {
    match keys {
        [] => {}
        [last] => {
            parent.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => put(table(parent, first), rest, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [load]
        connections = 10
        [demo]
        policy = { timeout = { attempt = "1s" } }
        [[phase]]
        name = "slow"
        faults = [{ id = "gone", reset = {} }, { id = "late", latency = { min = "5s", max = "10s" } }]
    "#;

    fn set(place: &str, value: Value) -> Result<Table, String> {
        let text = Place::parse(place)?.set(FILE, value)?;
        text.parse().map_err(|it| format!("{it}"))
    }

    #[test]
    fn a_value_is_set_where_it_stands() {
        let text = || Value::String("70ms".to_owned());
        let fault = |file: &Table| file["phase"][0]["faults"][1].clone();

        assert_eq!(
            fault(&set("fault.latency", text()).unwrap())["latency"],
            text()
        );
        assert_eq!(
            fault(&set("fault.late.latency.max", text()).unwrap())["latency"]["max"],
            text()
        );
        assert_eq!(
            set("demo.timeout", text()).unwrap()["demo"]["timeout"],
            text()
        );
        let policy = set("policy.timeout.attempt", text()).unwrap();
        assert_eq!(policy["demo"]["policy"]["timeout"]["attempt"], text());
        let load = set("load.rate", Value::String("5/s".to_owned())).unwrap();
        assert_eq!(load["load"].as_table().unwrap().len(), 1);
    }

    #[test]
    fn a_fault_that_stands_in_several_phases_is_one() {
        let phase = r#"
            [[phase]]
            faults = [{ id = "late", latency = "1s" }]
        "#;
        let place = Place::parse("fault.latency").unwrap();
        let text = place.set(&phase.repeat(2), Value::String("2s".to_owned()));

        let file: Table = text.unwrap().parse().unwrap();
        for phase in file["phase"].as_array().unwrap() {
            assert_eq!(phase["faults"][0]["latency"].as_str(), Some("2s"));
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let wrong = |place| set(place, Value::Integer(1)).unwrap_err();

        assert!(wrong("falt.latency").contains("fault"));
        assert!(wrong("fault.abort").contains("no fault has that"));
        assert!(wrong("fault").contains("names no value"));
    }
}
