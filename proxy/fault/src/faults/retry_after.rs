//! `Retry-After`, said in seconds or as a date.

use std::time::Duration;

use serde_json::Value;

use crate::{
    read::{Problem, text},
    units::{duration, show_duration},
};

/// In which of its two forms a `Retry-After` is written (RFC 9110 §10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Seconds to wait.
    Seconds,
    /// The time at which the wait is over, rounded up to a second.
    Date,
}

/// What asks for a date.
const DATE: &str = "date:";

/// Splits `date:REST` from what is said in seconds.
pub(super) fn form(value: &Value) -> Result<(Form, &str), Problem> {
    if value.is_number() {
        duration(value)?; // Refused with a hint.
    }
    let said = text(value)?;
    Ok(match said.strip_prefix(DATE) {
        Some(rest) => (Form::Date, rest),
        None => (Form::Seconds, said),
    })
}

/// The reverse of [`form`].
pub(super) fn show(form: Form, rest: &str) -> String {
    match form {
        Form::Seconds => rest.to_owned(),
        Form::Date => format!("{DATE}{rest}"),
    }
}

/// A wait in whole seconds.
pub(super) fn whole_seconds(text: &str) -> Result<Duration, Problem> {
    let after = duration(&Value::from(text))?;
    if after.subsec_nanos() != 0 {
        return Err(Problem::here(
            "must be whole seconds, as the header has no finer unit",
        ));
    }
    Ok(after)
}

/// A wait in a form, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetryAfter {
    pub(super) form: Form,
    pub(super) after: Duration,
}

impl RetryAfter {
    pub(super) fn read(value: &Value) -> Result<Self, Problem> {
        let (form, rest) = form(value)?;
        let after = whole_seconds(rest)?;
        Ok(Self { form, after })
    }

    pub(super) fn to_text(self) -> String {
        show(self.form, &show_duration(self.after))
    }
}
