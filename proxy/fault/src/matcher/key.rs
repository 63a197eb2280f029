//! `per`: what a random draw belongs to.

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;
use serde_json::Value;

use super::members::cookie;
use crate::{
    fields::Fields,
    read::{Problem, text, unknown},
    subject::Subject,
};

/// What a random draw belongs to. All but the first are sticky: the same key always gets the same draw.
///
/// A request without the header, cookie or trace gets a draw of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Per {
    /// Each request by itself.
    #[default]
    Request,
    /// A client's connection.
    Connection,
    /// The value of a header field.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// The client's IP address.
    Client,
    /// The trace id of W3C Trace Context.
    Trace,
}

impl Per {
    /// Reads `request`, `connection`, `header:NAME`, `cookie:NAME`, `client` or `trace`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        let word = text(value)?;
        match word {
            "request" => return Ok(Self::Request),
            "connection" => return Ok(Self::Connection),
            "client" => return Ok(Self::Client),
            "trace" => return Ok(Self::Trace),
            _ => {}
        }
        match word.split_once(':') {
            Some(("header", name)) => HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| Problem::here("has no header name behind `header:`")),
            Some(("cookie", name)) if !name.is_empty() => Ok(Self::Cookie(name.to_owned())),
            _ => Err(Problem::here(unknown(
                "key",
                word,
                &[
                    "request",
                    "connection",
                    "header:NAME",
                    "cookie:NAME",
                    "client",
                    "trace",
                ],
            ))),
        }
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Request => "request".to_owned(),
            Self::Connection => "connection".to_owned(),
            Self::Header(name) => format!("header:{name}"),
            Self::Cookie(name) => format!("cookie:{name}"),
            Self::Client => "client".to_owned(),
            Self::Trace => "trace".to_owned(),
        }
    }

    /// Calls `with` with the key's bytes, if the request has one.
    pub(crate) fn key<T>(&self, subject: &Subject<'_>, with: impl FnOnce(&[u8]) -> T) -> Option<T> {
        match self {
            Self::Request => None,
            Self::Connection => Some(with(&subject.connection.to_le_bytes())),
            Self::Header(name) => Some(with(subject.fields.first(name.as_str())?)),
            Self::Cookie(name) => Some(with(cookie(subject.fields, name)?)),
            Self::Client => Some(client_key(subject.peer, with)),
            Self::Trace => Some(with(trace_id(subject.fields)?)),
        }
    }
}

/// Calls `with` with the key of a client: its IP address, without the port.
pub(crate) fn client_key<T>(peer: SocketAddr, with: impl FnOnce(&[u8]) -> T) -> T {
    match peer.ip().to_canonical() {
        IpAddr::V4(address) => with(&address.octets()),
        IpAddr::V6(address) => with(&address.octets()),
    }
}

/// The trace id of a `traceparent` (W3C Trace Context §3.2): 32 hexadecimal digits, not all zero.
fn trace_id<'f>(fields: &'f (dyn Fields + 'f)) -> Option<&'f [u8]> {
    let field = fields.first("traceparent")?;
    let id = field.get(3..35)?;
    let framed = field.get(2) == Some(&b'-') && field.get(35) == Some(&b'-');
    let is_id = id.iter().all(u8::is_ascii_hexdigit) && id.iter().any(|digit| *digit != b'0');
    (framed && is_id).then_some(id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_reads_back_as_it_was_written() {
        for text in [
            "request",
            "connection",
            "header:x-user",
            "cookie:sid",
            "client",
            "trace",
        ] {
            assert_eq!(Per::read(&json!(text)).unwrap().to_text(), text);
        }
        for wrong in ["", "user", "header:", "cookie:", "header:a b"] {
            assert!(Per::read(&json!(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_malformed_traceparent_is_no_key() {
        let id = |field: &str| {
            let request = http::Request::get("/").header("traceparent", field);
            let request = request.body(()).unwrap();
            trace_id(request.headers()).map(<[u8]>::to_vec)
        };

        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(id(good).unwrap(), b"4bf92f3577b34da6a3ce929d0e0e4736");
        for bad in [
            "",
            "00-",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473z-00f067aa0ba902b7-01",
        ] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }
}
