//! Frames content anew.

use super::{framing::BodyLength, head::Fields};

/// Frames the content of one message: what goes before and behind each piece, and at the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoder {
    length: BodyLength,
    /// Content bytes that are still to come, if their number was said.
    left: u64,
}

/// What goes before a piece of content: a chunk's size line, or nothing. It lies in itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkHead {
    bytes: [u8; Self::BYTES_MAX],
    start: u8,
}

impl Encoder {
    pub(crate) fn new(length: BodyLength) -> Self {
        let left = match length {
            BodyLength::Sized(length) => length,
            BodyLength::Empty | BodyLength::Chunked | BodyLength::UntilClose => 0,
        };
        Self { length, left }
    }

    /// What goes before the next `len` bytes of content. `len` is above 0: an empty chunk would end the content.
    ///
    /// The caller keeps to the length that was said: [`remaining`](Self::remaining) tells what is left of it.
    pub(crate) fn before(&mut self, len: u64) -> ChunkHead {
        debug_assert!(len > 0 && self.remaining().is_none_or(|left| len <= left));
        self.left = self.left.saturating_sub(len);
        match self.length {
            BodyLength::Chunked if len > 0 => ChunkHead::new(len),
            BodyLength::Chunked
            | BodyLength::Empty
            | BodyLength::Sized(_)
            | BodyLength::UntilClose => ChunkHead::NONE,
        }
    }

    /// What goes behind each piece of content.
    pub(crate) fn after(&self) -> &'static [u8] {
        match self.length {
            BodyLength::Chunked => b"\r\n",
            BodyLength::Empty | BodyLength::Sized(_) | BodyLength::UntilClose => b"",
        }
    }

    /// Writes what ends the content: the last chunk and the trailers, which have no place in another framing.
    pub(crate) fn end(&self, trailers: Option<&Fields>, out: &mut Vec<u8>) {
        if self.length != BodyLength::Chunked {
            return;
        }
        out.extend_from_slice(b"0\r\n");
        if let Some(trailers) = trailers {
            trailers.write_to(out);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// How many bytes of content must still come, where their number was said.
    pub(crate) fn remaining(&self) -> Option<u64> {
        match self.length {
            BodyLength::Empty | BodyLength::Sized(_) => Some(self.left),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        }
    }
}

impl ChunkHead {
    /// 16 digits and CRLF.
    pub(crate) const BYTES_MAX: usize = 18;

    const NONE: Self = Self {
        bytes: [0; Self::BYTES_MAX],
        start: 18,
    };

    pub(crate) fn new(mut len: u64) -> Self {
        let mut head = Self::NONE;
        head.bytes[16..].copy_from_slice(b"\r\n");
        head.start = 16;
        loop {
            head.start -= 1;
            head.bytes[usize::from(head.start)] = b"0123456789abcdef"[(len & 15) as usize];
            len >>= 4;
            if len == 0 {
                return head;
            }
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}
