//! Names and values inside of header fields, as they are on the wire.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use crate::{fields::Fields, subject::Subject};

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

/// Whether some cookie of a request (RFC 6265 §4.2.1) passes `test`.
pub(super) fn any_cookie(fields: &dyn Fields, mut test: impl FnMut(Member<'_>) -> bool) -> bool {
    fields.any("cookie", |field| members(field, b';').any(&mut test))
}

/// The value of the first cookie of this name.
pub(super) fn cookie<'f>(fields: &'f (dyn Fields + 'f), name: &str) -> Option<&'f [u8]> {
    let mut found = None;
    fields.walk_named("cookie", &mut |field| {
        let mut cookies = members(field, b';');
        found = cookies.find(|(key, _)| *key == name.as_bytes());
        match found {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    });
    found.map(|(_, value)| value)
}

/// Whether some member of W3C Baggage, without its properties, passes `test`.
pub(super) fn any_baggage(fields: &dyn Fields, mut test: impl FnMut(Member<'_>) -> bool) -> bool {
    fields.any("baggage", |field| {
        members(field, b',').any(|(name, value)| {
            let end = value.iter().position(|byte| *byte == b';');
            test((name, value[..end.unwrap_or(value.len())].trim_ascii()))
        })
    })
}

/// The host that the request names, in lower case and without its port. Allocates only if it is longer than 64 bytes.
pub(super) fn host_of(subject: &Subject<'_>) -> Option<SmallVec<[u8; 64]>> {
    let authority = subject.host?.as_bytes();
    let in_brackets = authority.iter().rposition(|byte| *byte == b']');
    let from = in_brackets.unwrap_or(0);
    let port = authority[from..].iter().position(|byte| *byte == b':');
    let host = &authority[..port.map_or(authority.len(), |at| from + at)];
    Some(host.iter().map(u8::to_ascii_lowercase).collect())
}
