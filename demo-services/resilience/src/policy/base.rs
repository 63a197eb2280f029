//! Inheritance: a policy that begins with what another one says.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::{
    InvalidPolicy, Policy,
    section::{Section, Sheet},
};

/// A policy that inherits from one that inherits from one ... so often at most.
const DEPTH_MAX: usize = 8;

/// Where policies find the one they inherit from.
pub trait Library {
    /// The policy that `base` means in the file called `from`.
    ///
    /// # Errors
    /// In words: why there is none.
    fn find(&self, from: &str, base: &str) -> Result<Source, String>;
}

/// The text of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What the policy is called in the library, and nothing else is.
    pub name: String,
    /// Its file.
    pub text: String,
}

/// No library: a policy that inherits is refused.
#[derive(Debug, Clone, Copy)]
pub struct NoLibrary;

impl Library for NoLibrary {
    fn find(&self, _: &str, base: &str) -> Result<Source, String> {
        Err(format!("there is nowhere to look for `{base}`"))
    }
}

/// Files: `base` is a path from the file that names it, without `.toml`.
struct Files;

impl Library for Files {
    fn find(&self, from: &str, base: &str) -> Result<Source, String> {
        let mut path = Path::new(from).with_file_name("");
        path.push(format!("{base}.toml"));
        let path = path.canonicalize().unwrap_or(path);
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("could not read `{}`: {error}", path.display()))?;
        Ok(Source {
            name: path.to_string_lossy().into_owned(),
            text,
        })
    }
}

impl Policy {
    /// Reads a policy file that may inherit from one of `library`. `name` is what the policy will be called, and what
    /// the library knows the file by.
    ///
    /// # Errors
    /// As [`Policy::from_toml`], and when a base is not there, is not valid, or inherits in a circle.
    pub fn from_toml_in(
        name: &str,
        text: &str,
        library: &dyn Library,
    ) -> Result<Self, InvalidPolicy> {
        let mut line = vec![name.to_owned()];
        let mut policy = read(name, text, library, &mut line)?;
        name.clone_into(&mut policy.name);
        Ok(policy)
    }

    /// Reads a policy from a file, and what it inherits from the files it names. Its name is the file's, without
    /// `.toml`.
    ///
    /// # Errors
    /// When the file cannot be read, and as [`Policy::from_toml_in`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ReadPolicyError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|source| ReadPolicyError::Read {
            path: path.to_owned(),
            source,
        })?;
        let found = path.canonicalize();
        let name = found.as_deref().unwrap_or(path).to_string_lossy();
        let mut policy = Self::from_toml_in(&name, &text, &Files)?;
        if let Some(stem) = path.file_stem() {
            policy.name = stem.to_string_lossy().into_owned();
        }
        Ok(policy)
    }
}

/// Why a policy could not be read from a file.
#[derive(Debug, Error)]
pub enum ReadPolicyError {
    /// The file itself.
    #[error("could not read policy `{path}`", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What it says.
    #[error(transparent)]
    Invalid(#[from] InvalidPolicy),
}

/// Reads one file of a `line` of heirs, the last of which it is.
fn read(
    name: &str,
    text: &str,
    library: &dyn Library,
    line: &mut Vec<String>,
) -> Result<Policy, InvalidPolicy> {
    let sheet = Sheet::new(text);
    let mut policy = Policy::none(name);
    match DeTable::parse(text) {
        Ok(root) => {
            let mut root = Section::root(&sheet, root.get_ref());
            if let Some(base) = root.get("base", base_name) {
                match inherit(name, &base, library, line) {
                    Ok(inherited) => policy = inherited,
                    Err(why) => root.refuse("base", why),
                }
            }
            policy.read(root);
        }
        Err(error) => {
            let at = error.span().map(|span| span.start);
            sheet.problem(String::new(), at, error.message().to_owned());
        }
    }
    let problems = sheet.into_problems();
    if problems.is_empty() {
        return Ok(policy);
    }
    Err(InvalidPolicy {
        policy: name.to_owned(),
        problems,
    })
}

fn inherit(
    from: &str,
    base: &str,
    library: &dyn Library,
    line: &mut Vec<String>,
) -> Result<Policy, String> {
    let source = library.find(from, base)?;
    if line.contains(&source.name) {
        return Err(format!("`{base}` inherits from this very policy"));
    }
    if line.len() > DEPTH_MAX {
        return Err(format!("is inherited over more than {DEPTH_MAX} files"));
    }
    line.push(source.name.clone());
    read(&source.name, &source.text, library, line).map_err(|error| error.to_string())
}

fn base_name(value: &DeValue<'_>) -> Result<String, String> {
    let usual = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    match value.as_str() {
        Some(name) if !name.is_empty() && !name.ends_with(".toml") && name.chars().all(usual) => {
            Ok(name.to_owned())
        }
        Some(name) => match name.strip_suffix(".toml") {
            Some(stem) if !stem.is_empty() => Err(format!("leave out `.toml`: \"{stem}\"")),
            _ => Err(format!("`{name}` is not the name of a policy")),
        },
        None => Err("expected the name of a policy, such as \"gold\"".to_owned()),
    }
}
