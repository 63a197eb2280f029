//! Requests without a body: targets, methods, fields.

use super::{case, hold, request};

#[tokio::test]
async fn targets_and_methods_pass_as_they_came() {
    hold(vec![
        request("plain_get", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        request(
            "escapes_and_query",
            "GET /a%20b//c;d/../e?q=%7B&&x=%zz HTTP/1.1\r\nHost: Shop.Example:8080\r\n\r\n",
        ),
        request(
            "characters_that_ought_to_be_escaped",
            "GET /a|b{c}[d]^\\`?x=\"<y>\" HTTP/1.1\r\nHost: h\r\n\r\n",
        ),
        request("options_star", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
        request(
            "trace",
            "TRACE /a HTTP/1.1\r\nHost: h\r\nMax-Forwards: 3\r\n\r\n",
        ),
        request("unknown_method", "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n"),
        request("lower_case_method", "get / HTTP/1.1\r\nHost: h\r\n\r\n"),
        request(
            "every_token_character_in_a_method",
            "M-SEARCH!#$%&'*+.^_`|~09 / HTTP/1.1\r\nHost: h\r\n\r\n",
        ),
        request("target_is_a_query", "GET /? HTTP/1.1\r\nHost: h\r\n\r\n"),
        request(
            "absolute_form_becomes_origin_form",
            "GET http://shop.example:81/a?b HTTP/1.1\r\nX: 1\r\nHost: shop.example:81\r\nY: 2\r\n\r\n",
        )
        .upstream_gets("GET /a?b HTTP/1.1\r\nX: 1\r\nHost: shop.example:81\r\nY: 2\r\n\r\n"),
        request(
            "absolute_form_wins_over_host",
            "GET http://shop.example/a?b HTTP/1.1\r\nX: 1\r\nHost: other\r\nY: 2\r\n\r\n",
        )
        .upstream_gets("GET /a?b HTTP/1.1\r\nX: 1\r\nHost: shop.example\r\nY: 2\r\n\r\n"),
        request(
            "absolute_form_without_a_path",
            "GET http://shop.example?b HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        )
        .upstream_gets("GET /?b HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
        request(
            "options_of_a_whole_server",
            "OPTIONS http://shop.example:81 HTTP/1.1\r\nHost: shop.example:81\r\n\r\n",
        )
        .upstream_gets("OPTIONS * HTTP/1.1\r\nHost: shop.example:81\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn request_fields_pass_in_their_order_case_and_spacing() {
    hold(vec![
        request(
            "odd_case",
            "GET / HTTP/1.1\r\nhOST: h\r\nX-CamelCase: One\r\nx-lower: two\r\nUSER-AGENT: Z\r\n\r\n",
        ),
        request(
            "odd_spacing",
            "GET / HTTP/1.1\r\nHost:h\r\nA:1\r\nB:   2\r\nC: 3  \r\nD:\t4\t\r\nE: 5 \t 6\r\n\r\n",
        ),
        request(
            "interleaved_names",
            "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nA: 3\r\nHost: h\r\nB: 4\r\na: 5\r\n\r\n",
        ),
        request(
            "host_comes_last",
            "GET / HTTP/1.1\r\nAccept: */*\r\nZ: 1\r\nHost: h\r\n\r\n",
        ),
        request(
            "empty_values",
            "GET / HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Space: \r\nX-Empty:\r\n\r\n",
        ),
        request(
            "obs_text_in_values",
            b"GET / HTTP/1.1\r\nHost: h\r\nX-Latin: caf\xe9 \xff\x80\r\nX-Utf8: \xc3\xa9\r\n\r\n",
        ),
        request(
            "every_token_character_in_a_name",
            "GET / HTTP/1.1\r\nHost: h\r\n!#$%&'*+-.^_`|~09Az: v\r\n\r\n",
        ),
        request(
            "quotes_commas_colons_in_values",
            "GET / HTTP/1.1\r\nHost: h\r\nX: \"a, b\": (c; d=\"\\\"\"), ,,\r\nX-URL: http://[::1]:80/\r\n\r\n",
        ),
        request(
            "fields_of_other_proxies",
            "GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 fred\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=\"[::1]\"\r\n\
             X-Request-Id: 7\r\n\r\n",
        ),
        request(
            "trace_context_while_tracing_is_off",
            "GET / HTTP/1.1\r\nHost: h\r\nTraceParent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
             tracestate: a=1\r\nX-B3-TraceId: 80f198ee56343ba8\r\nTraceState: b=2\r\n\r\n",
        ),
        request(
            "trace_context_that_is_none",
            "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: nonsense\r\ntracestate: a=1\r\n\r\n",
        ),
        request(
            "credentials",
            "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic dTpw\r\nCookie: a=b; c=\"d\"\r\n\r\n",
        ),
        request(
            "underscores_and_digits_in_names",
            "GET / HTTP/1.1\r\nHost: h\r\nX_Under: 1\r\n1st: 2\r\nX-Under: 3\r\n\r\n",
        ),
    ])
    .await;
}

#[tokio::test]
async fn only_fields_of_one_connection_are_taken_from_a_request() {
    hold(vec![
        request(
            "keep_alive",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nX: 1\r\n\
             Proxy-Connection: keep-alive\r\nY: 2\r\n\r\n",
        ),
        request(
            "named_fields",
            "GET / HTTP/1.1\r\nX-Hop: 1\r\nHost: h\r\nConnection: x-hop, X-Other\r\nX-End: 2\r\nX-OTHER: 3\r\nX-Hop: 4\r\n\r\n",
        ),
        request(
            "several_connections",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: x-one\r\nX-One: 1\r\nX-Three: 3\r\nConnection: ,x-two ,,\r\nX-Two: 2\r\n\r\n",
        ),
        request(
            "named_framing_stays",
            "POST / HTTP/1.1\r\nHost: h\r\nConnection: Host, Content-Length, X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nhi",
        ),
        request(
            "named_transfer_encoding_stays",
            "POST / HTTP/1.1\r\nHost: h\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        request(
            "te_trailers",
            "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\nX: 1\r\n\r\n",
        ),
        request(
            "close_of_the_client",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: 1\r\n\r\n",
        )
        .client_closes(),
        request(
            "upgrade_to_h2c_is_ignored",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nX: 1\r\n\
             HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
        )
        .upstream_gets("GET / HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n"),
        request(
            "empty_lines_before_a_request",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        )
        .skips_direct()
        .upstream_gets("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn an_upgrade_passes_with_its_frames() {
    const ASKED: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\nConnection: keep-alive, Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
    // A masked text frame "Hello", a ping, and a frame that looks like HTTP; RFC 6455 §5.7.
    let client = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80\0\0\0\0\x81\x14GET / HTTP/1.1\r\n\r\n\r\n";
    let upstream = b"\x81\x05Hello\x8a\x00\x82\x08HTTP/1.1\x88\x00";
    hold(vec![
        case("websocket", ASKED, SWITCHED).frames(client, upstream),
        case(
            "another_protocol",
            "POST /exec HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        )
        .frames(b"\0\x01\xff", [b'y'; 70_000]),
        case(
            "an_upgrade_that_is_declined",
            ASKED,
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: HTTP/3.0\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno",
        ),
    ])
    .await;
}
