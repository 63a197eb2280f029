//! Readers of single values that several sections share.

use std::path::PathBuf;

use brownout_fault::{
    is_name,
    read::{Problem, text},
};
use serde_json::Value;

pub(super) fn owned(value: &Value) -> Result<String, Problem> {
    text(value).map(str::to_owned)
}

pub(super) fn path(value: &Value) -> Result<PathBuf, Problem> {
    match text(value)? {
        "" => Err(Problem::here("is empty; leave it out")),
        path => Ok(PathBuf::from(path)),
    }
}

/// Reads a name of an experiment, phase or fault.
pub(super) fn name(value: &Value) -> Result<String, Problem> {
    let word = text(value)?;
    if is_name(word) {
        return Ok(word.to_owned());
    }
    Err(Problem::here(
        "is not a name: up to 64 of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit",
    ))
}

pub(super) fn confidence(value: &Value) -> Result<f64, Problem> {
    let number = value.as_f64().filter(|it| (0.5..1.0).contains(it));
    number.ok_or_else(|| Problem::here("is not a confidence from 0.5 to below 1, such as 0.95"))
}
