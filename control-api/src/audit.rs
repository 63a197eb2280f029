//! The record of every change: when, by whom, from where, what.

mod file;

use std::{io, net::SocketAddr, path::PathBuf};

use brownout_fault::{Moment, Origin};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::file::AuditFile;

/// Where lines of the log have this target when no file takes the records.
pub const AUDIT_LOG: &str = "brownout::audit";

/// On whose behalf a change is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// What kind of caller: `api`, `file`, `signal`, `clock`, `lease` or `shutdown`.
    pub by: &'static str,
    /// The address that a call came from.
    pub peer: Option<SocketAddr>,
    /// The trace of the call, which what it arms is linked to.
    pub origin: Option<Origin>,
}

impl Caller {
    /// A caller that is no call of the API: `file`, `signal`, `shutdown`.
    #[must_use]
    pub const fn of(by: &'static str) -> Self {
        Self {
            by,
            peer: None,
            origin: None,
        }
    }
}

/// One change that happened.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) at: Moment,
    pub(crate) caller: Caller,
    /// What was done, such as `fault.arm`.
    pub(crate) action: &'static str,
    /// To what, by id or name.
    pub(crate) subjects: Vec<String>,
    /// The change as it was asked for, one for each subject or one for all; null where the action says all.
    pub(crate) change: Value,
    /// The number of the change of what is armed; records come in this order.
    pub(crate) revision: u64,
}

impl Record {
    /// As one JSON object.
    pub(crate) fn to_value(&self) -> Value {
        let mut map = Map::new();
        let at = Timestamp::try_from(self.at.wall).unwrap_or(Timestamp::MAX);
        let at = at.round(jiff::Unit::Millisecond).unwrap_or(at);
        map.insert("at".to_owned(), json!(at));
        map.insert("by".to_owned(), json!(self.caller.by));
        if let Some(peer) = self.caller.peer {
            map.insert("peer".to_owned(), json!(peer.to_string()));
        }
        if let Some(origin) = self.caller.origin {
            map.insert("trace_id".to_owned(), json!(hex(&origin.trace_id)));
        }
        map.insert("action".to_owned(), json!(self.action));
        map.insert("subjects".to_owned(), json!(self.subjects));
        if !self.change.is_null() {
            map.insert("change".to_owned(), self.change.clone());
        }
        map.insert("revision".to_owned(), json!(self.revision));
        Value::Object(map)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}

/// Where records go.
#[derive(Debug)]
pub struct Audit(Option<AuditFile>);

impl Audit {
    /// Into the log, at level `info` and under the target [`AUDIT_LOG`].
    #[must_use]
    pub const fn log() -> Self {
        Self(None)
    }

    /// Into a file, as one JSON object a line. It is rotated when it would grow over `bytes_max`: `FILE.1` is the one
    /// before, and so on to `FILE.5`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn file(path: PathBuf, bytes_max: u64) -> io::Result<Self> {
        Ok(Self(Some(AuditFile::open(path, bytes_max)?)))
    }

    /// Whether anybody takes records, so that it is worth telling what was asked for.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.is_some() || tracing::enabled!(target: AUDIT_LOG, tracing::Level::INFO)
    }

    /// Never waits: a record that finds no room is lost and counted in the log.
    pub(crate) fn write(&self, record: Record) {
        match &self.0 {
            Some(file) => file.write(record),
            None if tracing::enabled!(target: AUDIT_LOG, tracing::Level::INFO) => {
                tracing::info!(target: AUDIT_LOG, "{}", record.to_value());
            }
            None => {}
        }
    }

    /// Waits until what was written so far is in the file, but not long.
    pub(crate) fn flush(&self) {
        if let Some(file) = &self.0 {
            file.flush();
        }
    }
}
