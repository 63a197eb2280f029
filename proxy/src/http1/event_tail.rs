//! Where one server-sent event ends and the next begins.

/// The last bytes of a stream of server-sent events, as they came: content, or content with the framing of chunks.
///
/// An event ends with an empty line, and a line with LF, CR or both (HTML, "Parsing an event stream").
#[derive(Debug, Default)]
pub(crate) struct EventTail {
    /// The last bytes, the very last one behind the others.
    bytes: [u8; 6],
    has_begun: bool,
}

impl EventTail {
    /// Takes note of bytes that went on.
    pub(crate) fn follow(&mut self, bytes: &[u8]) {
        let Some((_, last)) = bytes.split_last_chunk::<6>() else {
            for byte in bytes {
                self.bytes.rotate_left(1);
                self.bytes[5] = *byte;
                self.has_begun = true;
            }
            return;
        };
        self.bytes = *last;
        self.has_begun = true;
    }

    /// Whether these bytes of content end with a whole event. So does nothing.
    pub(crate) fn is_between_events(&self) -> bool {
        !self.has_begun || Self::ends_an_event(&self.bytes)
    }

    /// As [`is_between_events`](Self::is_between_events), of bytes that end with the end of a chunk.
    pub(crate) fn is_between_chunked_events(&self) -> bool {
        let content = self.bytes.strip_suffix(b"\r\n");
        !self.has_begun || content.is_some_and(Self::ends_an_event)
    }

    fn ends_an_event(bytes: &[u8]) -> bool {
        [&b"\n\n"[..], b"\r\r", b"\r\n\r\n"]
            .iter()
            .any(|end| bytes.ends_with(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_with_an_empty_line_however_it_is_cut() {
        for (stream, is_between) in [
            ("data: 1\n\n", true),
            ("data: 1\r\n\r\n", true),
            ("data: 1\r\r", true),
            ("", true),
            ("data: 1\n", false),
            ("data: 1\r\n", false),
            ("data: 1", false),
            ("data: 1\n\ndata", false),
        ] {
            for cut in 0..=stream.len() {
                let (first, second) = stream.split_at(cut);
                let mut tail = EventTail::default();
                tail.follow(first.as_bytes());
                tail.follow(second.as_bytes());

                assert_eq!(tail.is_between_events(), is_between, "{stream:?}");
                if !stream.is_empty() {
                    tail.follow(b"\r\n");
                    assert_eq!(tail.is_between_chunked_events(), is_between, "{stream:?}");
                }
            }
        }
    }
}
