//! `brownout health`: whether a process of ours answers, for containers that have nothing else to ask with.

use brownout_client::Client;

use crate::{
    args::HealthArgs,
    exit::{Exit, Failure},
};

pub(crate) async fn run(args: HealthArgs) -> Result<Exit, Failure> {
    let health = Client::new(&args.address)?.health().await?;
    println!("{}", health.status);
    Ok(Exit::Ok)
}
