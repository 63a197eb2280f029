//! `brownout explain`.

use std::net::IpAddr;

use super::ApiArgs;

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,

    /// A request that may come, such as 'GET /v1/items?page=2'; the number of one that a route carried (see: requests --output
    /// json); or last, for the one that ended last
    #[arg(value_name = "REQUEST")]
    pub(crate) request: String,

    /// The route by which it comes [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) route: Option<String>,

    /// One of its header fields; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,

    /// The address of its client [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub(crate) client: Option<IpAddr>,

    /// Its place on its connection, from 1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) connection_seq: u64,
}
