//! A request that came on a stream, as HTTP/1.1.

use h2::ext::Protocol;
use http::{HeaderMap, Method, header, request::Parts, uri::PathAndQuery};

use super::fields;
use crate::http1::Refusal;

/// Writes the head of a request as HTTP/1.1, which is then read as strictly as any other. `has_ended`: no content follows.
///
/// # Errors
/// What makes the request malformed (RFC 9113 §8.2, §8.3), or why it is refused. What `h2` finds itself does not come here.
pub(super) fn to_http1(parts: &Parts, has_ended: bool) -> Result<Vec<u8>, Refusal> {
    let Parts {
        method,
        uri,
        headers,
        extensions,
        ..
    } = parts;
    let protocol = extensions.get::<Protocol>();
    if method == Method::CONNECT && protocol.is_none() {
        return Err(Refusal::CONNECT);
    }
    // A path that is missing shows as `/`, but is not equal to one.
    let is_path =
        |path: &&PathAndQuery| path.as_str() != "/" || **path == PathAndQuery::from_static("/");
    let target = uri.path_and_query().filter(is_path);
    let target = target.ok_or(Refusal::TARGET_FORM)?.as_str();
    let is_of_server = target == "*" && method == Method::OPTIONS;
    if !target.starts_with('/') && !is_of_server {
        return Err(Refusal::TARGET_FORM);
    }
    if headers.keys().any(fields::is_of_connection) {
        return Err(Refusal::CONNECTION_FIELD);
    }
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(method.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(target.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    let mut hosts = headers.get_all(header::HOST).iter();
    match (uri.authority(), hosts.next()) {
        (Some(authority), _) if authority.as_str().contains('@') => {
            return Err(Refusal::HOST_INVALID);
        }
        (Some(authority), _) => {
            fields::write_field("host", authority.as_str().as_bytes(), &mut head);
        }
        (None, Some(host)) => {
            fields::write_field("host", host.as_bytes(), &mut head);
            for other in hosts {
                fields::write_field("host", other.as_bytes(), &mut head);
            }
        }
        (None, None) => fields::write_field("host", b"", &mut head),
    }
    if let Some(protocol) = protocol {
        // What follows is no content (RFC 8441 §5), so it has no length.
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Refusal::CONTENT_LENGTH);
        }
        if !is_protocol(protocol.as_str()) {
            return Err(Refusal::PROTOCOL);
        }
        fields::write_field("connection", b"upgrade", &mut head);
        fields::write_field("upgrade", protocol.as_ref(), &mut head);
    }
    let is_chunked = !has_ended
        && protocol.is_none()
        && (!headers.contains_key(header::CONTENT_LENGTH) || fields::announce_trailers(headers));
    let mut has_cookie = false;
    for (name, value) in headers {
        if name == header::CONTENT_LENGTH && is_chunked {
            continue;
        } else if name == header::COOKIE {
            if !has_cookie {
                has_cookie = true;
                fields::write_field("cookie", &cookie(headers), &mut head);
            }
        } else if name != header::HOST {
            fields::write_field(name.as_str(), value.as_bytes(), &mut head);
        }
    }
    if is_chunked {
        fields::write_field("transfer-encoding", b"chunked", &mut head);
    } else {
        frame(method, headers, has_ended, &mut head)?;
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

/// Whether this is one protocol, with or without a version (RFC 9110 §7.8), and none that begins HTTP/2 anew.
fn is_protocol(text: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_token = |part: &str| !part.is_empty() && part.bytes().all(is_token_byte);
    text.splitn(2, '/').all(is_token) && !text.eq_ignore_ascii_case("h2c")
}

/// The crumbs of a cookie in one piece (RFC 9113 §8.2.3).
fn cookie(headers: &HeaderMap) -> Vec<u8> {
    let crumbs: Vec<&[u8]> = (headers.get_all(header::COOKIE).iter())
        .map(http::HeaderValue::as_bytes)
        .collect();
    crumbs.join(&b"; "[..])
}

/// Says that there is no content, where the fields do not and it is expected.
fn frame(
    method: &Method,
    headers: &HeaderMap,
    has_ended: bool,
    head: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let length = headers.get(header::CONTENT_LENGTH);
    match length {
        // RFC 9113 §8.1.1: it must fit what comes.
        Some(length) if has_ended && length != "0" => Err(Refusal::CONTENT_LENGTH),
        Some(_) => Ok(()),
        // RFC 9110 §8.6: content is expected of these, so say that there is none.
        None if [Method::POST, Method::PUT, Method::PATCH].contains(method) => {
            fields::write_field("content-length", b"0", head);
            Ok(())
        }
        None => Ok(()),
    }
}
