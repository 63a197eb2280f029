//! What is wrong about a head that is none. Only refused messages come here.

use super::{is_token, is_value_byte};
use crate::http1::refusal::HeadFlaw;

/// Method, target and minor version of a request's first line.
pub(super) fn request_line(head: &[u8]) -> Result<(&[u8], &[u8], u8), HeadFlaw> {
    let line = first_line(head)?;
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadFlaw::FirstLine);
    };
    let is_target = !target.is_empty()
        && str::from_utf8(target).is_ok()
        && target.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    if !is_token(method) || !is_target {
        return Err(HeadFlaw::FirstLine);
    }
    match version {
        b"HTTP/1.0" => Ok((method, target, 0)),
        b"HTTP/1.1" => Ok((method, target, 1)),
        b"HTTP/2.0" if method == b"PRI" && target == b"*" => Err(HeadFlaw::Http2),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(HeadFlaw::Version)
        }
        _ => Err(HeadFlaw::FirstLine),
    }
}

/// The first flaw of the field lines behind the first line, if there is one.
pub(super) fn field_lines(head: &[u8], fields_max: usize) -> Option<HeadFlaw> {
    let lines = head.split_inclusive(|byte| *byte == b'\n').skip(1);
    fields(lines, fields_max, false)
}

/// As [`field_lines`], for an answer: what is mended is no flaw.
pub(super) fn mendable_field_lines(head: &[u8], fields_max: usize) -> Option<HeadFlaw> {
    let lines = head.split_inclusive(|byte| *byte == b'\n').skip(1);
    fields(lines, fields_max, true)
}

/// The first flaw of a trailer section, if there is one.
pub(super) fn trailers(section: &[u8], fields_max: usize) -> Option<HeadFlaw> {
    fields(
        section.split_inclusive(|byte| *byte == b'\n'),
        fields_max,
        false,
    )
}

fn fields<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    fields_max: usize,
    is_mended: bool,
) -> Option<HeadFlaw> {
    for (index, line) in lines.enumerate() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = match line.strip_suffix(b"\r") {
            Some(line) => line,
            None if is_mended => line,
            None => return Some(HeadFlaw::BareLf),
        };
        if line.is_empty() {
            return None;
        }
        if index == fields_max {
            return Some(HeadFlaw::TooManyFields);
        }
        if let Some(flaw) = field(line, is_mended) {
            return Some(flaw);
        }
    }
    None
}

fn field(line: &[u8], is_mended: bool) -> Option<HeadFlaw> {
    if line.contains(&b'\r') {
        return Some(HeadFlaw::BareCr);
    }
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Some(HeadFlaw::ObsFold);
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return Some(HeadFlaw::FieldName);
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let trimmed = name.trim_ascii_end();
    if trimmed.len() < name.len() && is_token(trimmed) && !is_mended {
        return Some(HeadFlaw::SpaceBeforeColon);
    }
    if !is_token(if is_mended { trimmed } else { name }) {
        return Some(HeadFlaw::FieldName);
    }
    if !value.iter().all(|byte| is_value_byte(*byte)) {
        return Some(HeadFlaw::ControlByte);
    }
    None
}

/// The first line without its CRLF.
fn first_line(head: &[u8]) -> Result<&[u8], HeadFlaw> {
    let end = memchr::memchr(b'\n', head).ok_or(HeadFlaw::FirstLine)?;
    let line = head[..end].strip_suffix(b"\r").ok_or(HeadFlaw::BareLf)?;
    if line.contains(&b'\r') {
        return Err(HeadFlaw::BareCr);
    }
    Ok(line)
}
