//! Which condition of a `match` a request does not fit, as far as the request is known.

use super::MatchSpec;
use crate::subject::Subject;

/// How much of a request is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// All that a subject says.
    Whole,
    /// Its method, path, client and place on its connection; neither its query, host nor header fields.
    Record,
}

/// How a request fits a `match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// All conditions hold.
    Fits,
    /// This one does not, whatever of the others.
    Differs(&'static str),
    /// These depend on what is not known; the others hold.
    Unknown(Vec<&'static str>),
}

/// The conditions of a `match`, each by itself.
#[derive(Debug, Clone)]
pub struct Conditions(Vec<Condition>);

#[derive(Debug, Clone)]
struct Condition {
    key: &'static str,
    /// Whether [`Knowledge::Record`] has what it asks for.
    is_recorded: bool,
    alone: MatchSpec,
}

impl MatchSpec {
    /// Its conditions, to find out which one a request does not fit. Takes a copy of them.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        let Self {
            method,
            path,
            not_path,
            host,
            header,
            query,
            cookie,
            client,
            grpc_method,
            baggage,
            connection_seq,
        } = self.clone();
        let none = Self::default;
        let recorded = [
            ("method", Self { method, ..none() }),
            ("path", Self { path, ..none() }),
            ("not_path", Self { not_path, ..none() }),
            ("client", Self { client, ..none() }),
            (
                "connection_seq",
                Self {
                    connection_seq,
                    ..none()
                },
            ),
        ];
        let others = [
            ("host", Self { host, ..none() }),
            ("header", Self { header, ..none() }),
            ("query", Self { query, ..none() }),
            ("cookie", Self { cookie, ..none() }),
            (
                "grpc_method",
                Self {
                    grpc_method,
                    ..none()
                },
            ),
            ("baggage", Self { baggage, ..none() }),
        ];
        let condition = |is_recorded| {
            move |(key, alone)| Condition {
                key,
                is_recorded,
                alone,
            }
        };
        let all = (recorded.into_iter().map(condition(true)))
            .chain(others.into_iter().map(condition(false)));
        Conditions(
            all.filter(|condition| !condition.alone.is_empty())
                .collect(),
        )
    }
}

impl Conditions {
    /// How `subject` fits.
    #[must_use]
    pub fn fit(&self, subject: &Subject<'_>, knowledge: Knowledge) -> Fit {
        let mut unknown = Vec::new();
        for condition in &self.0 {
            if knowledge == Knowledge::Record && !condition.is_recorded {
                unknown.push(condition.key);
            } else if !condition.alone.matches(subject) {
                return Fit::Differs(condition.key);
            }
        }
        match unknown.is_empty() {
            true => Fit::Fits,
            false => Fit::Unknown(unknown),
        }
    }
}
