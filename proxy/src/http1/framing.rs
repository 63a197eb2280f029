//! How long a message's content is, and whether its connection outlives it.

use super::{
    head::{FieldKind, Fields, RequestHead, ResponseHead},
    refusal::{BadAnswer, Refusal},
};

/// How the end of a message's content is told (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// There is no content, whatever the fields say.
    Empty,
    /// Content-Length, in bytes.
    Sized(u64),
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// Transfer-Encoding, as far as a hop must know it.
enum Coding {
    Chunked,
    /// Other codings, then `chunked` once.
    AndOthers,
    Unclear,
}

/// How long a request's content is (RFC 9112 §6.3). Any method may have content.
///
/// # Errors
///
/// Returns why two parsers may read its length differently.
pub(crate) fn request_body(head: &RequestHead) -> Result<BodyLength, Refusal> {
    let fields = &head.fields;
    let has_length = fields.has_kind(FieldKind::ContentLength);
    if !fields.has_kind(FieldKind::TransferEncoding) {
        if !has_length {
            return Ok(BodyLength::Empty);
        }
        let length = single_length(fields).ok_or(Refusal::CONTENT_LENGTH)?;
        return Ok(BodyLength::Sized(length));
    }
    if has_length {
        return Err(Refusal::LENGTH_AND_CODING);
    }
    if head.is_http10() {
        return Err(Refusal::TRANSFER_ENCODING);
    }
    match coding(fields) {
        Coding::Chunked => Ok(BodyLength::Chunked),
        Coding::AndOthers => Err(Refusal::TRANSFER_CODING),
        Coding::Unclear => Err(Refusal::TRANSFER_ENCODING),
    }
}

/// How long an answer's content is (RFC 9112 §6.3).
///
/// # Errors
///
/// Returns why two parsers may read its length differently.
pub(crate) fn response_body(
    head: &ResponseHead,
    request_is_head: bool,
) -> Result<BodyLength, BadAnswer> {
    let fields = &head.fields;
    let is_coded = fields.has_kind(FieldKind::TransferEncoding);
    let length = if fields.has_kind(FieldKind::ContentLength) {
        if is_coded {
            return Err(BadAnswer::LENGTH_AND_CODING);
        }
        Some(single_length(fields).ok_or(BadAnswer::CONTENT_LENGTH)?)
    } else {
        None
    };
    if is_coded && (head.is_http10() || !matches!(coding(fields), Coding::Chunked)) {
        return Err(BadAnswer::TRANSFER_ENCODING);
    }
    if request_is_head || matches!(head.status, 100..=199 | 204 | 304) {
        return Ok(BodyLength::Empty);
    }
    Ok(match length {
        Some(length) => BodyLength::Sized(length),
        None if is_coded => BodyLength::Chunked,
        None => BodyLength::UntilClose,
    })
}

/// Whether a client's connection takes another request after this one (RFC 9112 §9.3).
pub(crate) fn request_keeps_alive(head: &RequestHead) -> bool {
    keeps_alive(&head.fields, head.is_http10())
}

/// Whether an upstream's connection takes another request after this answer (RFC 9112 §9.3).
pub(crate) fn response_keeps_alive(head: &ResponseHead, body: BodyLength) -> bool {
    body != BodyLength::UntilClose
        && head.status != 101
        && keeps_alive(&head.fields, head.is_http10())
}

fn keeps_alive(fields: &Fields, is_http10: bool) -> bool {
    if !fields.has_kind(FieldKind::Connection) {
        return !is_http10;
    }
    !fields.lists(FieldKind::Connection, "close")
        && (!is_http10 || fields.lists(FieldKind::Connection, "keep-alive"))
}

fn single_length(fields: &Fields) -> Option<u64> {
    let mut lengths = fields.all_kind(FieldKind::ContentLength);
    match (lengths.next(), lengths.next()) {
        (Some(only), None) => length(only),
        (_, Some(_)) | (None, None) => None,
    }
}

/// A Content-Length: decimal digits and nothing else, below 2^63.
pub(super) fn length(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut length: u64 = 0;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        length = length
            .checked_mul(10)?
            .checked_add(u64::from(byte - b'0'))?;
    }
    (length < 1 << 63).then_some(length)
}

/// The codings of a message that has some. Parameters, and empty members, are found in no honest one.
fn coding(fields: &Fields) -> Coding {
    let mut values = fields.all_kind(FieldKind::TransferEncoding);
    if let (Some(only), None) = (values.next(), values.next())
        && only.eq_ignore_ascii_case(b"chunked")
    {
        return Coding::Chunked;
    }
    let members = fields
        .all_kind(FieldKind::TransferEncoding)
        .flat_map(|value| value.split(|byte| *byte == b','));
    let members: Vec<&[u8]> = members.map(<[u8]>::trim_ascii).collect();
    let Some((last, before)) = members.split_last() else {
        return Coding::Unclear;
    };
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let are_codings = before
        .iter()
        .all(|coding| is_coding(coding) && !is_chunked(coding));
    if is_chunked(last) && !before.is_empty() && are_codings {
        Coding::AndOthers
    } else {
        Coding::Unclear
    }
}

/// The name of a coding, a token, maybe with parameters behind a semicolon (RFC 9112 §7).
fn is_coding(text: &[u8]) -> bool {
    let name = text.split(|byte| *byte == b';').next().unwrap_or_default();
    super::head::is_token(name.trim_ascii_end())
}
