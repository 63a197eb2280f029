//! Answers: status lines, fields, framing.

use super::{GET, OK, answer, case, hold};

#[tokio::test]
async fn status_lines_pass_as_they_came() {
    let empty = |name, line: &[u8]| {
        answer(
            name,
            [b"HTTP/1.1 ", line, b"\r\nContent-Length: 0\r\n\r\n"].concat(),
        )
    };
    hold(vec![
        empty("status_299", b"299 Quite All Right"),
        empty("status_599", b"599 Network connect timeout error"),
        empty("status_418", b"418 I'm a teapot"),
        empty("odd_reason", b"200  oK,  \tthen: ; "),
        empty("no_reason", b"200 "),
        empty(
            "obs_text_in_the_reason",
            b"404 Introuvable \xe0 l'adresse \xff",
        ),
        empty(
            "redirect",
            b"308 Permanent Redirect\r\nLocation: //other/%20?a#b",
        ),
        empty("reset_content", b"205 Reset Content"),
        empty(
            "upgrade_required",
            b"426 Upgrade Required\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade",
        ),
    ])
    .await;
}

#[tokio::test]
async fn answer_fields_pass_in_their_order_case_and_spacing() {
    let fields = |name, fields: &[u8]| {
        answer(
            name,
            [
                b"HTTP/1.1 200 OK\r\n",
                fields,
                b"Content-Length: 2\r\n\r\nok",
            ]
            .concat(),
        )
    };
    hold(vec![
        fields(
            "date_and_server",
            b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: CERN/3.0 libwww/2.17\r\n",
        ),
        fields("neither_date_nor_server", b""),
        fields(
            "cookies_between_others",
            b"Set-Cookie: a=1\r\nX: 1\r\nset-cookie: b=2; Path=/\r\nETag: W/\"x\"\r\nSET-COOKIE: a=3\r\n",
        ),
        fields("interleaved_names", b"A: 1\r\nB: 2\r\nA: 3\r\nb: 4\r\n"),
        fields("odd_spacing", b"A:1\r\nB:   2\r\nC: 3  \r\nD:\t4\t\r\n"),
        fields("empty_values", b"A:\r\nB: \r\nA:\r\n"),
        fields("obs_text_in_values", b"X: caf\xe9\r\nContent-Disposition: x; filename=\"\xff\xfe\"\r\n"),
        fields(
            "hop_by_hop",
            b"Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5, max=99\r\nX-Hop: 1\r\nX-End: 2\r\n",
        ),
        fields("named_framing_stays", b"Connection: Content-Length, X-Hop\r\nX-Hop: 1\r\n"),
        fields(
            "challenges",
            b"WWW-Authenticate: Basic realm=\"a, b\"\r\nWWW-Authenticate: Bearer\r\nProxy-Authenticate: Basic\r\n",
        ),
        fields("encodings", b"Content-Encoding: gzip\r\nVary: *\r\nAge: 0\r\nVia: 1.1 varnish\r\n"),
        fields("alternative_services", b"Alt-Svc: h3=\":443\"; ma=86400\r\nUpgrade: h2,h2c\r\n")
            .client_gets("HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":443\"; ma=86400\r\nContent-Length: 2\r\n\r\nok"),
        fields("close_of_the_upstream", b"Connection: close\r\nX: 1\r\n").upstream_closes(),
        fields("length_said_twice", b"Content-Length: 2\r\nX: 1\r\n").client_gets(OK_WITH_X),
        answer(
            "length_as_a_list_of_equals",
            "HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 2, 2\r\n\r\nok",
        )
        .client_gets("HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 2\r\n\r\nok"),
        fields("space_before_the_colon", b"X-Protection : 1\r\nY \t: 2\r\n")
            .client_gets("HTTP/1.1 200 OK\r\nX-Protection: 1\r\nY: 2\r\nContent-Length: 2\r\n\r\nok"),
    ])
    .await;
}

/// One length stays, at the place of the first.
const OK_WITH_X: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: 1\r\n\r\nok";

#[tokio::test]
async fn answers_without_a_body_keep_what_they_say_of_one() {
    const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    hold(vec![
        answer(
            "not_modified_with_a_length",
            "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1234\r\n\r\n",
        ),
        answer(
            "not_modified_without_a_length",
            "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
        ),
        answer("no_content", "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n"),
        case(
            "head_with_a_length",
            HEAD,
            "HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 1000\r\nY: 2\r\n\r\n",
        ),
        case(
            "head_with_a_transfer_encoding",
            HEAD,
            "HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\nY: 2\r\n\r\n",
        ),
        case(
            "head_without_either",
            HEAD,
            "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n",
        ),
        case(
            "head_of_an_error",
            HEAD,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n",
        ),
    ])
    .await;
}

#[tokio::test]
async fn answer_bodies_pass_with_their_framing() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\nY: 2\r\n\r\n";
    let chunked = |name, body: &str| answer(name, format!("{HEAD}{body}"));
    hold(vec![
        answer(
            "body_in_later_segments",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        )
        .then_answers("he")
        .then_answers("llo"),
        answer("head_in_many_segments", "HTT")
            .then_answers("P/1.1 2")
            .then_answers("00 OK\r")
            .then_answers("\nContent-Length: 5\r\n\r")
            .then_answers("\nhello"),
        answer(
            "empty_body",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        chunked("chunked", "5\r\nhello\r\n0\r\n\r\n"),
        chunked("empty_chunked_body", "0\r\n\r\n"),
        chunked("chunks_of_a_byte", "1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"),
        chunked("sizes_written_oddly", "00A\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\n"),
        chunked("chunk_extensions", "5;a=b\r\nhello\r\n2;c=\"d;\"\r\nhi\r\n0;e\r\n\r\n"),
        chunked("trailers_that_were_not_declared", "2\r\nok\r\n0\r\nX-Sum: 1\r\nServer-Timing:db;dur=5\r\n\r\n"),
        answer(
            "declared_trailers",
            "HTTP/1.1 200 OK\r\nTrailer: Grpc-Status\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nGrpc-Status: 0\r\n\r\n",
        ),
        chunked("chunks_in_later_segments", "5")
            .then_answers("\r\nhel")
            .then_answers("lo\r")
            .then_answers("\n0\r\n")
            .then_answers("\r\n"),
        chunked("events", "e\r\ndata: {\"n\":1}\n\r\n")
            .then_answers("e\r\ndata: {\"n\":2}\n\r\n")
            .then_answers("0\r\n\r\n"),
        answer(
            "partial_content",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok",
        ),
        answer("until_close", "HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhello")
            .then_answers(" world")
            .upstream_closes()
            .reframed(),
        answer("until_close_and_empty", "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n")
            .upstream_closes()
            .reframed(),
    ])
    .await;
}

#[tokio::test]
async fn line_feeds_alone_are_mended() {
    hold(vec![
        answer(
            "some_lines_end_in_lf",
            "HTTP/1.1 200 OK\nX: 1\nContent-Length: 2\r\n\r\nok",
        )
        .client_gets("HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 2\r\n\r\nok")
        .skips_direct(),
        answer(
            "all_lines_end_in_lf",
            "HTTP/1.1 200 OK\nX: 1\nContent-Length: 2\n\nok",
        )
        .client_gets("HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 2\r\n\r\nok")
        .skips_direct(),
        case("crlf_as_always", GET, OK),
    ])
    .await;
}
