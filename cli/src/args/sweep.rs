//! What may be said of a sweep.

use std::{path::PathBuf, time::Duration};

use brownout_experiment::stories::sweep::{Place, Range};

use super::{TelemetryArgs, simulate::seconds};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SweepArgs {
    /// An experiment as a TOML file, or a story by its name
    #[arg(value_name = "FILE|STORY")]
    pub(crate) file: String,

    /// What is moved from where to where: fault.latency=50ms..2s, fault.ID.latency.max=…, load.rate=10/s..500/s,
    /// load.connections=1..100, demo.timeout=100ms..5s or policy.breaker.wait=1s..60s
    #[arg(long, value_name = "PLACE=FROM..TO", value_parser = over)]
    pub(crate) over: Over,

    /// What must hold, in place of what the file expects of its phases; may be repeated
    #[arg(long, value_name = "EXPECTATION")]
    pub(crate) expect: Vec<String>,

    /// How long the phases last in all: seconds, or a duration such as 2m [default: as the file says]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) duration: Option<Duration>,

    /// Try each value so many times; more than half must hold
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) repeat: u32,

    /// Draws repeat for the same seed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// Write what was tried and found to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

/// A value and its range.
#[derive(Debug, Clone)]
pub(crate) struct Over {
    pub(crate) place: Place,
    pub(crate) range: Range,
}

fn over(text: &str) -> Result<Over, String> {
    let (place, range) = text
        .split_once('=')
        .ok_or_else(|| "write it like fault.latency=50ms..2s".to_owned())?;
    Ok(Over {
        place: Place::parse(place.trim())?,
        range: Range::parse(range.trim())?,
    })
}
