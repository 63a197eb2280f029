//! What went wrong: `application/problem+json` (RFC 9457).

use std::fmt;

use brownout_fault::read::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemAnswer {
    /// Always `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The reason phrase of the status.
    pub title: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// What is wrong, for a person.
    pub detail: String,
    /// Each thing that is wrong with the input, with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorAnswer>,
}

/// One thing wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorAnswer {
    /// A JSON pointer (RFC 6901) into the body; `?key` for a part of the query.
    pub pointer: String,
    /// What is wrong there, and what would be accepted.
    pub detail: String,
}

impl From<Problem> for ErrorAnswer {
    fn from(problem: Problem) -> Self {
        Self {
            pointer: problem.pointer,
            detail: problem.detail,
        }
    }
}

/// For people: the detail, and each error on a line of its own.
impl fmt::Display for ProblemAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        for error in &self.errors {
            match error.pointer.as_str() {
                "" => write!(f, "\n  {}", error.detail)?,
                pointer => write!(f, "\n  {pointer}: {}", error.detail)?,
            }
        }
        Ok(())
    }
}
