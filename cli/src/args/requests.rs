//! `brownout requests`.

use brownout_wire::RequestList;

use super::ApiArgs;

#[derive(Debug, clap::Args)]
pub(crate) struct RequestsArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,

    /// Show those of one route
    #[arg(long, value_name = "NAME")]
    pub(crate) route: Option<String>,

    /// Show those that one fault struck
    #[arg(long, value_name = "ID")]
    pub(crate) fault: Option<String>,

    /// Show those in progress alone
    #[arg(long, conflicts_with = "follow")]
    pub(crate) open: bool,

    /// Show so many, 1 to 1000; with --follow so many to begin with
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = limit)]
    pub(crate) limit: usize,

    /// Go on and show each request when it has ended, the oldest first; json prints one object a line
    #[arg(long, short)]
    pub(crate) follow: bool,
}

fn limit(word: &str) -> Result<usize, String> {
    let limit = word.parse().ok();
    limit
        .filter(|limit| (1..=RequestList::LIMIT_MAX).contains(limit))
        .ok_or_else(|| format!("is no whole number from 1 to {}", RequestList::LIMIT_MAX))
}
