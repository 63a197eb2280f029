//! What a file says of the process itself: what it logs, how it announces its start, and how it ends.

use std::{fs, path::Path, path::PathBuf, time::Duration};

use brownout_experiment::TomlTree;
use brownout_fault::{
    read::{Object, Problem, boolean, text, unknown},
    units::parse_duration,
};
use clap::ValueEnum;
use serde_json::Value;

use crate::{
    args::{Output, log_filter},
    logging::LogFormat,
    variables::{expand, variable},
};

/// The longest that requests may take to end.
const DRAIN_MAX: Duration = Duration::from_secs(60 * 60);

/// What a file says of the process; `None` where it says nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct ProcessFile {
    pub(crate) log: LogSettings,
    pub(crate) drain: Option<Duration>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) output: Option<Output>,
}

/// What is logged and how; `None` where nothing is said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) filter: Option<String>,
    pub(crate) format: Option<LogFormat>,
    pub(crate) access: Option<bool>,
}

impl ProcessFile {
    /// The keys, each named as its flag.
    pub(crate) const KEYS: [&'static str; 6] = [
        "log",
        "log_format",
        "access_log",
        "drain",
        "state_dir",
        "output",
    ];

    /// Reads its keys, which stand at the top of a file.
    pub(crate) fn read(file: &Object<'_>, problems: &mut Vec<Problem>) -> Self {
        let log = LogSettings {
            filter: taken(file.optional("log", filter), problems),
            format: taken(file.optional("log_format", word), problems),
            access: taken(file.optional("access_log", boolean), problems),
        };
        Self {
            log,
            drain: taken(file.optional("drain", drain_of), problems),
            state_dir: taken(file.optional("state_dir", path), problems),
            output: taken(file.optional("output", word), problems),
        }
    }
}

impl LogSettings {
    /// What a file says, before anything else of it is read: what is wrong with the file is told when all of it is read,
    /// and until then it says nothing.
    pub(crate) fn of_file(path: &Path) -> Self {
        let read = || {
            let text = fs::read_to_string(path).ok()?;
            let mut value = TomlTree::parse(&text).ok()?.value;
            let file = value.as_object_mut()?;
            file.retain(|key, _| ProcessFile::KEYS.contains(&key.as_str()));
            expand(&mut value, &variable).ok()?;
            let file = Object::new(&value).ok()?;
            Some(ProcessFile::read(&file, &mut Vec::new()).log)
        };
        read().unwrap_or_default()
    }

    /// These, and what `other` says where they say nothing.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            filter: self.filter.or(other.filter),
            format: self.format.or(other.format),
            access: self.access.or(other.access),
        }
    }
}

/// Reads how long requests may take to end.
pub(crate) fn drain(word: &str) -> Result<Duration, String> {
    let drain = parse_duration(word)?;
    if drain > DRAIN_MAX {
        return Err("must be at most 1h".to_owned());
    }
    Ok(drain)
}

fn drain_of(value: &Value) -> Result<Duration, Problem> {
    drain(text(value)?).map_err(Problem::here)
}

fn filter(value: &Value) -> Result<String, Problem> {
    log_filter(text(value)?).map_err(Problem::here)
}

fn path(value: &Value) -> Result<PathBuf, Problem> {
    text(value).map(Into::into)
}

/// One of the words that a flag takes.
fn word<T: ValueEnum>(value: &Value) -> Result<T, Problem> {
    let word = text(value)?;
    T::from_str(word, false).map_err(|_| {
        let all: Vec<_> = (T::value_variants().iter())
            .filter_map(ValueEnum::to_possible_value)
            .collect();
        let names: Vec<&str> = all
            .iter()
            .map(clap::builder::PossibleValue::get_name)
            .collect();
        Problem::here(unknown("word", word, &names))
    })
}

fn taken<T>(read: Result<Option<T>, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    read.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    })
}
