//! The outages that the demo reproduces, each an experiment in a file, and what several of them say together.
//!
//! The files are in `experiments/stories/`, and in the binary word for word.

mod across;
mod changes;
mod report;
pub mod sweep;
mod table;

pub use self::{
    across::{judge_across, missing},
    changes::changes,
    report::StoriesReport,
    table::{Row, Spread, rows, table},
};

macro_rules! story {
    ($name:literal) => {
        Story {
            name: $name,
            text: include_str!(concat!("../stories/", $name, ".toml")),
        }
    };
}

/// A story that comes with the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Story {
    /// Its name.
    pub name: &'static str,
    /// Its file, word for word.
    pub text: &'static str,
}

/// All of them, in the order in which they are told. What a story compares itself with stands before it.
pub const STORIES: &[Story] = &[
    story!("a-ideal"),
    story!("a-outage-gateway"),
    story!("a-outage-breaker"),
    story!("a-slow-nothing"),
    story!("a-slow-breaker-only"),
    story!("a-slow-slowcalls-per-worker"),
    story!("a-slow-slowcalls-shared"),
    story!("a-slow-t0.5"),
    story!("a-slow-t0.5-deadline"),
    story!("a-slow-t5"),
    story!("a-slow-retries"),
    story!("a-slow-t3-retries"),
    story!("a-slow-t0.5-retries"),
    story!("a-slow-t0.5-breaker"),
    story!("a-slow-t1-breaker"),
    story!("a-slow-shared-breaker"),
    story!("a-auth-outage"),
    story!("b-library-outage"),
    story!("b-library-wait-1s"),
    story!("b-library-both-down"),
    story!("b-library-probe-cost"),
];

/// The story of this name.
#[must_use]
pub fn named(name: &str) -> Option<Story> {
    STORIES.iter().copied().find(|it| it.name == name)
}

/// The stories whose names fit a pattern, in which `*` stands for anything.
#[must_use]
pub fn fitting(pattern: &str) -> Vec<Story> {
    let fits = |it: &&Story| fits(pattern, it.name);
    STORIES.iter().filter(fits).copied().collect()
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((begin, rest)) => {
            let Some(name) = name.strip_prefix(begin) else {
                return false;
            };
            let mut ends = (0..=name.len()).filter(|at| name.is_char_boundary(*at));
            ends.any(|at| fits(rest, &name[at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;

    #[test]
    fn every_story_is_an_experiment_of_its_name() {
        for (index, story) in STORIES.iter().enumerate() {
            let read = Experiment::read(story.text, story.name);
            let experiment = read.unwrap_or_else(|why| panic!("{why}"));

            assert_eq!(experiment.name, story.name);
            assert!(experiment.demo.is_some(), "{}", story.name);
            for other in across::others(&experiment) {
                let before = STORIES[..index].iter().any(|it| it.name == other);
                assert!(before, "{} compares itself with {other}", story.name);
            }
        }
    }

    #[test]
    fn a_pattern_chooses_stories() {
        assert_eq!(fitting("a-*").len(), 17);
        assert_eq!(fitting("b-*").len(), 4);
        assert_eq!(fitting("a-slow-t0.5*").len(), 4);
        assert_eq!(fitting("*-t5").len(), 1);
        assert_eq!(fitting("*").len(), STORIES.len());
        assert!(fitting("t5").is_empty());
    }
}
