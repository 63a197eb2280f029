//! To whom a fault belongs: what the control plane keeps beside it, and the data plane never sees.

use brownout_fault::{
    is_name,
    read::{Object, Problem, one_or_many, text},
};
use serde_json::{Map, Value, json};

/// Labels, owner and lease of a fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultTags {
    /// Labels by which calls find and remove it.
    pub labels: Vec<String>,
    /// The owner, as free text.
    pub owner: Option<String>,
    /// The lease with which it ends.
    pub lease: Option<String>,
}

impl FaultTags {
    /// The keys of a fault that are read here.
    pub const KEYS: [&'static str; 3] = ["labels", "owner", "lease"];
    /// The most labels of one fault.
    pub const LABELS_MAX: usize = 16;
    /// The most bytes of a label or an owner.
    pub const TEXT_BYTES_MAX: usize = 128;

    /// Takes the members that are tags out of a fault.
    #[must_use]
    pub fn split(fault: &Value) -> (Map<String, Value>, Value) {
        let Value::Object(members) = fault else {
            return (Map::new(), fault.clone());
        };
        let (tags, rest): (Map<_, _>, Map<_, _>) = members
            .clone()
            .into_iter()
            .partition(|(key, _)| Self::KEYS.contains(&key.as_str()));
        (tags, Value::Object(rest))
    }

    /// Reads what [`split`](Self::split) took out.
    ///
    /// # Errors
    /// One problem for each member.
    pub fn read(members: &Map<String, Value>) -> Result<Self, Vec<Problem>> {
        let value = Value::Object(members.clone());
        let object = Object::new(&value).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut tags = Self::default();
        match object.optional("labels", labels) {
            Ok(labels) => tags.labels = labels.unwrap_or_default(),
            Err(problem) => problems.push(problem),
        }
        match object.optional("owner", free_text) {
            Ok(owner) => tags.owner = owner,
            Err(problem) => problems.push(problem),
        }
        match object.optional("lease", lease_id) {
            Ok(lease) => tags.lease = lease,
            Err(problem) => problems.push(problem),
        }
        if problems.is_empty() {
            Ok(tags)
        } else {
            Err(problems)
        }
    }

    /// What comes of a JSON merge patch (RFC 7396): null takes a member away, anything else takes its place.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn patched(&self, patch: &Map<String, Value>) -> Result<Self, Vec<Problem>> {
        let mut members = self.members();
        for (key, value) in patch {
            match value {
                Value::Null => drop(members.shift_remove(key)),
                value => drop(members.insert(key.clone(), value.clone())),
            }
        }
        Self::read(&members)
    }

    /// The form in which they are written; nothing is written out that is not there.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        if !self.labels.is_empty() {
            members.insert("labels".to_owned(), json!(self.labels));
        }
        if let Some(owner) = &self.owner {
            members.insert("owner".to_owned(), json!(owner));
        }
        if let Some(lease) = &self.lease {
            members.insert("lease".to_owned(), json!(lease));
        }
        members
    }
}

fn labels(value: &Value) -> Result<Vec<String>, Problem> {
    let max = FaultTags::LABELS_MAX;
    match value {
        Value::Array(items) if items.is_empty() => return Ok(Vec::new()),
        Value::Array(items) if items.len() > max => {
            let count = items.len();
            return Err(Problem::here(format!(
                "are {count} labels; there may be {max}"
            )));
        }
        _ => {}
    }
    let mut labels: Vec<String> = Vec::new();
    for label in one_or_many(free_text)(value)? {
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    Ok(labels)
}

/// A text of one line, to be shown to people.
pub(crate) fn free_text(value: &Value) -> Result<String, Problem> {
    let max = FaultTags::TEXT_BYTES_MAX;
    let word = text(value)?;
    if word.is_empty() || word.len() > max || word.chars().any(char::is_control) {
        let detail = format!("is not a text of 1 to {max} bytes without control characters");
        return Err(Problem::here(detail));
    }
    Ok(word.to_owned())
}

pub(crate) fn lease_id(value: &Value) -> Result<String, Problem> {
    let word = text(value)?;
    if is_name(word) {
        return Ok(word.to_owned());
    }
    Err(Problem::here(
        "is not the id of a lease: up to 64 of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit",
    ))
}
