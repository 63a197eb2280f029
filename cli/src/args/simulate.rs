//! What may be said of a simulation.

use std::{path::PathBuf, time::Duration};

use brownout_fault::units::parse_duration;

use super::{Output, TelemetryArgs};

#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SimulateArgs {
    /// Stories by name, by a pattern such as 'a-*', or as files; or the original's ideal, outage or performance
    #[arg(value_name = "STORY", required_unless_present_any = ["list", "ceiling"])]
    pub(crate) stories: Vec<String>,

    /// Say which stories there are
    #[arg(long)]
    pub(crate) list: bool,

    /// Measure how many pages a second this machine can ask for and measure, and say so
    #[arg(long)]
    pub(crate) ceiling: bool,

    /// How long the phases of a story last in all: seconds, or a duration such as 2m [default: as the story says]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) duration: Option<Duration>,

    /// Make every time of a story so many times as long: phases, faults, time-outs and waits
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub(crate) scale: Option<f64>,

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

    /// Over how many connections, each of which asks again when it has its answer [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) connections: Option<u32>,

    /// Ask for so many pages a second instead, whether or not answers come
    #[arg(long, value_name = "N", conflicts_with = "connections", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// How long to watch upstreams work for nobody afterwards [default: 2.5 times the duration, at least 20 s]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) tail_limit: Option<Duration>,

    /// Draws repeat for the same seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// Do all of it so many times, and tell medians and spreads
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) repeat: u32,

    /// Run so many stories at once; they share the machine
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) jobs: u32,

    /// Say what has changed since this report, which --json has written
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,

    /// Write the whole report to this file, as JSON
    #[arg(long, visible_alias = "report", value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write one HTML page that needs no network: a report of one story, or a comparison of several
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Write the table as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// Say only what did not hold, the table and the verdict
    #[arg(long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,

    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

fn factor(text: &str) -> Result<f64, String> {
    let factor: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.01..=100.0).contains(&factor) {
        return Ok(factor);
    }
    Err("it is outside 0.01 to 100".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let text = text.trim().trim_end_matches("/s");
    let rate: f64 = text
        .parse()
        .map_err(|_| "it is no rate, such as 50 or 50/s".to_owned())?;
    if rate > 0.0 && rate <= 50_000.0 {
        return Ok(rate);
    }
    Err("it is outside 0 to 50,000 a second".to_owned())
}

/// Seconds as the original takes them, such as `0.5`, or a duration with its unit.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
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
