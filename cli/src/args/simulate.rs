//! What may be said of a simulation.

use std::{path::PathBuf, time::Duration};

use brownout_experiment::Scenario;
use brownout_fault::units::parse_duration;
use clap::ValueEnum;

use super::{Output, TelemetryArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    /// What goes wrong
    #[arg(value_enum)]
    pub(crate) scenario: ScenarioArg,

    /// How long pages are asked for: seconds, or a duration such as 2m
    #[arg(long, default_value = "30", value_name = "S", value_parser = seconds)]
    pub(crate) duration: Duration,

    /// How long the homepage waits for an answer: seconds, or a duration such as 500ms [default: for ever]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// The homepage tries three more times, with full jitter
    #[arg(long)]
    pub(crate) retries: bool,

    /// Each of the homepage's workers stops calling after five failures in a row, for 30 s
    #[arg(long)]
    pub(crate) circuit_breakers: bool,

    /// Another protection: a built-in policy (none, timeout, retries, circuit-breakers, gold) or a file
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["timeout", "retries", "circuit_breakers"])]
    pub(crate) policy: Option<String>,

    /// Over how many connections; each asks again when it has its answer
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) connections: usize,

    /// How long to watch upstreams work for nobody afterwards [default: 2.5 times the duration, at least 20 s]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) tail_limit: Option<Duration>,

    /// Draws repeat for the same seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// Write the whole report to this file, as JSON
    #[arg(long, visible_alias = "report", value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,

    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// What goes wrong in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioArg {
    /// Nothing goes wrong
    Ideal,
    /// Connections from the homepage to recommendations are reset
    Outage,
    /// Recommendations is slow: its own calls take 5 to 10 s, and hold its workers
    Performance,
}

impl From<ScenarioArg> for Scenario {
    fn from(arg: ScenarioArg) -> Self {
        match arg {
            ScenarioArg::Ideal => Self::Ideal,
            ScenarioArg::Outage => Self::Outage,
            ScenarioArg::Performance => Self::Performance,
        }
    }
}

/// Seconds as the original takes them, such as `0.5`, or a duration with its unit.
fn seconds(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let bare = text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.ends_with(|c: char| c.is_ascii_digit() || c == '.');
    let duration = if bare {
        parse_duration(&format!("{text}s"))?
    } else {
        parse_duration(text)?
    };
    if duration.is_zero() {
        return Err("it must be above zero".to_owned());
    }
    Ok(duration)
}
