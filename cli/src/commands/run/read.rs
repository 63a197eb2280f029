//! Experiments as they are read from files.

use std::{fs, path::PathBuf};

use brownout_experiment::experiment::Experiment;

use crate::exit::{Exit, Failure};

/// A file that may be run.
#[derive(Debug)]
pub(crate) struct ExperimentFile {
    /// The path, as it was given on the command line.
    pub(crate) name: String,
    pub(crate) experiment: Experiment,
}

/// The longest file that is read, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// Reads all files: every one is good, or every problem is told.
pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Vec<ExperimentFile>, Failure> {
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let unreadable = |why: String| format!("could not read `{name}`: {why}");
        let text = match fs::metadata(path) {
            Ok(found) if found.len() > BYTES_MAX => {
                Err(unreadable("it is larger than 1 MiB".to_owned()))
            }
            Ok(_) => fs::read_to_string(path).map_err(|error| unreadable(error.to_string())),
            Err(error) => Err(unreadable(error.to_string())),
        };
        let read = text
            .and_then(|text| Experiment::read(&text, &name).map_err(|invalid| invalid.to_string()));
        match read {
            Ok(experiment) => files.push(ExperimentFile { name, experiment }),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        return Ok(files);
    }
    Err(Failure::new(Exit::Usage, problems.join("\n\n")))
}
