//! `Retry-After`, said in seconds or as a date.

use std::time::Duration;

use serde_json::Value;

use crate::{
    injection::RetryDate,
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
    /// A time so long ago.
    PastDate,
}

/// The prefix that asks for a date.
const DATE: &str = "date:";
/// The prefix, after `date:`, that asks for a date in the past.
const PAST: &str = "-";

/// Splits `date:REST` from what is said in seconds.
pub(super) fn form(value: &Value) -> Result<(Form, &str), Problem> {
    if value.is_number() {
        duration(value)?; // Refused with a hint.
    }
    let said = text(value)?;
    Ok(match said.strip_prefix(DATE) {
        Some(rest) => match rest.strip_prefix(PAST) {
            Some(rest) => (Form::PastDate, rest),
            None => (Form::Date, rest),
        },
        None => (Form::Seconds, said),
    })
}

/// Writes what [`form`] reads.
pub(super) fn show(form: Form, rest: &str) -> String {
    match form {
        Form::Seconds => rest.to_owned(),
        Form::Date => format!("{DATE}{rest}"),
        Form::PastDate => format!("{DATE}{PAST}{rest}"),
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

    /// The date that it is, if it is one.
    pub(super) fn date(self) -> Option<RetryDate> {
        match self.form {
            Form::Seconds => None,
            Form::Date => Some(RetryDate::Ahead(self.after)),
            Form::PastDate => Some(RetryDate::Ago(self.after)),
        }
    }

    pub(super) fn to_text(self) -> String {
        show(self.form, &show_duration(self.after))
    }
}
