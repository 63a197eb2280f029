//! What may be said of experiments.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{Output, TelemetryArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Experiments as TOML files; docs/experiments.md explains every key
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// The control API of a running proxy; wins over the files' own [default: start a proxy for the run]
    #[arg(long, env = "BROWNOUT_CONTROL", value_name = "ADDR")]
    pub(crate) control: Option<String>,

    /// Chance repeats for the same seed; wins over the files' own [default: a new one each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Say only what did not hold, and the verdict
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Exit with this code instead of 1 when an expectation did not hold; k6 uses 99
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) exit_code_on_fail: Option<u8>,

    /// The commit of what is tested, for the reports
    #[arg(long, env = "GITHUB_SHA", hide_env_values = true, value_name = "HASH")]
    pub(crate) commit: Option<String>,

    #[command(flatten)]
    pub(crate) reports: ReportPaths,

    /// Write every event as a line of JSON; `brownout report` makes reports of it later
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,

    /// Where GitHub wants a step's summary
    #[arg(long, env = "GITHUB_STEP_SUMMARY", hide = true)]
    pub(crate) github_step_summary: Option<PathBuf>,

    /// Whether this is a step of a GitHub workflow
    #[arg(long, env = "GITHUB_ACTIONS", hide = true)]
    pub(crate) github_actions: Option<String>,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,

    /// How the run is printed: lines as it goes, or one object for each file at its end
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Where reports go. `{name}` in a path stands for the experiment's name.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ReportPaths {
    /// Write the results as JUnit XML, one suite for each file
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Write the result as JSON; with more than one file, put {name} into the path
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write one HTML page that needs no network; with more than one file, put {name} into the path
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Write the results as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Experiments as TOML files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// What `brownout run --events` has written
    #[arg(value_name = "EVENTS")]
    pub(crate) events: PathBuf,

    #[command(flatten)]
    pub(crate) reports: ReportPaths,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {
    /// What the schema describes
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// An experiment's file
    Experiment,
    /// The result of a run as JSON
    Result,
    /// The result of an audit as JSON
    Audit,
}
