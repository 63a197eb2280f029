//! Load, measures and verdicts: experiments, and the stories of the demo.
//!
//! - [`load`]: requests sent in a closed loop; each becomes a [`Sample`].
//! - [`Timeline`]: samples by second, and their latency.
//! - [`experiment`]: an experiment as it is written in a file, with its [`expectation`]s.
//! - [`run`](mod@run): the run of such a file, told as events, and its verdict.
//! - [`render`]: those events for terminals, as JUnit, Markdown and one HTML page.
//! - [`stories`]: the outages that the demo reproduces, as such files, and what several runs say together.
//! - [`audit`]: the stock experiments on a service that is not ours, and what they tell of it.
//! - [`forensics`]: what a client did, read from records of its attempts.
//!
//! Services are seen over HTTP alone: their pages, and `GET /stats`. Nothing here prints.

// The schema of a file is one large `json!`.
#![recursion_limit = "256"]

pub mod audit;
pub mod expectation;
pub mod experiment;
pub mod forensics;
pub mod load;
pub mod render;
pub mod run;
pub mod stories;

mod sample;
mod stats;
mod timeline;
mod toml_tree;

pub use crate::{
    run::Verdict,
    sample::{ErrorKind, Outcome, Sample},
    stats::StatsError,
    stories::Story,
    timeline::{Kinds, Latency, Second, Timeline},
    toml_tree::{Located, TomlTree},
};
