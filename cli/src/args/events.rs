//! `brownout events`.

use super::ApiArgs;

#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,

    /// Begin behind the event with this number, if it is still kept [default: with what happens from now on]
    #[arg(long, value_name = "SEQ")]
    pub(crate) after: Option<u64>,

    /// End after so many events
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}
