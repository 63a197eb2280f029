//! Names and values inside of header fields, as they are on the wire.

use http::{HeaderMap, header};

use crate::subject::Subject;

/// A name and a value, as they are on the wire.
pub(super) type Member<'a> = (&'a [u8], &'a [u8]);

/// `name=value` between separators, without the space around.
pub(super) fn members(text: &[u8], separator: u8) -> impl Iterator<Item = Member<'_>> {
    let parts = text.split(move |byte| *byte == separator);
    parts.map(|part| {
        let part = part.trim_ascii();
        match part.iter().position(|byte| *byte == b'=') {
            Some(at) => (part[..at].trim_ascii(), part[at + 1..].trim_ascii()),
            None => (part, &b""[..]),
        }
    })
}

/// The cookies of a request (RFC 6265 §4.2.1).
pub(super) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = Member<'_>> {
    let fields = headers.get_all(header::COOKIE).iter();
    fields.flat_map(|field| members(field.as_bytes(), b';'))
}

/// The members of W3C Baggage, without their properties.
pub(super) fn baggage(headers: &HeaderMap) -> impl Iterator<Item = Member<'_>> {
    let fields = headers.get_all("baggage").iter();
    let all = fields.flat_map(|field| members(field.as_bytes(), b','));
    all.map(|(name, value)| {
        let end = value.iter().position(|byte| *byte == b';');
        (name, value[..end.unwrap_or(value.len())].trim_ascii())
    })
}

/// The host that the request names, in lower case and without its port. Allocates; only matches on hosts ask.
pub(super) fn host_of(subject: &Subject<'_>) -> Option<Vec<u8>> {
    let authority = match subject.uri.authority() {
        Some(authority) => authority.host().as_bytes(),
        None => subject.headers.get(header::HOST)?.as_bytes(),
    };
    let in_brackets = authority.iter().rposition(|byte| *byte == b']');
    let from = in_brackets.unwrap_or(0);
    let port = authority[from..].iter().position(|byte| *byte == b':');
    let host = &authority[..port.map_or(authority.len(), |at| from + at)];
    Some(host.to_ascii_lowercase())
}
