//! Answers that break the rules of HTTP.

use brownout_fault::Malformed;
use bytes::BufMut;

use super::{After, Exchange, respond::Answer};
use crate::http1::{BodyError, BodyLength, Encoder, FieldKind, Way};

impl Exchange<'_, '_> {
    /// Writes `answer` with one thing wrong about it, then lets the connection end in good order. A client that has
    /// stopped reading is waited for until the fault `by` is removed.
    pub(super) async fn send_malformed(
        &self,
        how: Malformed,
        by: usize,
        mut answer: Answer<'_>,
    ) -> After {
        let released = self.record.borrow().fired(by).released();
        answer.upload.answer_has_begun.set(true);
        self.record.borrow_mut().begins_answer(0);
        let write = async {
            match how {
                Malformed::Random(mut roll) => {
                    let noise: Vec<u8> = (0..64).flat_map(|_| roll.draw().to_le_bytes()).collect();
                    (self.client.write_raw(&noise).await).map_err(BodyError::Write)
                }
                Malformed::Frame => {
                    if let Some(stream) = self.client.as_stream() {
                        stream.send_bad_frame();
                    }
                    Ok(())
                }
                how => self.write_malformed(&how, &mut answer).await,
            }
        };
        let written = tokio::select! {
            written = write => written,
            () = released.wait() => Ok(()),
        };
        if let Err(error) = written {
            tracing::debug!(?error, "a malformed answer was not written whole");
        }
        self.record.borrow_mut().cut_by_fault(by);
        After::Close
    }

    async fn write_malformed(
        &self,
        how: &Malformed,
        answer: &mut Answer<'_>,
    ) -> Result<(), BodyError> {
        let framing = match answer.length {
            _ if matches!(how, Malformed::Chunk) => BodyLength::Chunked,
            BodyLength::UntilClose => BodyLength::Chunked,
            said @ (BodyLength::Empty | BodyLength::Sized(_) | BodyLength::Chunked) => said,
        };
        let head = malformed_head(how, answer, framing);
        self.write_content(&head).await?;
        let mut encoder = Encoder::new(framing);
        if matches!(how, Malformed::Chunk) {
            self.write_content(b"zz\r\n").await?;
        }
        while let Some(piece) = answer.source.next_piece(self.clock, Way::Download).await? {
            let mut framed = encoder.before(piece.len() as u64).as_bytes().to_vec();
            framed.extend_from_slice(&piece);
            framed.extend_from_slice(encoder.after());
            self.write_content(&framed).await?;
            self.record.borrow_mut().sent_body(piece.len() as u64);
        }
        let mut end = Vec::new();
        encoder.end(None, &mut end);
        self.write_content(&end).await
    }

    async fn write_content(&self, bytes: &[u8]) -> Result<(), BodyError> {
        (self.client.write_raw(bytes).await).map_err(BodyError::Write)
    }
}

/// The head as it should be, but for one thing.
fn malformed_head(how: &Malformed, answer: &Answer<'_>, framing: BodyLength) -> Vec<u8> {
    const OVERSIZED_BYTES: usize = 1024 * 1024;
    let mut head = Vec::new();
    match how {
        Malformed::StatusLine => head.put_slice(b"HTTP/1.1 OK\r\n"),
        Malformed::Chunk
        | Malformed::Header
        | Malformed::Random(_)
        | Malformed::DupContentLength
        | Malformed::OversizedHeader
        | Malformed::Frame => {
            head.put_slice(format!("HTTP/1.1 {} ", answer.head.status).as_bytes());
            head.put_slice(answer.head.reason());
            head.put_slice(b"\r\n");
        }
    }
    let mut fields = answer.head.fields.clone();
    let said = (fields.get_kind(FieldKind::ContentLength))
        .and_then(|said| str::from_utf8(said).ok()?.parse::<u64>().ok());
    for kind in [
        FieldKind::ContentLength,
        FieldKind::TransferEncoding,
        FieldKind::Connection,
        FieldKind::KeepAlive,
        FieldKind::Upgrade,
    ] {
        fields.remove_kind(kind);
    }
    fields.write_to(&mut head);
    let length = match framing {
        BodyLength::Sized(bytes) => Some(bytes),
        BodyLength::Empty => said.or(Some(0)),
        BodyLength::Chunked | BodyLength::UntilClose => None,
    };
    match length {
        None => head.put_slice(b"transfer-encoding: chunked\r\n"),
        Some(length) => head.put_slice(format!("content-length: {length}\r\n").as_bytes()),
    }
    match how {
        Malformed::Header => head.put_slice(b"x-brownout-illegal: a\x00b\r\n"),
        Malformed::DupContentLength => {
            let other = length.map_or(0, |length| length + 1);
            head.put_slice(format!("content-length: {other}\r\n").as_bytes());
        }
        Malformed::OversizedHeader => {
            head.put_slice(b"x-brownout-oversized: ");
            head.put_bytes(b'x', OVERSIZED_BYTES);
            head.put_slice(b"\r\n");
        }
        Malformed::Chunk | Malformed::StatusLine | Malformed::Random(_) | Malformed::Frame => {}
    }
    head.put_slice(b"\r\n");
    head
}
