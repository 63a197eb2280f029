//! Interim answers (1xx) pass to every client of HTTP/1.1 (RFC 9110 §15.2).

use super::{GET, OK, answer, case, hold};

#[tokio::test]
async fn interim_answers_pass_in_their_order() {
    let before_ok = |name, interim: &str| answer(name, [interim.as_bytes(), OK].concat());
    hold(vec![
        before_ok(
            "early_hints",
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.js>\r\n\r\n",
        ),
        before_ok("processing", "HTTP/1.1 102 Processing\r\n\r\n"),
        before_ok("continue_unasked", "HTTP/1.1 100 Continue\r\n\r\n"),
        before_ok(
            "several",
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n",
        ),
        before_ok("unknown_interim", "HTTP/1.1 199 Something\r\nX-Odd:  v \r\nX-Odd:w\r\n\r\n"),
        case("hints_and_then_a_body_in_pieces", GET, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .then_answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .then_answers("2;x\r\nok\r\n0\r\n\r\n"),
        case("hints_of_an_answer_without_a_body", GET, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .then_answers("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        case(
            "hints_to_head",
            "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        ),
        case(
            "hints_while_a_body_is_still_sent",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n",
            OK,
        )
        .interim("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        .then("hello"),
    ])
    .await;
}
