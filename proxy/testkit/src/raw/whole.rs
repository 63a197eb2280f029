//! Whole messages with their framing: heads, chunk lines and trailer sections, byte for byte.

use super::RawClient;

/// How a message's body ends (RFC 9112 §6.3), as far as tests need it.
enum Framing {
    Chunked,
    Sized(usize),
    Unsaid,
}

impl RawClient {
    /// Reads one head, first line to empty line, or `None` when the connection ends before.
    pub async fn whole_head(&mut self) -> Option<Vec<u8>> {
        self.try_until(b"\r\n\r\n").await
    }

    /// Reads the body that belongs to a message's head, as it is on the wire, or `None` when the connection ends before
    /// or a chunk has no size.
    pub async fn whole_body(&mut self, head: &[u8]) -> Option<Vec<u8>> {
        match framing(head) {
            Framing::Chunked => self.chunks().await,
            Framing::Sized(length) => self.try_exact(length).await,
            Framing::Unsaid => Some(Vec::new()),
        }
    }

    /// Reads one request, or `None` when the connection ends before it is whole.
    pub async fn whole_request(&mut self) -> Option<Vec<u8>> {
        let mut message = self.whole_head().await?;
        let body = self.whole_body(&message).await?;
        message.extend(body);
        Some(message)
    }

    /// Reads one answer and the interim answers (1xx) before it, or `None` when the connection ends before it is whole.
    /// `to_head` says that the request's method was HEAD.
    pub async fn whole_response(&mut self, to_head: bool) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let head = self.whole_head().await?;
            let status = status(&head);
            message.extend_from_slice(&head);
            if status == 101 || status == 204 || status == 304 || (status >= 200 && to_head) {
                return Some(message);
            }
            if status < 200 {
                continue;
            }
            let body = match framing(&head) {
                Framing::Unsaid => self.ended().await.bytes,
                Framing::Chunked | Framing::Sized(_) => self.whole_body(&head).await?,
            };
            message.extend(body);
            return Some(message);
        }
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let line = self.try_until(b"\r\n").await?;
            let text = String::from_utf8_lossy(&line);
            let digits = text.trim_end().split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).ok()?;
            all.extend_from_slice(&line);
            if size == 0 {
                break;
            }
            all.extend(self.try_exact(size.checked_add(2)?).await?);
        }
        loop {
            let line = self.try_until(b"\r\n").await?;
            let is_last = line == b"\r\n";
            all.extend(line);
            if is_last {
                return Some(all);
            }
        }
    }

    async fn try_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self
                .buffer
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return Some(self.buffer.split_to(at + end.len()).to_vec());
            }
            if !matches!(self.fill().await, Ok(1..)) {
                return None;
            }
        }
    }

    async fn try_exact(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !matches!(self.fill().await, Ok(1..)) {
                return None;
            }
        }
        Some(self.buffer.split_to(count).to_vec())
    }
}

fn status(head: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(head);
    let code = text
        .split([' ', '\r'])
        .nth(1)
        .and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no status in {text:?}"))
}

fn framing(head: &[u8]) -> Framing {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let fields = || text.lines().skip(1).filter_map(|line| line.split_once(':'));
    let value = |wanted: &str| {
        let mut named = fields().filter(|(name, _)| name.trim_end() == wanted);
        named.next().map(|(_, value)| value.trim())
    };
    if value("transfer-encoding").is_some() {
        return Framing::Chunked;
    }
    match value("content-length") {
        Some(length) => {
            let first = length.split(',').next().unwrap_or_default();
            Framing::Sized(
                first
                    .trim()
                    .parse()
                    .unwrap_or_else(|_| panic!("no length: {length:?}")),
            )
        }
        None => Framing::Unsaid,
    }
}
