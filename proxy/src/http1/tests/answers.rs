//! Answers: what is bad about them, what is mended, how long they are.

use super::{answer, framed_answer};
use crate::http1::{
    BadAnswer, BodyLength, HeadLimits, HeadSearch, ResponseHead, response_body,
    response_keeps_alive, write_response,
};

fn bad(input: &[u8]) -> BadAnswer {
    let Err(bad) = framed_answer(input) else {
        panic!("{} is accepted", input.escape_ascii());
    };
    bad
}

fn with_fields(fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes()
}

fn written(input: &[u8]) -> Vec<u8> {
    let (head, _) = answer(input).unwrap_or_else(|bad| panic!("{bad:?}: {}", input.escape_ascii()));
    let mut written = Vec::new();
    write_response(&head, &mut written);
    written
}

#[test]
fn an_answer_is_passed_on_as_it_came() {
    for input in [
        &b"HTTP/1.1 200 OK\r\nserver: A\r\nDate: x\r\nSET-cookie: \ta=b \r\nset-cookie:c\r\nx:\r\n\r\n"[..],
        b"HTTP/1.1 404 \xe9t\xe9  \tb \r\nA: \xff\r\n\r\n",
        b"HTTP/1.1 599 \r\n\r\n",
    ] {
        assert_eq!(written(input), input, "{}", input.escape_ascii());
    }
    let (head, used) = answer(b"HTTP/1.0 404 \xe9 b\r\nA: b\r\n\r\nrest").unwrap();
    assert_eq!(
        (head.status, head.minor, head.reason(), used),
        (404, 0, &b"\xe9 b"[..], 26)
    );
}

#[test]
fn what_is_harmless_is_mended() {
    for (input, mended) in [
        (
            &b"HTTP/1.1 200 OK\nA: b\nC:\n\n"[..],
            &b"HTTP/1.1 200 OK\r\nA: b\r\nC:\r\n\r\n"[..],
        ),
        (
            b"HTTP/1.1 200 OK\r\nA: b\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nA: b\r\n\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nA \t:  b \r\nC: d\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA:  b \r\nC: d\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nA :\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA:\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200\r\nA: b\r\n\r\n",
            b"HTTP/1.1 200 \r\nA: b\r\n\r\n",
        ),
        (b"HTTP/1.1 200\n\n", b"HTTP/1.1 200 \r\n\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        assert_eq!(
            written(input).escape_ascii().to_string(),
            mended.escape_ascii().to_string(),
        );
    }
    for (fields, mended) in [
        (
            "Content-Length: 5, 5\r\nA: b\r\n",
            "Content-Length: 5\r\nA: b\r\n",
        ),
        ("content-LENGTH: 5,5 ,5\r\n", "content-LENGTH: 5\r\n"),
        (
            "A: b\r\nContent-Length: 5\r\nC: d\r\ncontent-length: 05\r\n",
            "A: b\r\nContent-Length: 5\r\nC: d\r\n",
        ),
    ] {
        assert_eq!(
            written(&with_fields(fields)),
            with_fields(mended),
            "{fields}"
        );
        assert_eq!(
            framed_answer(&with_fields(fields)),
            Ok(BodyLength::Sized(5))
        );
    }
}

#[test]
fn values_of_a_mended_head_are_found() {
    let (head, used) = answer(b"HTTP/1.1 200 OK\nA :b \nC:\nD: e\n\nbody\r\n\r\n").unwrap();

    let fields: Vec<(&[u8], &[u8])> = head.fields.iter().collect();
    let expected: [(&[u8], &[u8]); 3] = [(b"A", b"b"), (b"C", b""), (b"D", b"e")];
    assert_eq!(fields, expected);
    assert_eq!(used, b"HTTP/1.1 200 OK\nA :b \nC:\nD: e\n\n".len());
}

#[test]
fn what_is_no_answer_is_bad() {
    for (input, expected) in [
        (&b"nonsense"[..], BadAnswer::STATUS_LINE),
        (b"HTTP/2 200 OK\r\n\r\n", BadAnswer::STATUS_LINE),
        (b"HTTP/1.2 200 OK\r\n\r\n", BadAnswer::STATUS_LINE),
        (b"http/1.1 200 OK\r\n\r\n", BadAnswer::STATUS_LINE),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", BadAnswer::STATUS_LINE),
        (b"HTTP/1.1  200 OK\r\n\r\n", BadAnswer::STATUS_LINE),
        (b"HTTP/1.1 20 OK\r\n\r\n", BadAnswer::STATUS_LINE),
        (b"HTTP/1.1 2000 OK\r\n\r\n", BadAnswer::STATUS_LINE),
        (b"HTTP/1.1 200OK\r\n\r\n", BadAnswer::STATUS_LINE),
        (b"HTTP/1.1 200 O\x00K\r\n\r\n", BadAnswer::STATUS_LINE),
        (b"HTTP/1.1 200 O\rK\r\n\r\n", BadAnswer::STATUS_LINE),
        (b"HTTP/1.1 099 No\r\n\r\n", BadAnswer::STATUS),
        (b"HTTP/1.1 600 No\r\n\r\n", BadAnswer::STATUS),
        (b"HTTP/1.1 999 No\r\n\r\n", BadAnswer::STATUS),
    ] {
        assert_eq!(bad(input), expected, "{}", input.escape_ascii());
    }
    for (fields, expected) in [
        ("A: b\rC: d\r\n", BadAnswer::BARE_CR),
        ("A: b\r\r\n", BadAnswer::BARE_CR),
        ("A: b\r\n c\r\n", BadAnswer::OBS_FOLD),
        (" A: b\r\n", BadAnswer::OBS_FOLD),
        ("A: \x00\r\n", BadAnswer::CONTROL_BYTE),
        ("A\r\n", BadAnswer::FIELD_NAME),
        (": b\r\n", BadAnswer::FIELD_NAME),
        ("A b: c\r\n", BadAnswer::FIELD_NAME),
        (
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            BadAnswer::CONTENT_LENGTH,
        ),
        ("Content-Length: 5, 6\r\n", BadAnswer::CONTENT_LENGTH),
        ("Content-Length: 5,\r\n", BadAnswer::CONTENT_LENGTH),
        ("Content-Length: -1\r\n", BadAnswer::CONTENT_LENGTH),
        ("Content-Length:\r\n", BadAnswer::CONTENT_LENGTH),
        (
            "Content-Length: 9223372036854775808\r\n",
            BadAnswer::CONTENT_LENGTH,
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            BadAnswer::LENGTH_AND_CODING,
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            BadAnswer::TRANSFER_ENCODING,
        ),
        ("Transfer-Encoding: gzip\r\n", BadAnswer::TRANSFER_ENCODING),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            BadAnswer::TRANSFER_ENCODING,
        ),
    ] {
        assert_eq!(bad(&with_fields(fields)), expected, "{fields:?}");
    }
    let in_1_0 = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(bad(in_1_0), BadAnswer::TRANSFER_ENCODING);
}

#[test]
fn an_answer_has_the_limits_of_a_head() {
    let limits = HeadLimits {
        bytes: 100,
        fields: 2,
        target: 1,
    };
    let parse =
        |input: &[u8]| ResponseHead::default().parse(input, &mut HeadSearch::default(), &limits);

    let long = [&b"HTTP/1.1 200 "[..], &[b'a'; 100]].concat();
    assert_eq!(parse(&long), Err(BadAnswer::HEAD_BYTES));
    assert_eq!(
        parse(&with_fields("A: b\r\nA: b\r\nA: b\r\n")),
        Err(BadAnswer::HEAD_FIELDS)
    );
    assert!(matches!(
        parse(&with_fields("A: b\r\nA: b\r\n")),
        Ok(Some(_))
    ));
    let short = [&b"HTTP/1.1 200 OK\n\n"[..], &[b'a'; 100]].concat();
    assert_eq!(parse(&short), Ok(Some(17)));
}

#[test]
fn how_long_an_answer_is_depends_on_status_and_method() {
    let length = |line: &str, fields: &str, is_head: bool| {
        let input = format!("HTTP/1.1 {line}\r\n{fields}\r\n");
        response_body(&answer(input.as_bytes()).unwrap().0, is_head)
    };
    let (five, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");

    assert_eq!(length("200 OK", five, false), Ok(BodyLength::Sized(5)));
    assert_eq!(length("200 OK", chunked, false), Ok(BodyLength::Chunked));
    assert_eq!(length("200 OK", "", false), Ok(BodyLength::UntilClose));
    for fields in [five, chunked, ""] {
        assert_eq!(length("200 OK", fields, true), Ok(BodyLength::Empty));
        for line in ["100 C", "101 S", "103 E", "204 N", "304 N"] {
            assert_eq!(length(line, fields, false), Ok(BodyLength::Empty), "{line}");
        }
    }
}

#[test]
fn a_connection_is_used_again_if_the_answer_says_where_it_ends() {
    for (input, expected) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], true),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n", false),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        (
            b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
            true,
        ),
        (b"HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n", false),
    ] {
        let (head, _) = answer(input).unwrap();
        let body = response_body(&head, false).unwrap();
        assert_eq!(
            response_keeps_alive(&head, body),
            expected,
            "{}",
            input.escape_ascii()
        );
    }
}

#[test]
fn status_and_reason_are_replaced() {
    let (mut head, _) = answer(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n").unwrap();

    head.set_status(503, b"Not \xe9 now");

    let mut written = Vec::new();
    write_response(&head, &mut written);
    assert_eq!(written, b"HTTP/1.1 503 Not \xe9 now\r\nA: b\r\n\r\n");
}

#[test]
fn interim_answers_are_told_from_final_ones() {
    for (status, expected) in [
        (100, true),
        (103, true),
        (199, true),
        (101, false),
        (200, false),
    ] {
        let input = format!("HTTP/1.1 {status} S\r\n\r\n");
        let (head, _) = answer(input.as_bytes()).unwrap();
        assert_eq!(head.is_informational(), expected, "{status}");
    }
}
