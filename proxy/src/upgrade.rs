//! Exchanges that switched protocols, over hyper's upgrades.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::{
    client_io::{self, ClientSocket},
    relay::close_in_order,
};

/// Passes bytes between a client and an upstream that agreed on another protocol, until both have closed their side.
/// Dropping it closes both.
///
/// `socket` is the client's: the faults of its stream layer go on.
pub(crate) async fn relay(client: OnUpgrade, upstream: OnUpgrade, socket: &ClientSocket) {
    let (client, upstream) = match tokio::try_join!(client, upstream) {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "the protocol was not switched");
            return;
        }
    };
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    let over = tokio::select! {
        biased;
        result = copy_bidirectional(&mut client, &mut upstream) => {
            if let Err(error) = result {
                tracing::debug!(%error, "an upgraded connection broke");
            }
            return;
        }
        over = socket.over() => over,
    };
    drop(upstream);
    end(socket, over).await;
}

/// Ends a connection as a fault of its stream layer says.
pub(crate) async fn end(socket: &ClientSocket, over: client_io::Over) {
    match over {
        client_io::Over::Reset => {
            socket.arrived().await;
            socket.reset_on_close();
        }
        client_io::Over::Close => close_in_order(&[socket.tcp()]).await,
    }
}
