//! The requests: the classics of request smuggling, and what real servers and proxies were found to disagree about.

use super::Seen;

/// Bytes of a client, and how RFC 9112 reads them.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Begins every path of the case, so that its requests are told from those of others.
    pub(super) marker: String,
    pub(super) bytes: Vec<u8>,
    pub(super) is_head: bool,
    /// The requests in the bytes, the pipelined one behind them included; none if the bytes must be refused.
    pub(super) reading: Vec<Seen>,
    /// The first request of the reading may be refused, by the proxy or by the server.
    pub(super) may_be_refused: bool,
}

/// `~` in a case stands for its marker.
fn with_marker(bytes: &[u8], marker: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for byte in bytes {
        if *byte == b'~' {
            all.extend(marker.as_bytes());
        } else {
            all.push(*byte);
        }
    }
    all
}

const BODY: &[u8] = b"0\r\n\r\nGET ~/smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// A case, with another request pipelined behind it. `reading` is method, path and length of the body; an empty one
/// says that the bytes are no request and must be refused.
fn case(name: &'static str, bytes: impl AsRef<[u8]>, reading: &[(&str, &str, usize)]) -> Case {
    let marker = format!("/={name}=");
    let mut whole = with_marker(bytes.as_ref(), &marker);
    whole.extend(with_marker(
        b"GET ~/next HTTP/1.1\r\nHost: h\r\n\r\n",
        &marker,
    ));
    let mut reading: Vec<Seen> = reading
        .iter()
        .map(|(method, path, body)| Seen {
            method: (*method).to_owned(),
            path: path.replace('~', &marker),
            body: *body,
        })
        .collect();
    if !reading.is_empty() {
        reading.push(Seen {
            method: "GET".to_owned(),
            path: format!("{marker}/next"),
            body: 0,
        });
    }
    Case {
        name,
        is_head: whole.starts_with(b"HEAD"),
        marker,
        bytes: whole,
        reading,
        may_be_refused: false,
    }
}

/// A POST with these fields and the body that holds a request.
fn fields(name: &'static str, fields: &[u8]) -> Case {
    let head = [b"POST ~/a HTTP/1.1\r\nHost: h\r\n", fields, b"\r\n\r\n"].concat();
    case(name, [&head, BODY].concat(), &[])
}

/// As [`fields`], with a body of one chunk.
fn chunks(name: &'static str, body: &[u8]) -> Case {
    let head = b"POST ~/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    case(name, [&head[..], body].concat(), &[])
}

/// A GET with these lines of fields behind its host.
fn lines(name: &'static str, lines: &[u8]) -> Case {
    let head = [b"GET ~/a HTTP/1.1\r\nHost: h\r\n", lines, b"\r\n\r\n"].concat();
    case(name, head, &[])
}

pub(super) fn corpus() -> Vec<Case> {
    let mut all = lengths();
    all.extend(codings());
    all.extend(heads());
    all.extend(targets());
    all.extend(bodies());
    all
}

fn lengths() -> Vec<Case> {
    vec![
        fields("cl-te", b"Content-Length: 6\r\nTransfer-Encoding: chunked"),
        fields("te-cl", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        fields(
            "cl-0-te",
            b"Content-Length: 0\r\nTransfer-Encoding: chunked",
        ),
        fields("cl-cl", b"Content-Length: 5\r\nContent-Length: 0"),
        fields("cl-cl-reversed", b"Content-Length: 0\r\nContent-Length: 5"),
        fields("cl-list", b"Content-Length: 5, 0"),
        fields("cl-list-of-equals", b"Content-Length: 5, 5"),
        fields("cl-plus", b"Content-Length: +5"),
        fields("cl-minus", b"Content-Length: -5"),
        fields("cl-hex", b"Content-Length: 0x5"),
        fields("cl-space-inside", b"Content-Length: 5 5"),
        fields("cl-empty", b"Content-Length: "),
        fields("cl-underscore", b"Content-Length: 1_0"),
        fields("cl-overflow-32", b"Content-Length: 4294967301"),
        fields("cl-overflow-64", b"Content-Length: 18446744073709551621"),
        fields("cl-letter-behind", b"Content-Length: 5a"),
        fields("cl-vertical-tab", b"Content-Length: \x0b5"),
        fields("cl-nul-behind", b"Content-Length: 5\0"),
        fields("cl-space-before-colon", b"Content-Length : 5"),
        fields("cl-tab-before-colon", b"Content-Length\t: 5"),
        fields("cl-folded", b"Content-Length:\r\n 5"),
        case(
            "cl-underscore-name",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\nContent_Length: 5\r\nContent-Length: 3\r\n\r\nabc",
            &[("POST", "~/a", 3)],
        ),
        case(
            "get-with-a-length",
            b"GET ~/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
            &[("GET", "~/a", 3)],
        ),
        case(
            "no-length",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\n\r\n",
            &[("POST", "~/a", 0)],
        ),
    ]
}

fn codings() -> Vec<Case> {
    vec![
        fields("te-te-identity", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        fields("te-te-unknown", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
        fields("te-list-identity", b"Transfer-Encoding: identity, chunked"),
        fields("te-chunked-not-last", b"Transfer-Encoding: chunked, identity"),
        fields("te-twice", b"Transfer-Encoding: chunked, chunked"),
        fields("te-x", b"Transfer-Encoding: xchunked\r\nContent-Length: 5"),
        fields("te-vertical-tab", b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 5"),
        fields("te-form-feed", b"Transfer-Encoding: \x0cchunked\r\nContent-Length: 5"),
        fields("te-vertical-tab-behind", b"Transfer-Encoding: chunked\x0b\r\nContent-Length: 5"),
        fields("te-nul-behind", b"Transfer-Encoding: chunked\0\r\nContent-Length: 5"),
        fields("te-quoted", b"Transfer-Encoding: \"chunked\"\r\nContent-Length: 5"),
        fields("te-parameter", b"Transfer-Encoding: chunked;a=b\r\nContent-Length: 5"),
        fields("te-comma", b"Transfer-Encoding: ,chunked\r\nContent-Length: 5"),
        fields("te-empty", b"Transfer-Encoding:\r\nContent-Length: 5"),
        fields("te-space-before-colon", b"Transfer-Encoding : chunked\r\nContent-Length: 5"),
        fields("te-folded", b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5"),
        fields("te-folded-behind", b"Transfer-Encoding: chunked\r\n , identity\r\nContent-Length: 5"),
        fields("te-in-a-folded-line", b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5"),
        fields("te-behind-a-line-feed", b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5"),
        fields("te-behind-a-carriage-return", b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 5"),
        fields("te-space-before-the-name", b" Transfer-Encoding: chunked\r\nContent-Length: 5"),
        fields("te-letter-beyond-ascii", b"Transfer-Encoding: chunk\xe9d\r\nContent-Length: 5"),
        case(
            "te-underscore-name",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            &[("POST", "~/a", 5)],
        ),
        case(
            "te-upper-case",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            &[("POST", "~/a", 3)],
        ),
        case(
            "te-old-version",
            b"POST ~/a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            &[],
        ),
        case(
            "te-named-by-connection",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            &[("POST", "~/a", 3)],
        ),
        case(
            "cl-named-by-connection",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\nConnection: Content-Length\r\nContent-Length: 3\r\n\r\nabc",
            &[("POST", "~/a", 3)],
        ),
        case(
            "chunked-get",
            b"GET ~/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            &[("GET", "~/a", 3)],
        ),
    ]
}

fn heads() -> Vec<Case> {
    vec![
        lines("obs-fold", b"X: y\r\n z"),
        lines("bare-line-feed", b"X: y\nZ: 1"),
        lines("space-before-colon", b"X : y"),
        lines("nul-in-a-value", b"X: y\0z"),
        lines("nul-in-a-name", b"X\0: y"),
        lines("no-colon", b"garbage"),
        lines("empty-name", b": y"),
        lines("two-hosts", b"Host: other"),
        lines("host-with-a-space-before-colon", b"Host : other"),
        lines("line-feed-and-a-request", b"X: y\n\nGET ~/smuggled HTTP/1.1\r\nHost: h"),
        lines("carriage-return-and-a-request", b"X: y\r\rGET ~/smuggled HTTP/1.1\r\nHost: h"),
        case("line-feeds-alone", b"GET ~/a HTTP/1.1\nHost: h\n\n", &[]),
        case("head-ends-in-a-line-feed", b"GET ~/a HTTP/1.1\r\nHost: h\r\n\n", &[]),
        case("no-host", b"GET ~/a HTTP/1.1\r\nX: y\r\n\r\n", &[]),
        case("first-field-is-folded", b"GET ~/a HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n", &[]),
        case(
            "underscore-fields",
            b"GET ~/a HTTP/1.1\r\nHost: h\r\nX_Y: 1\r\nX-Y: 2\r\n\r\n",
            &[("GET", "~/a", 0)],
        ),
        case(
            "letters-beyond-ascii",
            b"GET ~/a HTTP/1.1\r\nHost: h\r\nX: \xe9\xff\r\n\r\n",
            &[("GET", "~/a", 0)],
        ),
        case(
            "empty-lines-before",
            b"\r\n\r\nGET ~/a HTTP/1.1\r\nHost: h\r\n\r\n",
            &[("GET", "~/a", 0)],
        ),
        case(
            "expect-nobody-asked",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
            &[("POST", "~/a", 3)],
        ),
        case(
            "upgrade-to-h2c",
            b"GET ~/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
            &[("GET", "~/a", 0)],
        ),
    ]
}

fn targets() -> Vec<Case> {
    let line = |name, line: &[u8]| case(name, [line, b"\r\nHost: h\r\n\r\n"].concat(), &[]);
    vec![
        case(
            "absolute-form",
            b"GET http://other~/a HTTP/1.1\r\nHost: h\r\n\r\n",
            &[("GET", "~/a", 0)],
        ),
        case(
            "absolute-form-in-upper-case",
            b"GET HTTP://other~/a HTTP/1.1\r\nHost: h\r\n\r\n",
            &[("GET", "~/a", 0)],
        ),
        Case {
            may_be_refused: true, // RFC 9110 §4.2.4
            ..case(
                "absolute-form-with-a-user",
                b"GET http://me:pw@other~/a HTTP/1.1\r\nHost: h\r\n\r\n",
                &[("GET", "~/a", 0)],
            )
        },
        line("fragment", b"GET ~/a#/b HTTP/1.1"),
        line("space-in-the-target", b"GET ~/a b HTTP/1.1"),
        line("two-versions", b"GET ~/a HTTP/1.1 HTTP/1.1"),
        line("line-feed-in-the-target", b"GET ~/a\nX: HTTP/1.1"),
        line("tab-for-a-space", b"GET\t~/a\tHTTP/1.1"),
        line("nul-in-the-target", b"GET ~/a\0b HTTP/1.1"),
        line("version-1.2", b"GET ~/a HTTP/1.2"),
        line("version-2.0", b"GET ~/a HTTP/2.0"),
        line("version-with-a-letter", b"GET ~/a HTTP/1.1a"),
        line("no-version", b"GET ~/a"),
        line("no-method", b"~/a HTTP/1.1"),
        line("connect", b"CONNECT h:80~/a HTTP/1.1"),
        case(
            "dots-and-slashes",
            b"GET ~//a/..//%2e%2e/b HTTP/1.1\r\nHost: h\r\n\r\n",
            &[("GET", "~//a/..//%2e%2e/b", 0)],
        ),
    ]
}

fn bodies() -> Vec<Case> {
    let smuggled = |body: &[u8]| [body, b"GET ~/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    vec![
        chunks("chunk-size-with-a-space", b"3 \r\nabc\r\n0\r\n\r\n"),
        chunks("chunk-size-with-a-plus", b"+3\r\nabc\r\n0\r\n\r\n"),
        chunks("chunk-size-with-a-prefix", b"0x3\r\nabc\r\n0\r\n\r\n"),
        chunks("chunk-size-with-an-underscore", b"0_3\r\nabc\r\n0\r\n\r\n"),
        chunks("chunk-size-minus-zero", &smuggled(b"-0\r\n\r\n")),
        chunks("chunk-size-overflow-32", b"100000003\r\nabc\r\n0\r\n\r\n"),
        chunks("chunk-size-overflow-64", b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
        chunks("chunk-size-ends-in-a-line-feed", b"3\nabc\r\n0\r\n\r\n"),
        chunks("chunk-size-ends-in-a-carriage-return", b"3\rabc\r\n0\r\n\r\n"),
        chunks("chunk-ends-in-a-line-feed", b"3\r\nabc\n0\r\n\r\n"),
        chunks("chunk-ends-in-two-other-bytes", b"3\r\nabcXX0\r\n\r\n"),
        chunks("chunk-ends-in-nothing", b"3\r\nabc0\r\n\r\n"),
        chunks("extension-with-a-line-feed", &smuggled(b"2;\nxx\r\n4c\r\n0\r\n\r\n")),
        chunks("extension-with-a-carriage-return", b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
        chunks("extension-with-a-nul", b"3;\0\r\nabc\r\n0\r\n\r\n"),
        chunks("last-chunk-with-a-line-feed", &smuggled(b"3\r\nabc\r\n0\n\n")),
        chunks("trailer-with-a-space-before-colon", b"3\r\nabc\r\n0\r\nX : y\r\n\r\n"),
        chunks("trailer-without-a-colon", &smuggled(b"3\r\nabc\r\n0\r\nGET ~/smuggled HTTP/1.1\r\n\r\n")),
        chunks("trailer-that-is-folded", b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n"),
        case(
            "extensions",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b;c\"\r\nabc\r\n0;d\r\n\r\n",
            &[("POST", "~/a", 3)],
        ),
        Case {
            may_be_refused: true, // Node does; a length in trailers means nothing (RFC 9110 §6.5.1).
            ..case(
            "trailers-that-say-a-length",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 50\r\nHost: other\r\n\r\n",
            &[("POST", "~/a", 3)],
        )},
        case(
            "sizes-with-zeros",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n000\r\n\r\n",
            &[("POST", "~/a", 3)],
        ),
        case(
            "a-request-in-the-body",
            b"POST ~/a HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nGET / H\r",
            &[("POST", "~/a", 8)],
        ),
    ]
}
