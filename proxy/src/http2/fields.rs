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
