//! The contract of Toxiproxy's API, row by row: one case for each thing that a client can see.

mod bytes_of_each;
mod disabled;
mod exact;
mod forms;
mod live;
mod semantics;

use brownout_testkit::{RawClient, RawMessage};

use super::Toxi;

/// A call with a head of its own.
async fn with_head(toxi: &Toxi, head: &str) -> RawMessage {
    let mut client = RawClient::connect(toxi.world.api.address()).await;
    client.send(head).await;
    client.response().await
}
