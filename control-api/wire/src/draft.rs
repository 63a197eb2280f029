//! A fault as it is written and sent, with what the control plane keeps beside it.

use brownout_fault::{
    FaultSpec,
    read::{Problem, nearest},
};
use serde_json::Value;

use crate::FaultTags;

/// The body of `POST /faults`, and a `[[fault]]` of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultDraft {
    /// What the fault does, to which requests, how often and when.
    pub spec: FaultSpec,
    /// Labels, owner and lease.
    pub tags: FaultTags,
}

impl FaultDraft {
    /// Reads a fault.
    ///
    /// # Errors
    /// All problems: one for each top-level field, and inside a kind's parameters the first.
    pub fn read(value: &Value) -> Result<Self, Vec<Problem>> {
        let (members, rest) = FaultTags::split(value);
        match (FaultSpec::read(&rest), FaultTags::read(&members)) {
            (Ok(spec), Ok(tags)) => Ok(Self { spec, tags }),
            (spec, tags) => {
                let mut problems: Vec<Problem> = spec.err().unwrap_or_default();
                problems = problems.into_iter().map(with_our_keys).collect();
                problems.extend(tags.err().unwrap_or_default());
                Err(problems)
            }
        }
    }

    /// The form in which it is written, with every default written out.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = self.spec.to_value();
        if let Value::Object(members) = &mut value {
            members.extend(self.tags.members());
        }
        value
    }
}

impl From<FaultSpec> for FaultDraft {
    fn from(spec: FaultSpec) -> Self {
        Self {
            spec,
            tags: FaultTags::default(),
        }
    }
}

/// A key that was meant to be one of ours is not to be mistaken for another.
fn with_our_keys(problem: Problem) -> Problem {
    let key = problem.pointer.trim_start_matches('/');
    if !problem.detail.starts_with("unknown key") || key.len() > FaultTags::TEXT_BYTES_MAX {
        return problem;
    }
    match nearest(key, &FaultTags::KEYS) {
        Some(near) => Problem {
            detail: format!("unknown key `{key}`; did you mean `{near}`?"),
            ..problem
        },
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_draft_reads_back_as_itself() {
        let value = json!({
            "route": "web", "abort": 503, "labels": ["run-42", "ci"], "owner": "checkout", "lease": "ci-1",
        });

        let draft = FaultDraft::read(&value).unwrap();

        assert_eq!(draft.tags.labels, ["run-42", "ci"]);
        assert_eq!(FaultDraft::read(&draft.to_value()), Ok(draft));
        let one = FaultDraft::read(&json!({ "route": "web", "abort": 503, "labels": "x" }));
        assert_eq!(one.unwrap().tags.labels, ["x"]);
    }

    #[test]
    fn problems_of_both_parts_come_at_once() {
        let many: Vec<String> = (0..17).map(|n| n.to_string()).collect();
        let problems = FaultDraft::read(&json!({
            "route": "web", "abort": 99, "label": "x", "labels": many, "owner": "a\nb", "lease": "No Lease",
        }))
        .unwrap_err();

        let told: Vec<&str> = problems.iter().map(|p| p.pointer.as_str()).collect();
        assert_eq!(told, ["/label", "/abort", "/labels", "/owner", "/lease"]);
        assert_eq!(
            problems[0].detail,
            "unknown key `label`; did you mean `labels`?"
        );
    }
}
