//! How much load this machine can make and measure: against a server that does nothing else than answer.

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    pages::{Endpoint, Pages, Shared},
    recording::{SECOND, Span},
};
use crate::experiment::{Arrivals, Asked, Load};

/// What the load can do at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceiling {
    /// Pages a second, asked for, answered and measured.
    pub rate: f64,
    /// Over how many connections.
    pub connections: usize,
}

/// Asks a server of this process over so many connections for `length`, and counts what was served. Server and load share
/// the machine, so against a server elsewhere it is more.
///
/// # Errors
/// When the server cannot be started.
pub async fn ceiling(connections: usize, length: Duration) -> io::Result<Ceiling> {
    let (stop, stopped) = oneshot::channel();
    let address = serve(stopped)?;
    let load = Load {
        arrivals: Arrivals::Closed(connections),
        to: format!("http://{address}"),
        ..Load::external()
    };
    let endpoint = Endpoint::new(load, address, Asked::Load);
    let shared = Arc::new(Shared::new(
        endpoint,
        None,
        Vec::new(),
        1,
        1,
        Instant::now(),
    ));
    let mut pages = Pages::start(&shared);
    // Connections are opened first.
    sleep(length / 10).await;
    let from = shared.now();
    sleep(length).await;
    let span = Span {
        from,
        to: shared.now(),
    };
    pages.leave(&shared).await;
    drop(stop);
    let recording = shared.recording();
    let served = recording.pages_in(span).filter(|it| it.is_served()).count();
    let seconds = (span.to - span.from) as f64 / SECOND as f64;
    Ok(Ceiling {
        rate: served as f64 / seconds,
        connections,
    })
}

/// Answers every request with 204, on a thread of its own, until `stopped`.
fn serve(stopped: oneshot::Receiver<()>) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("ceiling".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else {
                    return;
                };
                let mut answering = JoinSet::new();
                let accepting = async {
                    while let Ok((stream, _)) = listener.accept().await {
                        answering.spawn(answer(stream));
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    _ = stopped => {}
                }
            });
        })?;
    Ok(address)
}

/// Answers each end of a head. The requests have no bodies.
async fn answer(mut stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    stream.set_nodelay(true).ok(); // It is a little slower otherwise.
    let mut buffer = [0; 4096];
    let mut seen = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        for byte in &buffer[..count] {
            seen = match (byte, seen) {
                (b'\r', 0 | 2) | (b'\n', 1 | 3) => seen + 1,
                (b'\r', _) => 1,
                _ => 0,
            };
            if seen == 4 {
                seen = 0;
                if stream.write_all(ANSWER).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_ceiling_is_what_a_trivial_server_gives() {
        let found = ceiling(8, Duration::from_millis(300)).await.unwrap();

        assert!(found.rate > 100.0, "{found:?}");
    }
}
