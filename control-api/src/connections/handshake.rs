//! The beginning of a connection with TLS. It has a time of its own, and a place like every connection: a client that stalls
//! in it makes room when the places are taken.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use brownout_proxy::ServedTls;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// What TLS shows to those who connect now. Cheap to clone: all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct ShownTls(Arc<Mutex<ServedTls>>);

impl ShownTls {
    pub(crate) fn new(served: ServedTls) -> Self {
        Self(Arc::new(Mutex::new(served)))
    }

    /// What those get who connect now.
    pub(crate) fn current(&self) -> ServedTls {
        self.lock().clone()
    }

    /// Those who connect from now on get this.
    pub(crate) fn replace(&self, served: ServedTls) {
        *self.lock() = served;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ServedTls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a connection with TLS of one that was accepted. Who speaks plain HTTP is told so.
pub(super) async fn accept(mut tcp: TcpStream, tls: &ShownTls) -> io::Result<TlsStream<TcpStream>> {
    /// The type of a record of the handshake (RFC 8446 §5.1).
    const HANDSHAKE_RECORD: u8 = 22;
    let deadline = tokio::time::Instant::now() + HANDSHAKE_MAX;
    let mut first = [0];
    if timeout_at(deadline, tcp.peek(&mut first)).await?? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if first[0] != HANDSHAKE_RECORD {
        tell_plain(&mut tcp).await?;
        return Err(io::Error::other("it does not speak TLS"));
    }
    let config = tls.current().config(tcp.local_addr().ok());
    let config = config.map_err(io::Error::other)?;
    timeout_at(deadline, TlsAcceptor::from(config).accept(tcp)).await?
}

/// Answers a call without TLS, and waits a moment for the client to read it: closing at once would reset what it still sends.
async fn tell_plain(tcp: &mut TcpStream) -> io::Result<()> {
    const BODY: &str = r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"this control API speaks TLS; call it by https://"}"#;
    const LINGER: Duration = Duration::from_millis(500);
    const READ_MAX: usize = 64 * 1024;
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    let mut left = READ_MAX;
    let told = async {
        tcp.write_all(answer.as_bytes()).await?;
        tcp.shutdown().await?;
        loop {
            tcp.readable().await?;
            let mut scratch = [0; 4096];
            match tcp.try_read(&mut scratch) {
                Ok(0) => return Ok(()),
                Ok(read) if read >= left => return Ok(()),
                Ok(read) => left -= read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    timeout(LINGER, told).await.unwrap_or(Ok(()))
}
