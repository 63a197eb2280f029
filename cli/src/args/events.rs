//! `brownout events`.

use clap::ValueEnum;

use super::ApiArgs;

#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,

    /// Begin behind the event with this number, if it is still kept [default: with what happens from now on]
    #[arg(long, value_name = "SEQ")]
    pub(crate) after: Option<u64>,

    /// Besides: requests as they end, and what routes did in each second
    #[arg(long, value_name = "SORTS", value_delimiter = ',')]
    pub(crate) include: Vec<Included>,

    /// End after so many events
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

/// What is not told unless it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Included {
    /// Requests as they end
    Request,
    /// What routes did in each second
    Stats,
}

impl Included {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Stats => "stats",
        }
    }
}
