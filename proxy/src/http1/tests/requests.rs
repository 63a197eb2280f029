//! Requests: every row of what is refused, and what is not.

use super::{framed, request};
use crate::http1::{
    BodyLength, HeadLimits, HeadSearch, Refusal, RequestHead, request_keeps_alive, write_request,
};

fn refused(input: &[u8]) -> Refusal {
    let Err(refusal) = framed(input) else {
        panic!("{} is accepted", input.escape_ascii());
    };
    refusal
}

/// Refused for the same reason however it comes: whole, or by single bytes.
fn expect_refused(cases: &[(&[u8], Refusal)]) {
    for (input, expected) in cases {
        assert_eq!(refused(input), *expected, "{}", input.escape_ascii());

        let (mut head, mut search) = (RequestHead::default(), HeadSearch::default());
        let by_bytes = (0..=input.len()).find_map(|end| {
            let limits = HeadLimits::default();
            head.parse(&input[..end], &mut search, &limits).transpose()
        });
        let by_bytes = by_bytes.expect("it is complete").err();
        let is_of_head = request(input).is_err();
        assert_eq!(
            by_bytes,
            is_of_head.then_some(*expected),
            "{}",
            input.escape_ascii()
        );
    }
}

fn with_fields(fields: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes()
}

#[test]
fn a_head_is_read_as_it_came() {
    let input =
        b"GET /a?b=c HTTP/1.1\r\nHoSt: Shop.Example:80\r\nX-Empty:\r\nx-ObS: \xe9\t \r\n\r\nrest";

    let (head, used) = request(input).unwrap();

    assert_eq!(used, input.len() - b"rest".len());
    assert_eq!(
        (head.method(), head.target(), head.minor),
        ("GET", "/a?b=c", 1)
    );
    assert_eq!((head.path(), head.query()), ("/a", Some("b=c")));
    assert_eq!(head.host(), Some("Shop.Example:80"));
    let fields: Vec<(&[u8], &[u8])> = head.fields.iter().collect();
    let expected: [(&[u8], &[u8]); 3] = [
        (b"HoSt", b"Shop.Example:80"),
        (b"X-Empty", b""),
        (b"x-ObS", b"\xe9"),
    ];
    assert_eq!(fields, expected);
    let mut written = Vec::new();
    write_request(&head, &mut written);
    assert_eq!(written, input[..used]);
}

#[test]
fn a_first_line_has_three_parts_and_single_spaces() {
    expect_refused(&[
        (b"GET /\r\nHost: h\r\n\r\n", Refusal::FIRST_LINE),
        (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::FIRST_LINE),
        (b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", Refusal::FIRST_LINE),
        (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::FIRST_LINE),
        (b"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::FIRST_LINE),
        (b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::FIRST_LINE),
        (b"G[T / HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::FIRST_LINE),
        (
            b"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
            Refusal::FIRST_LINE,
        ),
        (
            b"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n",
            Refusal::FIRST_LINE,
        ),
        (
            b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n",
            Refusal::FIRST_LINE,
        ),
        (b"GET / http/1.1\r\nHost: h\r\n\r\n", Refusal::FIRST_LINE),
        (b"GET / HTTP/11\r\nHost: h\r\n\r\n", Refusal::FIRST_LINE),
        (b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", Refusal::FIRST_LINE),
        (b"\x80\r\n\r\n", Refusal::FIRST_LINE),
        (b"{\"json\": 1}\n", Refusal::FIRST_LINE),
    ]);
}

#[test]
fn only_versions_1_0_and_1_1_are_spoken() {
    expect_refused(&[
        (b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", Refusal::VERSION),
        (b"GET / HTTP/1.9\r\n\r\n", Refusal::VERSION),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", Refusal::VERSION),
        (b"GET / HTTP/0.9\r\n\r\n", Refusal::VERSION),
        (b"GET / HTTP/3.1\r\n\r\n", Refusal::VERSION),
    ]);
    assert_eq!(Refusal::VERSION.status, 505);
}

#[test]
fn lines_end_with_cr_and_lf() {
    expect_refused(&[
        (b"GET / HTTP/1.1\nHost: h\r\n\r\n", Refusal::BARE_LF),
        (b"GET / HTTP/1.1\r\nHost: h\n\r\n", Refusal::BARE_LF),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\n", Refusal::BARE_LF),
        (b"GET / HTTP/1.1\n\n", Refusal::BARE_LF),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n\r\n",
            Refusal::BARE_LF,
        ),
        (b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::BARE_LF),
        (b"GET / HTTP/1.1\rHost: h\r\n\r\n", Refusal::BARE_CR),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n",
            Refusal::BARE_CR,
        ),
        (b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", Refusal::BARE_CR),
        (b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", Refusal::BARE_CR),
    ]);
}

#[test]
fn field_lines_are_a_token_a_colon_and_a_value() {
    for (fields, expected) in [
        ("A : b\r\n", Refusal::SPACE_BEFORE_COLON),
        ("A\t: b\r\n", Refusal::SPACE_BEFORE_COLON),
        ("A: b\r\n c\r\n", Refusal::OBS_FOLD),
        ("A: b\r\n\tc\r\n", Refusal::OBS_FOLD),
        (": b\r\n", Refusal::FIELD_NAME),
        ("A\r\n", Refusal::FIELD_NAME),
        ("A b: c\r\n", Refusal::FIELD_NAME),
        ("A\x00: b\r\n", Refusal::FIELD_NAME),
        ("\u{e9}: b\r\n", Refusal::FIELD_NAME),
        ("A: \x00\r\n", Refusal::CONTROL_BYTE),
        ("A: b\x0bc\r\n", Refusal::CONTROL_BYTE),
        ("A: \x7f\r\n", Refusal::CONTROL_BYTE),
        ("A: \x1b[31m\r\n", Refusal::CONTROL_BYTE),
    ] {
        expect_refused(&[(&with_fields(fields), expected)]);
    }
    let folded = b"GET / HTTP/1.1\r\n Host: h\r\n\r\n";
    expect_refused(&[(folded, Refusal::OBS_FOLD)]);
    framed(&with_fields("A: \t b\tc \u{e9} \r\n")).unwrap();
}

#[test]
fn up_to_8_empty_lines_before_a_request_are_skipped() {
    let with = |lines: usize| [&b"\r\n".repeat(lines)[..], b"GET / HTTP/1.0\r\n\r\n"].concat();

    let (head, used) = request(&with(8)).unwrap();

    assert_eq!((head.method(), used), ("GET", with(8).len()));
    let mut search = HeadSearch::default();
    let empty = RequestHead::default().parse(b"\r\n\r\n\r", &mut search, &HeadLimits::default());
    assert_eq!(empty, Ok(None));
    expect_refused(&[(&with(9), Refusal::EMPTY_LINES)]);
}

#[test]
fn a_request_names_one_valid_host() {
    let with = |host: &str| format!("GET / HTTP/1.1\r\n{host}\r\n").into_bytes();

    assert_eq!(refused(&with("")), Refusal::HOST_MISSING);
    for repeated in ["Host: h\r\nHost: h\r\n", "Host: h\r\nA: b\r\nhOST: i\r\n"] {
        assert_eq!(refused(&with(repeated)), Refusal::HOST_REPEATED);
    }
    let twice_in_1_0 = b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n";
    assert_eq!(refused(twice_in_1_0), Refusal::HOST_REPEATED);
    for invalid in [
        "a b", "a/b", "a@b", "a, b", "h:x", "h:80:80", "http://h", "[::1", "::1", "[::1]x", "[zz]",
        "h?", "h#", "%zz", "%4", "\u{e9}", "a\\b", "[v.x]", "[v1.]", "\"h\"",
    ] {
        let input = with(&format!("Host: {invalid}\r\n"));
        assert_eq!(refused(&input), Refusal::HOST_INVALID, "{invalid}");
    }
    for valid in [
        "",
        "h",
        "h:",
        "h:80",
        "Shop.Example:8080",
        "a_b",
        "10.0.0.1:1",
        "[::1]",
        "[fe80::1]:80",
        "[::ffff:10.0.0.1]",
        "%41",
        "xn--e1a",
        "[v1.a:b]",
        "a,b",
    ] {
        let (head, _) = request(&with(&format!("Host: {valid}\r\n"))).unwrap();
        assert_eq!(head.host(), Some(valid));
    }
    request(b"GET / HTTP/1.0\r\n\r\n").unwrap();
}

#[test]
fn a_target_has_the_form_that_its_method_asks_for() {
    let with = |line: &str| format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
    for (line, expected) in [
        ("GET foo:80", Refusal::TARGET_FORM),
        ("GET foo", Refusal::TARGET_FORM),
        ("GET *", Refusal::TARGET_FORM),
        ("OPTIONS **", Refusal::TARGET_FORM),
        ("connect foo:80", Refusal::TARGET_FORM),
        ("GET http:/foo", Refusal::TARGET_FORM),
        ("GET http://", Refusal::TARGET_FORM),
        ("GET http:///a", Refusal::TARGET_FORM),
        ("GET http://:80/a", Refusal::TARGET_FORM),
        ("GET http://a\\b/", Refusal::TARGET_FORM),
        ("GET http://u@/", Refusal::TARGET_FORM),
        ("GET http://a@b@c/", Refusal::TARGET_FORM),
        ("GET ftp://h/", Refusal::TARGET_FORM),
        ("GET ?a", Refusal::TARGET_FORM),
        ("GET /a#b", Refusal::FRAGMENT),
        ("GET http://h/#", Refusal::FRAGMENT),
        ("CONNECT h:443", Refusal::CONNECT),
        ("CONNECT /", Refusal::CONNECT),
    ] {
        expect_refused(&[(&with(line), expected)]);
    }
    for (line, path, query, host) in [
        ("GET /", "/", None, "h"),
        ("GET //a", "//a", None, "h"),
        ("GET /?", "/", Some(""), "h"),
        ("GET /a?b?c", "/a", Some("b?c"), "h"),
        ("GET /http://x", "/http://x", None, "h"),
        ("OPTIONS *", "*", None, "h"),
        ("OPTIONS http://x", "/", None, "x"),
        ("GET HTTP://u:p@X:81/a?b", "/a", Some("b"), "X:81"),
        ("GET https://x?b", "/", Some("b"), "x"),
        ("X-YZ! /\u{e9}\"<>{|}", "/\u{e9}\"<>{|}", None, "h"),
    ] {
        let (head, _) = request(&with(line)).unwrap();
        assert_eq!(
            (head.path(), head.query(), head.host()),
            (path, query, Some(host)),
            "{line}"
        );
    }
    assert_eq!(Refusal::CONNECT.status, 405);
}

#[test]
fn tls_and_http2_are_told_from_nonsense() {
    expect_refused(&[
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            Refusal::TLS,
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refusal::HTTP2),
        (b"\x16GET", Refusal::FIRST_LINE),
        (b"PRI / HTTP/2.0\r\n\r\n", Refusal::VERSION),
    ]);
}

#[test]
fn a_head_has_limits() {
    let limits = HeadLimits {
        bytes: 200,
        fields: 4,
        target: 50,
    };
    let parse = |input: &str| {
        let mut head = RequestHead::default();
        head.parse(input.as_bytes(), &mut HeadSearch::default(), &limits)
    };
    let field = |len: usize| format!("GET / HTTP/1.0\r\nA: {}\r\n\r\n", "b".repeat(len - 23));
    let target = |len: usize| format!("GET /{} HTTP/1.0\r\n\r\n", "b".repeat(len - 1));
    let fields = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count));

    assert_eq!(parse(&field(200)), Ok(Some(200)));
    assert_eq!(parse(&field(201)), Err(Refusal::HEAD_BYTES));
    assert_eq!(parse(&field(400)[..199]), Ok(None));
    assert_eq!(parse(&field(400)[..200]), Err(Refusal::HEAD_BYTES));
    assert!(matches!(parse(&target(50)), Ok(Some(_))));
    assert_eq!(parse(&target(51)), Err(Refusal::TARGET_BYTES));
    assert_eq!(parse(&target(500)), Err(Refusal::TARGET_BYTES));
    assert_eq!(parse(&target(500)[..300]), Err(Refusal::TARGET_BYTES));
    assert!(matches!(parse(&fields(4)), Ok(Some(_))));
    assert_eq!(parse(&fields(5)), Err(Refusal::HEAD_FIELDS));
    assert_eq!(
        (Refusal::HEAD_BYTES.status, Refusal::TARGET_BYTES.status),
        (431, 414)
    );

    let many = format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(1024));
    assert_eq!(request(many.as_bytes()).unwrap().0.fields.len(), 1024);
    let more = format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(1025));
    assert_eq!(refused(more.as_bytes()), Refusal::HEAD_FIELDS);
}

/// A reason that depended on how the network cut the bytes would make a log tell two stories of one request.
#[test]
fn a_long_target_is_told_before_any_other_flaw_however_it_arrives() {
    let limits = HeadLimits {
        target: 50,
        ..HeadLimits::default()
    };
    let long = "b".repeat(50);
    for head in [
        format!("GET /{long}\x15 HTTP/1.1\r\nHost: a\r\n\r\n"), // A control byte.
        format!("GET /{long}\r\n\r\n"),                         // No version.
        format!("GET /{long} HTTP/3.0\r\n\r\n"),                // Another version.
        format!("GET /{long} HTTP/1.1 a\r\n\r\n"),              // A fourth part.
        format!("G(T /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),     // A method that is no token.
        format!("GET /{long} HTTP/1.1\nHost: a\r\n\r\n"),       // A line that ends with LF alone.
        format!("GET /{long} HTTP/1.1\r\nHost : a\r\n\r\n"),    // A space behind a field's name.
    ] {
        let whole =
            RequestHead::default().parse(head.as_bytes(), &mut HeadSearch::default(), &limits);
        assert_eq!(whole, Err(Refusal::TARGET_BYTES), "{head:?}");
        let mut search = HeadSearch::default();
        let mut request = RequestHead::default();
        let by_byte = (1..=head.len())
            .map(|len| request.parse(&head.as_bytes()[..len], &mut search, &limits))
            .find(|parsed| *parsed != Ok(None));
        assert_eq!(by_byte, Some(whole), "{head:?}");
    }
}

#[test]
fn a_refused_request_keeps_its_first_line_for_the_logs() {
    let mut head = RequestHead::default();

    for input in [
        &b"GET /a HTTP/1.1\r\nA : b\r\n\r\n"[..],
        b"GET /a HTTP/1.1\r\n\r\n",
    ] {
        let limits = HeadLimits::default();
        head.parse(input, &mut HeadSearch::default(), &limits)
            .unwrap_err();

        assert_eq!((head.method(), head.target()), ("GET", "/a"));
    }
}

#[test]
fn content_length_is_one_plain_number() {
    for value in [
        "+5",
        "-5",
        " ",
        "0x5",
        "5 5",
        "5,5",
        "5, 5",
        "5;",
        "five",
        "5.0",
        "9223372036854775808",
        "99999999999999999999",
        "\u{665}",
    ] {
        let input = with_fields(&format!("Content-Length: {value}\r\n"));
        assert_eq!(refused(&input), Refusal::CONTENT_LENGTH, "{value:?}");
    }
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "content-length: 5\r\nContent-Length: 5\r\n",
    ] {
        assert_eq!(refused(&with_fields(fields)), Refusal::CONTENT_LENGTH);
    }
    for (value, length) in [
        ("0", 0),
        ("005", 5),
        ("\t5 ", 5),
        ("9223372036854775807", (1 << 63) - 1),
    ] {
        let input = with_fields(&format!("cONTENT-lENGTH:{value}\r\n"));
        assert_eq!(framed(&input), Ok(BodyLength::Sized(length)));
    }
    assert_eq!(framed(&with_fields("")), Ok(BodyLength::Empty));
}

#[test]
fn a_request_is_chunked_once_or_refused() {
    for (value, expected) in [
        ("gzip, chunked", Refusal::TRANSFER_CODING),
        (
            "gzip\r\nTransfer-Encoding: chunked",
            Refusal::TRANSFER_CODING,
        ),
        ("gzip", Refusal::TRANSFER_ENCODING),
        ("identity", Refusal::TRANSFER_ENCODING),
        ("", Refusal::TRANSFER_ENCODING),
        ("chunked, chunked", Refusal::TRANSFER_ENCODING),
        (
            "chunked\r\nTransfer-Encoding: chunked",
            Refusal::TRANSFER_ENCODING,
        ),
        ("chunked, gzip", Refusal::TRANSFER_ENCODING),
        ("chunked, gzip, chunked", Refusal::TRANSFER_ENCODING),
        ("chunked;a=b", Refusal::TRANSFER_ENCODING),
        ("chunked,", Refusal::TRANSFER_ENCODING),
        (", chunked", Refusal::TRANSFER_ENCODING),
        ("xchunked", Refusal::TRANSFER_ENCODING),
        ("\"chunked\"", Refusal::TRANSFER_ENCODING),
        ("chun ked", Refusal::TRANSFER_ENCODING),
        ("\u{b}chunked", Refusal::CONTROL_BYTE),
        ("chunked\r\nContent-Length: 5", Refusal::LENGTH_AND_CODING),
        ("gzip\r\nContent-Length: 5", Refusal::LENGTH_AND_CODING),
    ] {
        let input = with_fields(&format!("Transfer-Encoding: {value}\r\n"));
        assert_eq!(refused(&input), expected, "{value:?}");
    }
    assert_eq!(Refusal::TRANSFER_CODING.status, 501);
    let in_1_0 = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(in_1_0), Refusal::TRANSFER_ENCODING);
    for method in ["GET", "HEAD", "DELETE", "POST"] {
        let input =
            format!("{method} / HTTP/1.1\r\nHost: h\r\nTRANSFER-encoding:  ChunkeD \r\n\r\n");
        assert_eq!(framed(input.as_bytes()), Ok(BodyLength::Chunked));
    }
}

#[test]
fn a_connection_is_kept_as_version_and_options_say() {
    for (version, fields, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        (
            "1.1",
            "Connection: keep-alive\r\nConnection: a, Close\r\n",
            false,
        ),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let input = format!("GET / HTTP/{version}\r\nHost: h\r\n{fields}\r\n");
        let (head, _) = request(input.as_bytes()).unwrap();
        assert_eq!(request_keeps_alive(&head), expected, "{input}");
    }
}

#[test]
fn a_head_is_used_again_for_the_next_request() {
    let input = b"GET /a HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\nPOST /b HTTP/1.0\r\n\r\n";
    let (mut head, mut search) = (RequestHead::default(), HeadSearch::default());
    let limits = HeadLimits::default();
    let first = head.parse(input, &mut search, &limits).unwrap().unwrap();

    search = HeadSearch::default();
    let second = head.parse(&input[first..], &mut search, &limits);

    assert_eq!(second, Ok(Some(input.len() - first)));
    assert_eq!(
        (head.method(), head.target(), head.fields.len()),
        ("POST", "/b", 0)
    );
    head.set_target("/c?d");
    let mut written = Vec::new();
    write_request(&head, &mut written);
    assert_eq!(written, b"POST /c?d HTTP/1.1\r\n\r\n");
}
