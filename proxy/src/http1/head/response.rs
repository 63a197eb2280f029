//! The head of an answer.

use super::{FieldKind, Fields, HeadLimits, HeadSearch, Span, diagnosis, grammar, search::Found};
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
        // Most heads come whole, and their end is found by reading them.
        let whole = if search.is_new() {
            self.read(&input[..input.len().min(limits.bytes)], limits)
        } else {
            None
        };
        let used = match whole {
            Some(used) => used,
            None => match search.end_of(input, limits) {
                Found::End(end) => self.read_or_mend(&input[..end], limits)?,
                Found::NotYet => return Ok(None),
                Found::TooLong => return Err(BadAnswer::HEAD_BYTES),
            },
        };
        if !(100..=599).contains(&self.status) {
            return Err(BadAnswer::STATUS);
        }
        self.mend_length()?;
        Ok(Some(used))
    }

    /// Takes over the head that `input` begins with, and tells where it ends; `None` if there is none, or not all of it.
    fn read(&mut self, input: &[u8], limits: &HeadLimits) -> Option<usize> {
        /// What stands before a reason.
        const BEFORE: usize = b"HTTP/1.1 200 ".len();
        self.clear();
        let line = grammar::status_line(input)?;
        self.minor = line.minor;
        self.status = line.status;
        let end = line.bytes - 2;
        self.reason = Span::new(BEFORE.min(end), end);
        self.fields.load(input, line.bytes, limits.fields)
    }

    /// As [`read`](Self::read), of a head that may have to be mended.
    fn read_or_mend(&mut self, head: &[u8], limits: &HeadLimits) -> Result<usize, BadAnswer> {
        if let Some(used) = self.read(head, limits) {
            return Ok(used);
        }
        let (mended, used) = mended(head);
        match self.read(&mended, limits) {
            Some(end) if end == mended.len() => Ok(used),
            Some(_) | None => Err(bad(head, limits)),
        }
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

/// A head without the white space before its colons, and with a CR before each LF, up to its empty line. Also how much of
/// `head` that is.
#[cold]
fn mended(head: &[u8]) -> (Vec<u8>, usize) {
    let (mut mended, mut used) = (Vec::with_capacity(head.len() * 2), 0);
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let is_first = used == 0;
        used += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match memchr::memchr(b':', line) {
            Some(colon) if !is_first => {
                mended.extend_from_slice(without_space(&line[..colon]));
                mended.extend_from_slice(&line[colon..]);
            }
            Some(_) | None => mended.extend_from_slice(line),
        }
        mended.extend_from_slice(b"\r\n");
        if line.is_empty() {
            break;
        }
    }
    (mended, used)
}

#[cold]
fn bad(head: &[u8], limits: &HeadLimits) -> BadAnswer {
    let line = head.split_inclusive(|byte| *byte == b'\n').next();
    let line = line
        .and_then(|line| line.strip_suffix(b"\n"))
        .unwrap_or(head);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if grammar::status_line(&[line, b"\r\n"].concat()).is_none() {
        return BadAnswer::STATUS_LINE;
    }
    let flaw = diagnosis::mendable_field_lines(head, limits.fields);
    BadAnswer::of_flaw(flaw.unwrap_or(HeadFlaw::FieldName))
}

/// Without the blanks and tabs at its end.
fn without_space(name: &[u8]) -> &[u8] {
    let is_other = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let end = name.iter().rposition(is_other).map_or(0, |last| last + 1);
    &name[..end]
}
