//! What may be said of a server in Toxiproxy's place.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(disable_version_flag = true)]
pub(crate) struct ToxiproxyArgs {
    /// The address that the API listens on
    #[arg(long, default_value = "localhost", value_name = "HOST")]
    pub(crate) host: String,

    /// The port that the API listens on
    #[arg(long, default_value_t = 8474, value_name = "PORT")]
    pub(crate) port: u16,

    /// A JSON file with proxies
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Draws repeat for the same seed
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i64>,

    /// Taken for the original's sake: /metrics has the counts of proxies always
    #[arg(long)]
    pub(crate) proxy_metrics: bool,

    /// Taken for the original's sake
    #[arg(long)]
    pub(crate) runtime_metrics: bool,

    /// Print the version of Toxiproxy that this stands in for
    #[arg(long)]
    pub(crate) version: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// A JSON file with Toxiproxy's proxies
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
