//! `brownout health`: whether a process of ours answers, for containers that have nothing else to ask with.

use std::time::Duration;

use brownout_client::{Client, ClientError};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    args::HealthArgs,
    exit::{Exit, Failure},
};

pub(crate) async fn run(args: HealthArgs) -> Result<Exit, Failure> {
    let client = Client::new(&args.address)?.with_trust(&args.trust.trust())?;
    let health = match args.wait {
        None => client.health().await?,
        Some(wait) => ask_until(&client, Instant::now() + wait).await?,
    };
    println!("{}", health.status);
    Ok(Exit::Ok)
}

/// Asks again and again. At the end it tells what was wrong the last time.
async fn ask_until(
    client: &Client,
    deadline: Instant,
) -> Result<brownout_wire::Health, ClientError> {
    const PAUSE: Duration = Duration::from_millis(100);
    let mut last = ClientError::Timeout {
        base: client.base().to_owned(),
    };
    loop {
        match timeout_at(deadline, client.health()).await {
            Ok(Ok(health)) => return Ok(health),
            Ok(Err(error)) => last = error,
            Err(_) => return Err(last),
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(last);
        }
        sleep(PAUSE).await;
    }
}
