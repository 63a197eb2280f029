//! An open loop: requests at even times, whether or not answers come.

use std::{net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};

use super::Connection;

/// How long a connection may lie unused before it is closed: below the 5 s after which many servers close theirs.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// Calls `ask` `rate` times a second, each with a connection that nobody else uses and the moment at which the request is
/// to be sent. `ask` gives the connection back when it has ended.
///
/// Dropping the future drops the requests that have not ended, and all connections.
pub(crate) async fn open_loop<F>(
    rate: f64,
    address: SocketAddr,
    ask: impl Fn(Connection, Instant) -> F,
) -> !
where
    F: Future<Output = Connection>,
{
    let began = Instant::now();
    let due = |sent: u64| began + Duration::from_secs_f64(sent as f64 / rate);
    let mut sent = 0;
    let mut unused: Vec<(Instant, Connection)> = Vec::new();
    let mut waiting = FuturesUnordered::new();
    loop {
        let intended = due(sent);
        tokio::select! {
            () = sleep_until(intended) => {
                sent += 1;
                let kept = unused.pop().map(|(_, connection)| connection);
                let connection = kept.unwrap_or_else(|| Connection::to(address));
                waiting.push(ask(connection, intended));
            }
            Some(connection) = waiting.next(), if !waiting.is_empty() => {
                let now = Instant::now();
                // The one used last is used next, so the first ones have waited longest.
                let stale = unused.iter().take_while(|(since, _)| now - *since > IDLE_MAX).count();
                unused.drain(..stale);
                unused.push((now, connection));
            }
        }
    }
}
