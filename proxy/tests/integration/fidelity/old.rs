//! HTTP/1.0 on either side. The version that is told to both sides is 1.1 (RFC 9110 §2.5); an old client gets neither
//! interim answers nor chunks nor trailers.

use super::{OK, answer, case, hold};

const KEPT: &str = "GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nX: 1\r\n\r\n";
const ONCE: &str = "GET /a HTTP/1.0\r\nHost: h\r\nX: 1\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2;a\r\n!!\r\n0\r\nX-Sum: 1\r\n\r\n";

#[tokio::test]
async fn old_clients_get_what_they_understand() {
    hold(vec![
        case("old_client_once", ONCE, OK).client_closes(),
        case("old_client_that_keeps_its_connection", KEPT, OK),
        case(
            "old_client_without_a_host",
            "GET /a HTTP/1.0\r\n\r\n",
            OK,
        )
        .upstream_gets("GET /a HTTP/1.1\r\nhost: {upstream}\r\n\r\n")
        .client_closes(),
        case(
            "old_client_with_a_body",
            "POST /a HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
            OK,
        )
        .client_closes(),
        case("old_client_and_chunks", ONCE, CHUNKED)
            .client_gets("HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhello!!")
            .reframed()
            .client_closes(),
        case("old_client_that_keeps_its_connection_and_chunks", KEPT, CHUNKED)
            .client_gets("HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhello!!")
            .reframed()
            .client_closes(),
        case("old_client_and_until_close", ONCE, "HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhello")
            .upstream_closes()
            .client_closes(),
        case(
            "old_client_and_hints",
            ONCE,
            [&b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"[..], OK].concat(),
        )
        .client_gets(OK)
        .client_closes(),
        case(
            "old_client_that_asks_for_an_upgrade",
            "GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nX: 1\r\n\r\n",
            OK,
        )
        .upstream_gets("GET /a HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn old_upstreams_are_understood() {
    hold(vec![
        answer(
            "old_upstream_with_a_length",
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nX: 1\r\n\r\nok",
        )
        .upstream_closes(),
        answer(
            "old_upstream_that_keeps_its_connection",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\nX: 1\r\n\r\nok",
        ),
        answer(
            "old_upstream_until_close",
            "HTTP/1.0 200 OK\r\nX: 1\r\n\r\nhello",
        )
        .client_gets("HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhello")
        .upstream_closes()
        .reframed(),
        case(
            "old_on_both_sides",
            ONCE,
            "HTTP/1.0 200 OK\r\nX: 1\r\n\r\nhello",
        )
        .upstream_closes()
        .client_closes(),
        case(
            "old_on_both_sides_with_a_length",
            KEPT,
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        ),
    ])
    .await;
}
