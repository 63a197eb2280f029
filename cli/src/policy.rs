//! Finding a policy by the word a user gives: a built-in name, or a file.

use std::{fs, path::Path};

use brownout_resilience::Policy;
use demo_services::policies;

use crate::exit::{Exit, Failure};

/// Takes `word` for a built-in policy's name, and if there is none for a file's path.
pub(crate) fn find(word: &str) -> Result<Policy, Failure> {
    let unknown = match policies::named(word) {
        Ok(policy) => return Ok(policy),
        Err(unknown) => unknown,
    };
    let path = Path::new(word);
    if !path.exists() {
        return Err(Failure::new(
            Exit::Usage,
            format!("{unknown}, and there is no such file"),
        ));
    }
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Usage, format!("could not read `{word}`: {error}")))?;
    let name = path
        .file_stem()
        .map_or(word.into(), |stem| stem.to_string_lossy());
    Policy::from_toml(&name, &text).map_err(|error| Failure::chain(Exit::Usage, &error))
}
