//! Field lines as text, and as `h2` has them.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::http1::Fields;

/// What concerns one HTTP/1.1 connection has no place on a stream (RFC 9113 §8.2.2). TE has, when it says `trailers`.
const OF_CONNECTION: [&str; 6] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

pub(super) fn is_of_connection(name: &HeaderName) -> bool {
    OF_CONNECTION.contains(&name.as_str())
}

/// Whether a message has a length and says that trailers follow its content (RFC 9110 §6.6.2). HTTP/1.1 has trailers behind chunks
/// alone (RFC 9112 §7.1.2), so the length has to go; `h2` compares it with what comes. Several lengths stay, to be refused.
pub(super) fn announce_trailers(fields: &HeaderMap) -> bool {
    has_one_length(fields) && fields.contains_key(header::TRAILER)
}

/// As [`announce_trailers`], of an answer: one of gRPC has its status behind its content.
pub(super) fn announce_trailers_of_answer(fields: &HeaderMap) -> bool {
    let is_of_grpc = || {
        let content_type = fields.get(header::CONTENT_TYPE);
        content_type.is_some_and(|it| it.as_bytes().starts_with(b"application/grpc"))
    };
    announce_trailers(fields) || (has_one_length(fields) && is_of_grpc())
}

fn has_one_length(fields: &HeaderMap) -> bool {
    fields.get_all(header::CONTENT_LENGTH).iter().count() == 1
}

/// The fields of a message that goes out on a stream: names in lower case, nothing of the connection. Fields of one name
/// stand together, as `h2` keeps them; otherwise their order stays.
pub(super) fn to_stream(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields.iter() {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        else {
            debug_assert!(false, "the engine writes no other fields");
            continue;
        };
        if is_of_connection(&name) || (name == header::TE && value != "trailers") {
            continue;
        }
        // More than `h2` can keep are more than a head may have.
        drop(map.try_append(name, value));
    }
    map
}

/// Writes field lines.
pub(super) fn write(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        write_field(name.as_str(), value.as_bytes(), out);
    }
}

pub(super) fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
