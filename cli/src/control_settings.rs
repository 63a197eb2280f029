//! How the control API is guarded and its changes are kept: flags, then environment, then the file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use brownout_control_api::{Audit, Token, control_tls};
use brownout_fault::{
    read::{Object, Problem, boolean, one_or_many, text},
    units::parse_size,
};
use brownout_proxy::ListenerTls;
use brownout_wire::ListenerTlsSpec;
use serde_json::Value;

use crate::{
    args::ControlArgs,
    exit::{Exit, Failure},
    variables::variable,
};

/// The size at which the audit log's file is rotated when nothing is said.
const AUDIT_BYTES_MAX: u64 = 10_000_000;

/// Where the process keeps what outlives it: as asked, or where the XDG Base Directory Specification says. `None` where there
/// is no home.
pub(crate) fn state_directory(asked: Option<&Path>) -> Option<PathBuf> {
    if let Some(asked) = asked {
        return Some(asked.to_owned());
    }
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("brownout"))
}

/// `[control]` of a file; `None` where it says nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct ControlFile {
    pub(crate) listen: Option<String>,
    pub(crate) insecure: bool,
    allow_upstream: bool,
    pub(crate) allow_hosts: Vec<String>,
    token_file: Option<PathBuf>,
    read_token_file: Option<PathBuf>,
    audit_log: Option<PathBuf>,
    audit_log_size: Option<u64>,
    tls: Option<FileTls>,
}

/// TLS as a file says it, with what was in the files of certificates.
#[derive(Debug, Clone)]
struct FileTls(Option<ListenerTls>);

/// Whether there is TLS is decided at the start; which certificates are shown is not.
impl PartialEq for FileTls {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_some() == other.0.is_some()
    }
}

impl Eq for FileTls {}

impl ControlFile {
    const KEYS: [&'static str; 9] = [
        "listen",
        "tls",
        "insecure",
        "allow_upstream",
        "allow_hosts",
        "token_file",
        "read_token_file",
        "audit_log",
        "audit_log_size",
    ];

    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        let control = Object::new(value)?;
        control.only(&Self::KEYS)?;
        Ok(Self {
            listen: control.optional("listen", owned)?,
            tls: control.optional("tls", file_tls)?,
            insecure: control.optional("insecure", boolean)?.unwrap_or(false),
            allow_upstream: control
                .optional("allow_upstream", boolean)?
                .unwrap_or(false),
            allow_hosts: control
                .optional("allow_hosts", one_or_many(owned))?
                .unwrap_or_default(),
            token_file: control.optional("token_file", owned)?.map(Into::into),
            read_token_file: control.optional("read_token_file", owned)?.map(Into::into),
            audit_log: control.optional("audit_log", owned)?.map(Into::into),
            audit_log_size: control.optional("audit_log_size", size)?,
        })
    }
}

/// The problem is one of `tls`, or of one of its keys.
fn file_tls(value: &Value) -> Result<FileTls, Problem> {
    let spec = ListenerTlsSpec::read(value)?;
    let read = control_tls(&spec);
    read.map(FileTls).map_err(|problem| Problem {
        pointer: problem
            .pointer
            .strip_prefix("/tls")
            .unwrap_or_default()
            .to_owned(),
        ..problem
    })
}

/// TLS of the control API; what is said on the command line wins. Reads the files of certificates.
pub(crate) fn listener_tls(
    args: &ControlArgs,
    file: &ControlFile,
) -> Result<Option<ListenerTls>, Failure> {
    match (&args.tls, &file.tls) {
        (Some(spec), _) => {
            control_tls(spec).map_err(|problem| usage(format!("--control-tls: {}", problem.detail)))
        }
        (None, Some(FileTls(tls))) => Ok(tls.clone()),
        (None, None) => Ok(None),
    }
}

fn owned(value: &Value) -> Result<String, Problem> {
    text(value).map(str::to_owned)
}

fn size(value: &Value) -> Result<u64, Problem> {
    audit_bytes(text(value)?).map_err(Problem::here)
}

/// Reads the size at which the audit log is rotated.
pub(crate) fn audit_bytes(word: &str) -> Result<u64, String> {
    const MIN: u64 = 1_000;
    const MAX: u64 = 1_000_000_000_000;
    match parse_size(word) {
        Ok(bytes) if (MIN..=MAX).contains(&bytes) => Ok(bytes),
        Ok(bytes) => Err(format!("{bytes} bytes is outside 1kB to 1TB")),
        Err(error) => Err(error),
    }
}

/// What guards the control API, and where its changes are written.
#[derive(Debug)]
pub(crate) struct ControlSettings {
    pub(crate) token: Option<Token>,
    pub(crate) read_token: Option<Token>,
    pub(crate) audit: Audit,
    /// How it speaks TLS.
    pub(crate) tls: Option<ListenerTls>,
    /// Whether routes may lead to the control API.
    pub(crate) allow_upstream: bool,
}

impl ControlSettings {
    /// Nobody is asked for a token, and changes are lines of the log.
    pub(crate) const fn open() -> Self {
        Self {
            token: None,
            read_token: None,
            audit: Audit::log(),
            tls: None,
            allow_upstream: false,
        }
    }

    /// Reads the tokens and opens the audit log.
    pub(crate) fn read(args: &ControlArgs, file: &ControlFile) -> Result<Self, Failure> {
        let token_file = args.token_file.as_ref().or(file.token_file.as_ref());
        let read_file = args
            .read_token_file
            .as_ref()
            .or(file.read_token_file.as_ref());
        let audit_log = args.audit_log.as_ref().or(file.audit_log.as_ref());
        let size = args.audit_log_size.or(file.audit_log_size);
        let audit = match audit_log {
            None => Audit::log(),
            Some(path) => {
                Audit::file(path.clone(), size.unwrap_or(AUDIT_BYTES_MAX)).map_err(|error| {
                    let shown = path.display();
                    usage(format!("could not open the audit log `{shown}`: {error}"))
                })?
            }
        };
        Ok(Self {
            token: token("BROWNOUT_TOKEN", token_file.map(PathBuf::as_path))?,
            read_token: token("BROWNOUT_READ_TOKEN", read_file.map(PathBuf::as_path))?,
            audit,
            tls: listener_tls(args, file)?,
            allow_upstream: args.allow_control_upstream || file.allow_upstream,
        })
    }
}

/// The token that a file has, or else a variable.
pub(crate) fn token(name: &str, file: Option<&Path>) -> Result<Option<Token>, Failure> {
    let Some(path) = file else {
        let said = variable(name).filter(|said| !said.trim().is_empty());
        let token = said.map(|said| Token::new(&said)).transpose();
        return token.map_err(|error| usage(format!("{name}: {error}")));
    };
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| usage(format!("could not read the token in `{shown}`: {error}")))?;
    let token = Token::new(&text).map_err(|error| usage(format!("`{shown}`: {error}")))?;
    Ok(Some(token))
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}
