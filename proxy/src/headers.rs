//! What a hop changes about a message's head, and nothing else.

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header,
};

use crate::upstream::Upstream;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Why a message cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsupported {
    /// A transfer coding besides `chunked`.
    TransferCoding,
}

/// Makes a client's request into one of this hop: HTTP/1.1, origin form, without the fields that belong to
/// the client's connection. `Host` is kept as sent, and filled in where it is missing.
pub(crate) fn to_upstream<B>(
    request: &mut Request<B>,
    upstream: &Upstream,
) -> Result<(), Unsupported> {
    let upgrades = wants_upgrade(request.headers());
    let accepts_trailers = lists(request.headers(), &header::TE, "trailers");
    strip_hop_by_hop(request.headers_mut(), upgrades)?;
    if accepts_trailers {
        let trailers = HeaderValue::from_static("trailers");
        request.headers_mut().insert(header::TE, trailers);
    }
    *request.version_mut() = Version::HTTP_11;
    to_origin_form(request);
    if !request.headers().contains_key(header::HOST) {
        let host = upstream.host_field().clone();
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(())
}

/// Whether a request names more than one host: two servers could read it differently (RFC 9112 §3.2).
pub(crate) fn has_many_hosts(headers: &HeaderMap) -> bool {
    headers.get_all(header::HOST).iter().nth(1).is_some()
}

/// The host that a request names, with its port as sent, as the upstream gets it.
pub(crate) fn host<B>(request: &Request<B>) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(without_user(authority.as_str())),
        None => request.headers().get(header::HOST)?.to_str().ok(),
    }
}

/// User information is never part of Host (RFC 9110 §7.2).
fn without_user(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// Makes an upstream's answer into one of this hop.
pub(crate) fn to_client<B>(response: &mut Response<B>) -> Result<(), Unsupported> {
    let upgrades = matches!(
        response.status(),
        StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED
    );
    strip_hop_by_hop(response.headers_mut(), upgrades)?;
    *response.version_mut() = Version::HTTP_11;
    Ok(())
}

/// Whether a request asks to change the protocol of its connection (RFC 9110 §7.8).
pub(crate) fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE) && lists(headers, &header::CONNECTION, "upgrade")
}

/// Whether a request waits for a 100 before it sends its content (RFC 9110 §10.1.1).
pub(crate) fn expects_continue(headers: &HeaderMap) -> bool {
    lists(headers, &header::EXPECT, "100-continue")
}

/// Takes away the fields of one connection: those RFC 9110 §7.6.1 lists, and those `Connection` names.
fn strip_hop_by_hop(headers: &mut HeaderMap, upgrades: bool) -> Result<(), Unsupported> {
    // Most messages have none of them: one look at each name is cheaper than asking for each field.
    if !headers.keys().any(is_hop_by_hop) {
        return Ok(());
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // The body was read as chunked; any other coding is still in it and would go unsaid.
        let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let chunked = codings.next().is_some_and(is_chunked) && codings.next().is_none();
        if !chunked {
            return Err(Unsupported::TransferCoding);
        }
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in named_by_connection(headers) {
        // What frames or addresses the message is not the connection's, whatever it claims.
        if name != header::CONTENT_LENGTH && name != header::HOST && name != header::UPGRADE {
            headers.remove(name);
        }
    }
    for name in [header::CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, header::TE] {
        headers.remove(name);
    }
    if upgrades && headers.contains_key(header::UPGRADE) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(header::UPGRADE);
    }
    Ok(())
}

fn is_chunked(codings: &HeaderValue) -> bool {
    codings.as_bytes().eq_ignore_ascii_case(b"chunked")
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::TE
        || *name == header::UPGRADE
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter();
    let words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words
        .map(<[u8]>::trim_ascii)
        .filter(|word| !is_option(word))
        .filter_map(|word| HeaderName::from_bytes(word).ok())
        .collect()
}

/// The usual options, which name no field that is not removed anyway.
fn is_option(word: &[u8]) -> bool {
    let known = [&b"keep-alive"[..], b"close", b"upgrade", b"te"];
    known.iter().any(|option| word.eq_ignore_ascii_case(option))
}

/// Whether a comma-separated field lists `token`, without regard to case.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    values.any(|value| {
        let mut words = value.as_bytes().split(|byte| *byte == b',');
        words.any(|word| word.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// `GET http://host/path` becomes `GET /path` with `Host: host` (RFC 9112 §3.2.2).
fn to_origin_form<B>(request: &mut Request<B>) {
    let Some(authority) = request.uri().authority() else {
        return;
    };
    if let Ok(host) = HeaderValue::from_str(without_user(authority.as_str())) {
        request.headers_mut().insert(header::HOST, host);
    }
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.map_or_else(|| Uri::from_static("/"), Uri::from);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream() -> Upstream {
        Upstream::parse("http://127.0.0.1:9000").unwrap()
    }

    fn forwarded(request: http::request::Builder) -> Request<()> {
        let mut request = request.body(()).unwrap();
        to_upstream(&mut request, &upstream()).unwrap();
        request
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn fields_of_the_connection_stay_behind() {
        let request = forwarded(
            Request::get("/")
                .header("host", "shop.example")
                .header("connection", "keep-alive, X-Mine")
                .header("keep-alive", "timeout=5")
                .header("proxy-connection", "keep-alive")
                .header("transfer-encoding", "Chunked")
                .header("upgrade", "h2c")
                .header("x-mine", "1")
                .header("x-theirs", "2"),
        );

        assert_eq!(names(request.headers()), ["host", "x-theirs"]);
    }

    #[test]
    fn connection_cannot_take_away_what_frames_or_addresses_the_message() {
        let request = forwarded(
            Request::post("/")
                .header("host", "shop.example")
                .header("content-length", "3")
                .header("connection", "content-length, host"),
        );

        assert_eq!(names(request.headers()), ["host", "content-length"]);
    }

    #[test]
    fn te_is_kept_for_trailers_alone() {
        let with = forwarded(Request::get("/").header("te", "gzip;q=0.5, trailers"));
        let without = forwarded(Request::get("/").header("te", "gzip"));

        assert_eq!(with.headers()["te"], "trailers");
        assert!(!without.headers().contains_key("te"));
    }

    #[test]
    fn an_upgrade_is_passed_on_when_the_connection_asks_for_it() {
        let request = forwarded(
            Request::get("/chat")
                .header("connection", "Upgrade")
                .header("upgrade", "websocket"),
        );

        assert_eq!(request.headers()["connection"], "upgrade");
        assert_eq!(request.headers()["upgrade"], "websocket");
    }

    #[test]
    fn host_is_kept_as_sent_and_filled_in_where_missing() {
        let sent = forwarded(Request::get("/").header("host", "Shop.Example:80"));
        let missing = forwarded(Request::get("/").version(Version::HTTP_10));

        assert_eq!(sent.headers()["host"], "Shop.Example:80");
        assert_eq!(missing.headers()["host"], "127.0.0.1:9000");
        assert_eq!(missing.version(), Version::HTTP_11);
    }

    #[test]
    fn absolute_form_becomes_origin_form() {
        let request = forwarded(
            Request::get("http://user:pw@shop.example:81/a%20b?c=d").header("host", "other"),
        );

        assert_eq!(request.uri(), "/a%20b?c=d");
        assert_eq!(request.headers()["host"], "shop.example:81");
    }

    #[test]
    fn a_transfer_coding_besides_chunked_is_not_passed_on_unsaid() {
        let mut request = Request::post("/")
            .header("transfer-encoding", "gzip, chunked")
            .body(())
            .unwrap();

        let refused = to_upstream(&mut request, &upstream());

        assert_eq!(refused, Err(Unsupported::TransferCoding));
    }

    #[test]
    fn an_answer_keeps_upgrade_where_it_means_something() {
        let strip = |status: u16| {
            let mut response = Response::builder()
                .status(status)
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .body(())
                .unwrap();
            to_client(&mut response).unwrap();
            response.headers().len()
        };

        assert_eq!(strip(101), 2);
        assert_eq!(strip(426), 2);
        assert_eq!(strip(200), 0);
    }
}
