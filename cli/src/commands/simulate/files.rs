//! Reports in files: written whole, or not at all.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use brownout_experiment::stories::StoriesReport;
use serde::Serialize;

use crate::exit::{Exit, Failure};

/// A file that is replaced in one step, when what it is to say is complete. What was there before stays until then.
#[derive(Debug)]
pub(crate) struct WholeFile {
    path: PathBuf,
    /// Where it is written first; none for what cannot be replaced, such as a pipe.
    draft: Option<PathBuf>,
}

impl WholeFile {
    /// Finds out now whether it can be written.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let replaced = fs::metadata(path).map_or(true, |it| it.is_file());
        let draft = replaced.then(|| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{}.part", std::process::id()));
            PathBuf::from(name)
        });
        let tried = match &draft {
            Some(draft) => OpenOptions::new().write(true).create_new(true).open(draft),
            None => OpenOptions::new().write(true).open(path),
        };
        let this = Self {
            path: path.to_owned(),
            draft,
        };
        match tried {
            Ok(_) => Ok(this),
            Err(error) => Err(this.failure(&error)),
        }
    }

    /// Writes all of it.
    pub(crate) fn write(self, text: &str) -> Result<(), Failure> {
        let written = match &self.draft {
            None => {
                let opened = OpenOptions::new().write(true).open(&self.path);
                opened.and_then(|mut file| file.write_all(text.as_bytes()))
            }
            Some(draft) => fs::write(draft, text).and_then(|()| fs::rename(draft, &self.path)),
        };
        written.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &io::Error) -> Failure {
        let path = self.path.display();
        Failure::new(Exit::Usage, format!("could not write `{path}`: {error}"))
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(draft) = &self.draft {
            fs::remove_file(draft).ok(); // It is gone where it was written.
        }
    }
}

/// A report as text of JSON.
pub(crate) fn pretty(report: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("reports are JSON");
    text.push('\n');
    text
}

/// Reads an earlier report.
pub(super) fn read(path: &Path) -> Result<StoriesReport, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Usage, format!("could not read `{shown}`: {error}")))?;
    let read: Result<StoriesReport, _> = serde_json::from_str(&text);
    match read {
        Ok(report) if report.schema == StoriesReport::SCHEMA => Ok(report),
        Ok(report) => Err(Failure::new(
            Exit::Usage,
            format!(
                "`{shown}` has the schema {}, not {}",
                report.schema,
                StoriesReport::SCHEMA
            ),
        )),
        Err(error) => Err(Failure::new(
            Exit::Usage,
            format!("`{shown}` is no report of brownout simulate --json: {error}"),
        )),
    }
}
