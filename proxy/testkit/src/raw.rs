//! A client that knows only bytes: it sees what is on the wire and how a connection ends.

mod whole;

use std::{io, net::SocketAddr, time::Instant};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::within;

/// A TCP client with a buffer.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    buffer: BytesMut,
}

/// An HTTP/1.1 message as it came, an answer or a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// The first line and the fields, byte for byte, with the empty line.
    pub head: String,
    /// The content, without chunk framing.
    pub body: Vec<u8>,
    /// Fields behind a chunked body.
    pub trailers: Vec<String>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// An orderly close.
    Fin,
    /// `ECONNRESET`.
    Reset,
}

/// What came before the end of a connection, and the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// All bytes not read before.
    pub bytes: Vec<u8>,
    /// The end.
    pub how: How,
}

impl RawMessage {
    /// The status code.
    ///
    /// # Panics
    /// When the status line has none.
    #[must_use]
    pub fn status(&self) -> u16 {
        let code = self
            .head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no status in {:?}", self.head))
    }

    /// All values of a field, in order.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }

    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl RawClient {
    /// Connects.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await;
        let stream =
            stream.unwrap_or_else(|error| panic!("could not connect to {address}: {error}"));
        stream
            .set_nodelay(true)
            .expect("a fresh socket takes TCP_NODELAY");
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Takes over an accepted connection: for upstreams that speak in bytes.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Our address.
    ///
    /// # Panics
    /// When the socket is gone.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.stream.local_addr().expect("the socket is open")
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the connection broke.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = within("bytes to be taken", self.stream.write_all(bytes.as_ref())).await;
        sent.expect("the connection takes bytes");
    }

    /// Sends bytes until they are all taken or the connection breaks.
    ///
    /// # Errors
    /// When it broke.
    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("bytes to be taken", self.stream.write_all(bytes)).await
    }

    /// Sends a GET with a Host.
    pub async fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
            .await;
    }

    /// Closes our side; theirs can still send.
    ///
    /// # Panics
    /// When the connection broke.
    pub async fn finish(&mut self) {
        self.stream
            .shutdown()
            .await
            .expect("the connection can be closed");
    }

    /// Reads bytes up to and including `end`.
    ///
    /// # Panics
    /// When the connection ends before.
    pub async fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self
                .buffer
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return self.buffer.split_to(at + end.len()).to_vec();
            }
            assert!(
                self.fill().await.expect("no reset") > 0,
                "the connection ended after {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Panics
    /// When the connection ends before.
    pub async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(
                self.fill().await.expect("no reset") > 0,
                "the connection ended after {} of {count} bytes",
                self.buffer.len()
            );
        }
        self.buffer.split_to(count).to_vec()
    }

    /// Reads one answer to a request that was not HEAD.
    ///
    /// # Panics
    /// When it is cut short or is no HTTP.
    pub async fn response(&mut self) -> RawMessage {
        let mut response = self.head().await;
        let status = response.status();
        if status == 204 || status == 304 || status < 200 {
            return response;
        }
        if !self.framed_content(&mut response).await {
            response.body = self.ended().await.bytes;
        }
        response
    }

    /// Reads one request: for upstreams that speak in bytes.
    ///
    /// # Panics
    /// When it is cut short or is no HTTP.
    pub async fn request(&mut self) -> RawMessage {
        let mut request = self.head().await;
        self.framed_content(&mut request).await;
        request
    }

    /// Reads the content of a message that says how long it is. Whether it did.
    async fn framed_content(&mut self, message: &mut RawMessage) -> bool {
        let length = message
            .values("content-length")
            .first()
            .map(|length| length.parse());
        if !message.values("transfer-encoding").is_empty() {
            self.read_chunks(message).await;
            return true;
        }
        let Some(length) = length else { return false };
        message.body = self
            .read_exact(length.expect("content-length is a number"))
            .await;
        true
    }

    /// Reads one answer, or `None` when the connection ends before its head.
    ///
    /// # Panics
    /// When it ends in the body.
    pub async fn try_response(&mut self) -> Option<RawMessage> {
        let mut response = self.try_head().await?;
        self.framed_content(&mut response).await;
        Some(response)
    }

    /// Reads one head, or `None` when the connection ends before it is whole.
    pub async fn try_head(&mut self) -> Option<RawMessage> {
        while !self.buffer.windows(4).any(|window| window == b"\r\n\r\n") {
            if !matches!(self.fill().await, Ok(1..)) {
                return None;
            }
        }
        Some(self.head().await)
    }

    /// Sends `size` bytes of a pattern in which every place is different from its neighbours.
    pub async fn send_pattern(&mut self, size: u64) {
        let mut sent = 0;
        while sent < size {
            let block = pattern(sent);
            let rest = usize::try_from(size - sent).unwrap_or(usize::MAX);
            self.send(&block[..block.len().min(rest)]).await;
            sent += block.len() as u64;
        }
    }

    /// Reads `size` bytes and holds them to [`send_pattern`](Self::send_pattern)'s.
    ///
    /// # Panics
    /// At the first difference.
    pub async fn expect_pattern(&mut self, size: u64) {
        let mut read = 0;
        while read < size {
            let block = pattern(read);
            let rest = usize::try_from(size - read).unwrap_or(usize::MAX);
            let wanted = &block[..block.len().min(rest)];
            assert!(
                self.read_exact(wanted.len()).await == wanted,
                "another byte after {read}"
            );
            read += wanted.len() as u64;
        }
    }

    /// Sends `size` bytes of the pattern, and at the same time reads as many and holds them to it.
    ///
    /// # Panics
    /// At the first difference, or when the connection breaks.
    pub async fn patterns_both_ways(&mut self, size: u64) {
        let before = self.buffer.split();
        let (read, mut write) = self.stream.split();
        let mut read = AsyncReadExt::chain(&*before, read);
        let sending = async {
            let mut sent = 0;
            while sent < size {
                let block = pattern(sent);
                let rest = usize::try_from(size - sent).unwrap_or(usize::MAX);
                let part = &block[..block.len().min(rest)];
                write
                    .write_all(part)
                    .await
                    .expect("the connection takes bytes");
                sent += part.len() as u64;
            }
        };
        let reading = async {
            let mut seen = 0;
            let mut part = vec![0; pattern(0).len()];
            while seen < size {
                let block = pattern(seen);
                let rest = usize::try_from(size - seen).unwrap_or(usize::MAX);
                let part = &mut part[..block.len().min(rest)];
                read.read_exact(part)
                    .await
                    .expect("the connection gives bytes");
                assert!(part == &block[..part.len()], "another byte after {seen}");
                seen += part.len() as u64;
            }
        };
        within("both patterns", async { tokio::join!(sending, reading) }).await;
    }

    /// Reads one answer's status line and fields.
    ///
    /// # Panics
    /// When the connection ends before.
    pub async fn head(&mut self) -> RawMessage {
        let head = self.read_until(b"\r\n\r\n").await;
        RawMessage {
            head: String::from_utf8(head).expect("heads are ASCII here"),
            body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    async fn read_chunks(&mut self, response: &mut RawMessage) {
        loop {
            let line = String::from_utf8(self.read_until(b"\r\n").await).expect("a chunk size");
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
            if size == 0 {
                break;
            }
            let chunk = self.read_exact(size).await;
            response.body.extend(chunk);
            assert_eq!(self.read_exact(2).await, b"\r\n");
        }
        loop {
            let line = self.read_until(b"\r\n").await;
            if line == b"\r\n" {
                return;
            }
            let line = String::from_utf8(line).expect("a field");
            response.trailers.push(line.trim().to_owned());
        }
    }

    /// Closes the connection with a reset (RST).
    ///
    /// # Panics
    /// When the socket is gone.
    pub fn reset(self) {
        self.stream
            .set_zero_linger()
            .expect("an open socket takes SO_LINGER");
    }

    /// Reads to the end of the connection.
    ///
    /// # Panics
    /// When it ends in neither FIN nor reset.
    pub async fn ended(&mut self) -> Ended {
        let how = loop {
            match self.fill().await {
                Ok(0) => break How::Fin,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break How::Reset,
                Err(error) => panic!("the connection ended in {error}"),
            }
        };
        Ended {
            bytes: self.buffer.split().to_vec(),
            how,
        }
    }

    /// Sends a request and reads its answer, and how long that took.
    pub async fn exchange(
        &mut self,
        request: impl AsRef<[u8]>,
    ) -> (RawMessage, std::time::Duration) {
        let began = Instant::now();
        self.send(request).await;
        let response = self.response().await;
        (response, began.elapsed())
    }

    /// Bytes that were read from the socket and not asked for yet.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        self.buffer.chunk()
    }

    async fn fill(&mut self) -> io::Result<usize> {
        within("bytes to arrive", self.stream.read_buf(&mut self.buffer)).await
    }
}

/// The block of the pattern that begins at `offset`: its own number, over and over.
fn pattern(offset: u64) -> Vec<u8> {
    const BLOCK_BYTES: usize = 64 * 1024;
    offset.to_le_bytes().repeat(BLOCK_BYTES / 8)
}
