//! Finding a policy by the word a user gives: a built-in name, or a file.

use std::{convert::Infallible, fs, path::Path, time::Duration};

use brownout_resilience::{
    InvalidPolicy, Policy,
    policy::{Library, Source},
};
use demo_services::policies::{self, BuiltIn};
use tokio::time::sleep;

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
    let found = path.canonicalize();
    let from = found.as_deref().unwrap_or(path).to_string_lossy();
    let mut policy = Policy::from_toml_in(&from, &text, &FilesThenBuiltIn)
        .map_err(|error| Failure::chain(Exit::Usage, &error))?;
    if let Some(stem) = path.file_stem() {
        policy.name = stem.to_string_lossy().into_owned();
    }
    Ok(policy)
}

/// How often a policy's file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks at the file that `word` means, and those it inherits from, and hands every new policy to `take` once two looks
/// have found the same: what is just being written is not taken half. A file that is not valid, or is gone, changes
/// nothing; the log says why, once.
///
/// Files are looked at, not watched: editors replace them, mounts change under them, and a look takes microseconds. A
/// built-in policy never changes.
pub(crate) async fn follow(
    word: &str,
    mut present: Policy,
    take: impl Fn(Policy) -> Result<(), InvalidPolicy>,
) -> Infallible {
    if policies::named(word).is_ok() {
        return std::future::pending().await;
    }
    let mut before = Ok(present.clone());
    #[expect(
        clippy::infinite_loop,
        reason = "its result says so, and it ends when it is dropped"
    )]
    loop {
        sleep(LOOK_EVERY).await;
        let found = find(word).map_err(|failure| failure.message);
        let settled = found == before;
        before = found.clone();
        match found {
            Ok(policy) if settled && policy != present => {
                match take(policy.clone()) {
                    Ok(()) => tracing::info!(file = word, "took the changed policy"),
                    Err(why) => tracing::warn!("kept the policy as it was: {why}"),
                }
                present = policy;
            }
            Err(why) if !settled => tracing::warn!("kept the policy as it was: {why}"),
            Ok(_) | Err(_) => {}
        }
    }
}

/// What a file inherits from: the file of that name beside it, or else the built-in policy.
struct FilesThenBuiltIn;

impl Library for FilesThenBuiltIn {
    fn find(&self, from: &str, base: &str) -> Result<Source, String> {
        let beside = Path::new(from).with_file_name(format!("{base}.toml"));
        if !beside.exists() {
            return BuiltIn.find(from, base).map_err(|unknown| {
                format!("{unknown}, and there is no file `{}`", beside.display())
            });
        }
        let beside = beside.canonicalize().unwrap_or(beside);
        let text = fs::read_to_string(&beside)
            .map_err(|error| format!("could not read `{}`: {error}", beside.display()))?;
        Ok(Source {
            name: beside.to_string_lossy().into_owned(),
            text,
        })
    }
}
