//! Message heads: one buffer, and where in it the parts are.

mod as_fault_fields;
mod diagnosis;
mod fields;
mod grammar;
mod host;
mod kind;
mod request;
mod response;
mod search;
mod spare;

pub(crate) use fields::Fields;
pub(crate) use kind::{FieldKind, FieldKinds};
pub(crate) use request::RequestHead;
pub(crate) use response::ResponseHead;
pub(crate) use search::HeadSearch;

/// How large a head may be. The trailer section of a chunked body has the same limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadLimits {
    /// Bytes of a head, from its first line to its empty line.
    pub(crate) bytes: usize,
    /// Field lines of a head.
    pub(crate) fields: usize,
    /// Bytes of a request's target.
    pub(crate) target: usize,
}

impl Default for HeadLimits {
    /// 256 KiB, 1,024 fields, a target of 64 KiB.
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            fields: 1024,
            target: 64 * 1024,
        }
    }
}

/// Where a text is in its head's buffer, whose size fits 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        Self {
            start: offset(start),
            end: offset(end),
        }
    }

    fn in_bytes(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// An offset in a buffer that [`Fields`] has found to be below 4 GiB.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the buffer's length is checked as it grows"
)]
fn offset(at: usize) -> u32 {
    debug_assert!(u32::try_from(at).is_ok(), "{at}");
    at as u32
}

/// A `tchar` (RFC 9110 §5.6.2).
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// A byte that may stand in a field value: HTAB, SP, visible ASCII or obs-text (RFC 9110 §5.5).
const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}
