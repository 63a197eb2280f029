//! What came of several runs, as one JSON document.

use serde::{Deserialize, Serialize};

use super::{Row, rows};
use crate::run::{RunRecord, Verdict};

/// What came of one or more stories, each run once or more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoriesReport {
    /// The version of this form: [`SCHEMA`](Self::SCHEMA).
    pub schema: u32,
    /// The version of brownout.
    pub brownout: String,
    /// The verdict that decides the exit code.
    pub verdict: Verdict,
    /// The numbers of each run, in the order of `runs`.
    pub rows: Vec<Row>,
    /// All that was told of each run.
    pub runs: Vec<RunRecord>,
}

impl StoriesReport {
    /// The version of the form. 1 was what `brownout simulate` wrote before it had stories.
    pub const SCHEMA: u32 = 2;

    /// The report of these runs.
    #[must_use]
    pub fn of(runs: Vec<RunRecord>) -> Self {
        let verdicts = runs.iter().map(|it| it.verdict);
        Self {
            schema: Self::SCHEMA,
            brownout: env!("CARGO_PKG_VERSION").to_owned(),
            verdict: verdicts
                .max_by_key(|it| it.priority())
                .unwrap_or(Verdict::Passed),
            rows: runs.iter().flat_map(rows).collect(),
            runs,
        }
    }

    /// The rows of each story and phase, in order: one for each repetition.
    #[must_use]
    pub fn groups(&self) -> Vec<Vec<Row>> {
        let mut groups: Vec<Vec<Row>> = Vec::new();
        for row in &self.rows {
            let same = |it: &&mut Vec<Row>| (&it[0].name, &it[0].phase) == (&row.name, &row.phase);
            match groups.iter_mut().find(same) {
                Some(group) => group.push(row.clone()),
                None => groups.push(vec![row.clone()]),
            }
        }
        groups
    }
}
