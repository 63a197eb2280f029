//! Logs, on standard error; standard output is for what was asked.

use std::io::{self, IsTerminal};

use crate::process_settings::LogSettings;
use clap::ValueEnum;
use tracing::Level;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, filter::Directive};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One object a line, for programs
    Json,
}

/// What is logged when nothing is said.
const USUAL_FILTER: &str = "warn";

/// How many lines may wait for whoever reads standard error; more are dropped, so that nobody who logs waits.
const LINES_MAX: usize = 16_384;

/// Starts it. Until the guard is dropped lines are written; then what waits is written, for at most a second or so.
pub(crate) fn start(settings: &LogSettings) -> WorkerGuard {
    let LogSettings {
        filter,
        format,
        access,
    } = settings;
    let filter = filter.as_deref().unwrap_or(USUAL_FILTER);
    let access_log = access.unwrap_or(false);
    let is_terminal = io::stderr().is_terminal();
    let usual = match is_terminal {
        true => LogFormat::Text,
        false => LogFormat::Json,
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES_MAX)
        .lossy(true)
        .finish(io::stderr());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(with_access(filter, access_log))
        .with_writer(writer)
        .with_ansi(is_terminal);
    match format.unwrap_or(usual) {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    guard
}

/// Lines of requests come when they are asked for, whatever the level of the rest.
fn with_access(filter: &str, access_log: bool) -> EnvFilter {
    let level = if access_log {
        Level::INFO.as_str()
    } else {
        "off"
    };
    let access = format!("{}={level}", brownout_proxy::ACCESS_LOG);
    let access: Directive = access.parse().expect("it is a target and a level");
    EnvFilter::builder()
        .parse_lossy(filter)
        .add_directive(access)
}
