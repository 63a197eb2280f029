//! The fields of a fault that are read on their own.

use std::time::Duration;

use serde_json::Value;

use crate::{
    name::is_name,
    read::{Problem, expected, text, whole},
    units::{duration, show_duration},
};

pub(super) fn id(value: &Value) -> Result<String, Problem> {
    let word = text(value)?;
    if word == "kinds" {
        return Err(Problem::here(
            "is the name of the reference at /faults/kinds; choose another",
        ));
    }
    if is_name(word) {
        return Ok(word.to_owned());
    }
    Err(Problem::here(
        "is not an id: up to 64 of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit",
    ))
}

pub(super) fn offset(every: u64) -> impl Fn(&Value) -> Result<u64, Problem> {
    move |value| match whole(0, u64::MAX)(value)? {
        offset if offset < every => Ok(offset),
        offset => Err(Problem::here(format!(
            "{offset} is outside 0 to {}, as `every` is {every}",
            every - 1
        ))),
    }
}

pub(super) fn limit(value: &Value) -> Result<u64, Problem> {
    if value == 0 {
        return Err(Problem::here(
            "0 would never fire; write `percent` 0 for a silent fault",
        ));
    }
    whole(1, u64::MAX)(value)
}

pub(super) fn ttl(value: &Value) -> Result<Option<Duration>, Problem> {
    if value == "none" {
        return Ok(None);
    }
    let ttl = duration(value)?;
    if ttl.is_zero() {
        return Err(Problem::here(
            "must be longer than 0s; \"none\" means for ever",
        ));
    }
    Ok(Some(ttl))
}

pub(super) fn start(ttl: Option<Duration>) -> impl Fn(&Value) -> Result<Duration, Problem> {
    move |value| {
        let start = duration(value)?;
        match ttl {
            Some(ttl) if start >= ttl => Err(Problem::here(format!(
                "{} is not before the end of its ttl ({}), which also counts from arming",
                show_duration(start),
                show_duration(ttl)
            ))),
            _ => Ok(start),
        }
    }
}

pub(super) fn priority(value: &Value) -> Result<i64, Problem> {
    match value.as_i64() {
        Some(priority) if (-1_000_000..=1_000_000).contains(&priority) => Ok(priority),
        Some(priority) => Err(Problem::here(format!(
            "{priority} is outside -1000000 to 1000000"
        ))),
        None => Err(expected("a whole number", value)),
    }
}

pub(super) fn note(bytes_max: usize) -> impl Fn(&Value) -> Result<String, Problem> {
    move |value| {
        let note = text(value)?;
        if note.len() > bytes_max {
            let detail = format!("is longer than {bytes_max} bytes");
            return Err(Problem::here(detail));
        }
        Ok(note.to_owned())
    }
}

pub(super) fn group(value: &Value) -> Result<String, Problem> {
    let word = text(value)?;
    if is_name(word) {
        return Ok(word.to_owned());
    }
    Err(Problem::here(
        "is not a name: up to 64 of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit",
    ))
}
