//! What may be said of an audit.

#![expect(
    clippy::doc_markdown,
    reason = "these are help texts, shown as they are"
)]

use std::{path::PathBuf, time::Duration};

use brownout_experiment::{experiment::Predicate, forensics::FindingId};

use super::{Output, TelemetryArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    /// A dependency of the service, such as rates=http://127.0.0.1:7000, or NAME=LISTEN=UPSTREAM where the service cannot
    /// be told its address; of a running proxy the route's name; may be repeated
    #[arg(
        long = "route",
        env = "BROWNOUT_ROUTE",
        value_delimiter = ',',
        value_name = "NAME=UPSTREAM"
    )]
    pub(crate) routes: Vec<String>,

    /// A file with routes, as for: proxy --config
    #[arg(long, env = "BROWNOUT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The control API of a running proxy [default: start a proxy for the audit]
    #[arg(long, env = "BROWNOUT_CONTROL", value_name = "ADDR")]
    pub(crate) control: Option<String>,

    /// What the service's callers ask for, such as http://127.0.0.1:5000/page
    #[arg(long, value_name = "URL")]
    pub(crate) page: String,

    /// How long a page may take; a page that takes longer has failed its caller
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = budget)]
    pub(crate) budget: Duration,

    /// Another endpoint of the service that needs no dependency, such as /healthz: it must stay quick
    #[arg(long, value_name = "PATH")]
    pub(crate) watch: Option<String>,

    /// A request that must not be done twice, such as POST:/order
    #[arg(long, value_name = "METHOD:PATH")]
    pub(crate) order: Option<String>,

    /// The JSON that is sent with it
    #[arg(
        long,
        value_name = "JSON",
        default_value = r#"{"item":"brownout-audit","quantity":1}"#
    )]
    pub(crate) order_body: String,

    /// How a page says that something is missing: header:NAME[=VALUE], json:/pointer=VALUE, text:REGEX or status:CODE;
    /// may be repeated [default: x-degraded, or a member such as "source" that differs from calm]
    #[arg(long = "degraded-if", value_name = "WHAT", value_parser = Predicate::parse)]
    pub(crate) degraded: Vec<Predicate>,

    /// The route that the service falls back to
    #[arg(long, value_name = "ROUTE")]
    pub(crate) second_source: Option<String>,

    /// Look for these findings alone: groups (timeouts, retries, bodies, connections, breaker, fallback, load) or ids such as
    /// no-jitter
    #[arg(long, value_delimiter = ',', value_name = "GROUP|ID,...", value_parser = findings)]
    pub(crate) only: Vec<Wanted>,

    /// Leave out what needs load and takes long: about 30 s instead of 3 min for a dependency
    #[arg(long)]
    pub(crate) fast: bool,

    /// Look at each dependency for so long at most; what does not fit is undetermined [default: 3m, and more for
    /// breakers that stay open for long; with --fast 30s]
    #[arg(long, value_name = "DURATION", value_parser = deadline)]
    pub(crate) deadline: Option<Duration>,

    /// The most pages a second [default: what the calm service bears, at most 200]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// Chance repeats for the same seed [default: a new one each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How long the service may take until it serves its page
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = super::wait)]
    pub(crate) ready_within: Duration,

    /// Where the output of the command behind -- goes [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    pub(crate) service_log: Option<PathBuf>,

    /// Write the result as JSON; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write one HTML page that needs no network
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Write the result as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Write the result as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// Where GitHub wants a step's summary
    #[arg(long, env = "GITHUB_STEP_SUMMARY", hide = true)]
    pub(crate) github_step_summary: Option<PathBuf>,

    /// Write what holds today as an experiment to keep in CI
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,

    /// How the audit is printed; json prints what --json writes
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,

    /// The service under test: started with BROWNOUT_ROUTE_NAME_URL for each route, and ended with the audit
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

fn budget(word: &str) -> Result<Duration, String> {
    let budget = brownout_fault::units::parse_duration(word)?;
    match (Duration::from_millis(20)..=Duration::from_secs(60)).contains(&budget) {
        true => Ok(budget),
        false => Err("must be from 20ms to 60s".to_owned()),
    }
}

fn deadline(word: &str) -> Result<Duration, String> {
    let deadline = brownout_fault::units::parse_duration(word)?;
    match (Duration::from_secs(1)..=Duration::from_secs(30 * 60)).contains(&deadline) {
        true => Ok(deadline),
        false => Err("must be from 1s to 30m".to_owned()),
    }
}

fn rate(word: &str) -> Result<f64, String> {
    let rate: f64 = word
        .parse()
        .map_err(|_| format!("`{word}` is not a number"))?;
    match (1.0..=1_000.0).contains(&rate) {
        true => Ok(rate),
        false => Err("must be from 1 to 1000".to_owned()),
    }
}

/// Findings that are asked for by one word.
#[derive(Debug, Clone)]
pub(crate) struct Wanted(pub(crate) Vec<FindingId>);

fn findings(word: &str) -> Result<Wanted, String> {
    FindingId::parse_all(word).map(Wanted)
}
