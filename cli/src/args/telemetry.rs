//! What may be said about traces and metrics.

use brownout_telemetry::{Dialect, FaultSampling};
use clap::ValueEnum;

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TelemetryArgs {
    /// Where metrics go, as statsd over UDP, once a second
    #[arg(long, env = "BROWNOUT_STATSD", value_name = "HOST:PORT")]
    pub(crate) statsd: Option<String>,

    /// How tags are written: etsy puts their values into names, influx is for Telegraf, datadog for the Datadog agent
    /// [default: etsy]
    #[arg(long, env = "BROWNOUT_STATSD_DIALECT", value_name = "DIALECT")]
    pub(crate) statsd_dialect: Option<Dialect>,

    /// Where traces go, as OTLP over HTTP; /v1/traces is appended
    #[arg(long, env = "BROWNOUT_OTLP", value_name = "URL")]
    pub(crate) otlp: Option<String>,

    /// The share of traces to record, 0 to 1, of those that begin here [default: 1]
    #[arg(long, env = "BROWNOUT_SAMPLE_RATIO", value_name = "RATIO", value_parser = ratio)]
    pub(crate) sample_ratio: Option<f64>,

    /// Whether to record a request that a fault acts on although its trace is not recorded [default: inherit]
    #[arg(long, env = "BROWNOUT_FAULT_SAMPLING", value_enum, value_name = "WHEN")]
    pub(crate) fault_sampling: Option<FaultSamplingArg>,
}

/// The words of `--fault-sampling`; see [`FaultSampling`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultSamplingArg {
    /// Only if its trace is recorded
    Inherit,
    /// Always, with the proxy's span alone
    Always,
}

impl From<FaultSamplingArg> for FaultSampling {
    fn from(said: FaultSamplingArg) -> Self {
        match said {
            FaultSamplingArg::Inherit => Self::Inherit,
            FaultSamplingArg::Always => Self::Always,
        }
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        Ok(_) | Err(_) => Err("is no share between 0 and 1".to_owned()),
    }
}
