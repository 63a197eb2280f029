//! A header taken from a socket, and nothing behind it.

use std::{io, mem, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::{Endpoints, header::parse};

/// Why there is no header.
#[derive(Debug)]
pub(crate) enum NoHeader {
    /// The bytes are none, as this says.
    Bad(&'static str),
    /// It did not come in time.
    Late(Duration),
    /// The client left before it had sent anything, as who only looks whether somebody listens, or its connection broke.
    Left,
}

/// Takes the header from the beginning of a connection, which has `limit` for it. Everything behind it stays to be read. `None`: it names no client.
pub(crate) async fn receive(
    tcp: &TcpStream,
    limit: Duration,
) -> Result<Option<Endpoints>, NoHeader> {
    let taken = timeout(limit, take(tcp)).await;
    taken.unwrap_or(Err(NoHeader::Late(limit)))
}

async fn take(tcp: &TcpStream) -> Result<Option<Endpoints>, NoHeader> {
    let broken = |_: io::Error| NoHeader::Left;
    let mut header = Vec::new();
    let mut ahead = [0; 256];
    loop {
        let came = tcp.peek(&mut ahead).await.map_err(broken)?;
        let before = header.len();
        header.extend_from_slice(&ahead[..came]);
        if came == 0 {
            return Err(match before {
                0 => NoHeader::Left,
                _ => NoHeader::Bad("it ends before its header does"),
            });
        }
        let whole = parse(&header).map_err(|bad| NoHeader::Bad(bad.0))?;
        let of_header = whole.map_or(came, |whole| whole.bytes - before);
        skip(tcp, &mut ahead[..of_header]).await.map_err(broken)?;
        if let Some(whole) = whole {
            return Ok(whole.client);
        }
    }
}

/// Reads bytes that are there.
async fn skip(tcp: &TcpStream, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        tcp.readable().await?;
        match tcp.try_read(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => bytes = &mut mem::take(&mut bytes)[read..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
