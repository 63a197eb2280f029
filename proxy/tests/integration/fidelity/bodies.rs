//! Bodies of requests, in every framing.

use super::{GET, OK, case, hold, request};

#[tokio::test]
async fn request_bodies_of_a_known_length_pass() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let every_byte = [
        &b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 256\r\n\r\n"[..],
        &every_byte,
    ]
    .concat();
    hold(vec![
        request(
            "body_in_the_segment_of_the_head",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX: 1\r\n\r\nhello",
        ),
        request(
            "body_in_a_later_segment",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nHost: h\r\n\r\n",
        )
        .then("hello"),
        request(
            "body_in_many_segments",
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nh",
        )
        .then("e")
        .then("l")
        .then("lo"),
        request("head_in_many_segments", "POS")
            .then("T / HT")
            .then("TP/1.1\r")
            .then("\nHo")
            .then("st: h\r\nContent-Len")
            .then("gth: 2\r\n\r")
            .then("\nhi"),
        request("every_byte", every_byte),
        request(
            "empty_post",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        ),
        request(
            "post_without_a_length",
            "POST / HTTP/1.1\r\nHost: h\r\n\r\n",
        ),
        request(
            "get_with_a_body",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{\"q\":1}",
        ),
        request(
            "delete_with_a_body",
            "DELETE /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
        ),
        request(
            "length_with_zeros_before_it",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0005\r\n\r\nhello",
        ),
        request(
            "multipart",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 47\r\n\r\n\
             --b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
        ),
    ])
    .await;
}

#[tokio::test]
async fn chunked_request_bodies_pass_with_their_chunks() {
    const HEAD: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n";
    let chunked = |name, body: &str| request(name, format!("{HEAD}{body}"));
    hold(vec![
        chunked("one_chunk", "5\r\nhello\r\n0\r\n\r\n"),
        chunked("empty_chunked_body", "0\r\n\r\n"),
        chunked("chunks_of_a_byte", "1\r\nh\r\n1\r\ni\r\n1\r\n!\r\n0\r\n\r\n"),
        chunked(
            "sizes_written_oddly",
            "00A\r\n0123456789\r\na\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n",
        ),
        chunked(
            "chunk_extensions",
            "5;a=b\r\nhello\r\n2;c;d=\"e;f\\\"\"\r\nhi\r\n0;last\r\n\r\n",
        ),
        request(
            "declared_trailers",
            "POST / HTTP/1.1\r\nHost: h\r\nTrailer: X-Sum, x-b\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Sum: 1\r\nx-B:  2\r\n\r\n",
        ),
        chunked("trailers_that_were_not_declared", "3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n"),
        chunked("chunks_in_later_segments", "")
            .then("5\r")
            .then("\nhel")
            .then("lo\r\n")
            .then("0\r\n\r")
            .then("\n"),
        request(
            "odd_case_of_the_coding",
            "POST / HTTP/1.1\r\nHost: h\r\ntransfer-ENCODING: ChunkeD\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
        request(
            "chunked_get",
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
        request(
            "chunked_delete",
            "DELETE / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        ),
        case(
            "chunked_head",
            "HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        ),
    ])
    .await;
}

#[tokio::test]
async fn expected_100s_pass_and_the_body_follows() {
    let asked = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let chunked =
        "PUT / HTTP/1.1\r\nHost: h\r\nexpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    hold(vec![
        case("continue", asked, OK)
            .interim("HTTP/1.1 100 Continue\r\n\r\n")
            .then("hello"),
        case("continue_with_fields_and_another_reason", asked, OK)
            .interim("HTTP/1.1 100 Go On\r\nX-Wait: no\r\n\r\n")
            .then("hel")
            .then("lo"),
        case("continue_to_a_chunked_body", chunked, OK)
            .interim("HTTP/1.1 100 Continue\r\n\r\n")
            .then("5;x\r\nhello\r\n")
            .then("0\r\nX-Sum: 1\r\n\r\n"),
        case("continue_that_nobody_expected", GET, OK).interim("HTTP/1.1 100 Continue\r\n\r\n"),
    ])
    .await;
}
