//! A header sent before everything else.

use std::io;

use tokio::net::TcpStream;

use crate::error::UpstreamError;

/// Sends a header on a connection that was just opened.
///
/// # Errors
/// When the connection breaks.
pub(crate) async fn send(tcp: &TcpStream, mut header: &[u8]) -> Result<(), UpstreamError> {
    let broken = |source| UpstreamError::Broken { source };
    while !header.is_empty() {
        tcp.writable().await.map_err(broken)?;
        match tcp.try_write(header) {
            Ok(written) => header = &header[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(broken(error)),
        }
    }
    Ok(())
}
