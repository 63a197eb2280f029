//! The head of an answer.

use httparse::{ParserConfig, Status};

use super::{FieldKind, Fields, HeadLimits, HeadSearch, Span, diagnosis, search::Found, with_room};
use crate::http1::{
    framing,
    refusal::{BadAnswer, HeadFlaw},
};

/// An upstream's answer, up to its empty line.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResponseHead {
    /// From 100 to 599.
    pub(crate) status: u16,
    /// The minor version: 0 or 1.
    pub(crate) minor: u8,
    reason: Span,
    pub(crate) fields: Fields,
}

const BEGINNING: &[u8] = b"HTTP/1.";

impl ResponseHead {
    /// Reads a head from the beginning of `input`, and tells how many bytes it took. `None` asks for more input
    /// behind the same bytes.
    ///
    /// White space before a colon and bare LFs are mended, and so are equal repeated Content-Lengths
    /// (RFC 9110 §8.6, RFC 9112 §5.1).
    ///
    /// # Errors
    ///
    /// Returns why this is no answer; the connection is not to be used again then.
    pub(crate) fn parse(
        &mut self,
        input: &[u8],
        search: &mut HeadSearch,
        limits: &HeadLimits,
    ) -> Result<Option<usize>, BadAnswer> {
        let begins = input.len().min(BEGINNING.len());
        if input[..begins] != BEGINNING[..begins] {
            return Err(BadAnswer::STATUS_LINE);
        }
        let end = match search.end_of(input, limits) {
            Found::End(end) => end,
            Found::NotYet => return Ok(None),
            Found::TooLong => return Err(BadAnswer::HEAD_BYTES),
        };
        self.clear();
        let used = self.read(&input[..end], limits)?;
        if !(100..=599).contains(&self.status) {
            return Err(BadAnswer::STATUS);
        }
        self.mend_length()?;
        Ok(Some(used))
    }

    fn read(&mut self, head: &[u8], limits: &HeadLimits) -> Result<usize, BadAnswer> {
        let mut config = ParserConfig::default();
        config.allow_spaces_after_header_name_in_responses(true);
        let parsed = with_room(limits.fields, |room| {
            let mut response = httparse::Response::new(&mut []);
            let status = config.parse_response_with_uninit_headers(&mut response, head, room)?;
            let (Status::Complete(used), Some(code), Some(minor)) =
                (status, response.code, response.version)
            else {
                return Err(httparse::Error::NewLine);
            };
            self.status = code;
            self.minor = minor;
            if self.fields.load(&head[..used], response.headers).is_err() {
                self.fields.load_mended(&head[..used], response.headers);
            }
            Ok(used)
        });
        let used = match parsed {
            Ok(used) => used,
            Err(error) => return Err(bad(head, limits, error)),
        };
        self.reason = self.find_reason();
        Ok(used)
    }

    /// What stands behind `HTTP/1.1 200 ` in the first line: any bytes but control bytes.
    fn find_reason(&self) -> Span {
        const BEFORE: usize = b"HTTP/1.1 200 ".len();
        let line = self.fields.first_line();
        Span::new(BEFORE.min(line), line)
    }

    /// Makes one Content-Length of equal ones.
    fn mend_length(&mut self) -> Result<(), BadAnswer> {
        if !self.fields.has_kind(FieldKind::ContentLength) {
            return Ok(());
        }
        let mut lengths = self.fields.all_kind(FieldKind::ContentLength);
        let first = lengths.next().unwrap_or_default();
        if lengths.next().is_none() && !first.contains(&b',') {
            return Ok(());
        }
        drop(lengths);
        let mut members = self
            .fields
            .all_kind(FieldKind::ContentLength)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii);
        let first_length = members.next().and_then(framing::length);
        let length = first_length.ok_or(BadAnswer::CONTENT_LENGTH)?;
        if !members.all(|other| framing::length(other) == Some(length)) {
            return Err(BadAnswer::CONTENT_LENGTH);
        }
        drop(members);
        let value = length.to_string();
        self.fields
            .set_kind(FieldKind::ContentLength, "Content-Length", value.as_bytes());
        Ok(())
    }

    /// The reason phrase: any bytes but control bytes, often none.
    pub(crate) fn reason(&self) -> &[u8] {
        self.fields.text(self.reason)
    }

    /// Replaces status and reason. The caller has checked both: three digits, no control byte.
    pub(crate) fn set_status(&mut self, status: u16, reason: &[u8]) {
        debug_assert!((100..=999).contains(&status));
        debug_assert!(reason.iter().all(|byte| super::is_value_byte(*byte)));
        self.status = status;
        self.reason = self.fields.store(reason);
    }

    pub(crate) fn is_http10(&self) -> bool {
        self.minor == 0
    }

    /// Whether this is an interim answer, behind which another comes.
    pub(crate) fn is_informational(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Whether its content is server-sent events (HTML, "Server-sent events").
    pub(crate) fn has_events(&self) -> bool {
        let content_type = self.fields.get("content-type");
        let essence = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
        essence.is_some_and(|essence| {
            essence
                .trim_ascii()
                .eq_ignore_ascii_case(b"text/event-stream")
        })
    }

    /// Forgets everything, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.status = 0;
        self.minor = 1;
        self.reason = Span::default();
        self.fields.clear();
    }

    /// Writes the answer as HTTP/1.1, up to and with its empty line.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        let [tens, ones] = [self.status / 10 % 10, self.status % 10];
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend([self.status / 100 % 10, tens, ones].map(digit));
        out.push(b' ');
        out.extend_from_slice(self.reason());
        out.extend_from_slice(b"\r\n");
        self.fields.write_to(out);
        out.extend_from_slice(b"\r\n");
    }
}

fn digit(value: u16) -> u8 {
    b'0' + u8::try_from(value).expect("a digit is below 10")
}

#[cold]
fn bad(head: &[u8], limits: &HeadLimits, error: httparse::Error) -> BadAnswer {
    let flaw = match error {
        httparse::Error::Status | httparse::Error::Version | httparse::Error::Token => {
            return BadAnswer::STATUS_LINE;
        }
        httparse::Error::TooManyHeaders => HeadFlaw::TooManyFields,
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => {
            diagnosis::mendable_field_lines(head, limits.fields).unwrap_or(HeadFlaw::FieldName)
        }
    };
    BadAnswer::of_flaw(flaw)
}
