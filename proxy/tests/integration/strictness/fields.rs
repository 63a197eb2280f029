//! Fields of requests: their lines, the host, and what says how long the body is.

use super::{Passing, Row, pass, passing, refuse, row};

fn field(name: &'static str, line: &[u8]) -> Row {
    row(
        name,
        400,
        [
            b"GET / HTTP/1.1\r\nHost: h\r\n",
            line,
            b"\r\nX-Last: 1\r\n\r\n",
        ]
        .concat(),
    )
}

#[tokio::test]
async fn malformed_field_lines_are_refused() {
    refuse(vec![
        field("carriage_return_in_a_value", b"X: a\rb"),
        field("carriage_return_at_the_end_of_a_value", b"X: a\r"),
        field("line_feed_alone", b"X: a\nY: b"),
        field("line_feed_that_hides_a_length", b"X: a\nContent-Length: 5"),
        row(
            "line_feeds_in_the_whole_head",
            400,
            "GET / HTTP/1.1\nHost: h\n\n",
        ),
        row(
            "line_feed_ends_the_head",
            400,
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
        ),
        field("nul_in_a_value", b"X: a\0b"),
        field("control_byte_in_a_value", b"X: a\x01b"),
        field("vertical_tab_in_a_value", b"X: a\x0bb"),
        field("form_feed_at_the_start_of_a_value", b"X: \x0ca"),
        field("escape_in_a_value", b"X: \x1b[31m"),
        field("delete_in_a_value", b"X: a\x7f"),
        field("space_before_the_colon", b"X : a"),
        field("tab_before_the_colon", b"X\t: a"),
        field(
            "length_with_a_space_before_the_colon",
            b"Content-Length : 0",
        ),
        field(
            "coding_with_a_space_before_the_colon",
            b"Transfer-Encoding : chunked",
        ),
        field("folded_with_a_space", b"X: a\r\n b"),
        field("folded_with_a_tab", b"X: a\r\n\tb"),
        field("folded_coding", b"Transfer-Encoding:\r\n chunked"),
        field("folded_and_empty", b"X: a\r\n "),
        row(
            "folded_first_line",
            400,
            "GET / HTTP/1.1\r\n X: a\r\nHost: h\r\n\r\n",
        ),
        field("empty_name", b": a"),
        field("no_colon", b"garbage"),
        field("parenthesis_in_a_name", b"X(y): a"),
        field("at_in_a_name", b"X@y: a"),
        field("slash_in_a_name", b"X/y: a"),
        field("quote_in_a_name", b"\"X\": a"),
        field("space_in_a_name", b"X y: a"),
        field("nul_in_a_name", b"X\0: a"),
        field("letter_beyond_ascii_in_a_name", b"X\xe9: a"),
        field("vertical_tab_before_a_name", b"\x0bX: a"),
    ])
    .await;
}

#[tokio::test]
async fn a_request_names_one_valid_host() {
    let host = |name, host: &str| row(name, 400, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    refuse(vec![
        row("no_host", 400, "GET / HTTP/1.1\r\nX: 1\r\n\r\n"),
        row("no_field", 400, "GET / HTTP/1.1\r\n\r\n"),
        row(
            "no_host_in_absolute_form",
            400,
            "GET http://h/ HTTP/1.1\r\nX: 1\r\n\r\n",
        ),
        row(
            "two_hosts",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ),
        row(
            "two_equal_hosts",
            400,
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nhost: a\r\n\r\n",
        ),
        row(
            "two_hosts_of_an_old_client",
            400,
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        ),
        host("host_with_a_space", "a b"),
        host("list_of_hosts", "a, b"),
        host("host_with_a_path", "a/b"),
        host("host_with_a_query", "a?b"),
        host("host_with_a_fragment", "a#b"),
        host("host_with_a_user", "me@a"),
        host("host_with_a_backslash", "a\\b"),
        host("host_with_a_port_of_letters", "a:http"),
        host("host_with_two_ports", "a:1:2"),
        host("host_with_a_scheme", "http://a"),
        host("host_with_an_open_bracket", "[::1"),
        host("host_with_angle_brackets", "<a>"),
    ])
    .await;
    let passes =
        |name, host: &str| passing(name, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    pass(vec![
        passes("name", "shop.example"),
        passes("name_and_port", "shop.example:8080"),
        passes("address", "127.0.0.1:80"),
        passes("address_of_version_six", "[2001:db8::1]:443"),
        passes("name_with_an_underscore", "my_service"),
    ])
    .await;
}

fn post(name: &'static str, status: u16, fields: &str) -> Row {
    row(
        name,
        status,
        format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n0\r\n\r\n"),
    )
}

#[tokio::test]
async fn lengths_that_two_parsers_could_read_differently_are_refused() {
    let length = |name, length: &str| post(name, 400, &format!("Content-Length: {length}"));
    refuse(vec![
        post(
            "length_and_coding",
            400,
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
        ),
        post(
            "coding_and_length",
            400,
            "Transfer-Encoding: chunked\r\nX: 1\r\nContent-Length: 5",
        ),
        post(
            "length_of_zero_and_coding",
            400,
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
        ),
        post(
            "lengths_that_differ",
            400,
            "Content-Length: 5\r\nContent-Length: 0",
        ),
        post(
            "lengths_apart_that_differ",
            400,
            "content-length: 0\r\nX: 1\r\nCONTENT-LENGTH: 5",
        ),
        length("list_of_lengths", "5, 6"),
        length("list_of_equal_lengths", "5, 5"),
        length("list_with_an_empty_member", "5,"),
        length("list_that_begins_empty", ",5"),
        length("plus", "+5"),
        length("minus", "-5"),
        length("minus_zero", "-0"),
        length("space_inside", "5 5"),
        length("hexadecimal", "0x5"),
        length("hexadecimal_without_a_prefix", "a"),
        length("letter_behind_it", "5a"),
        length("point", "5.0"),
        length("exponent", "1e1"),
        length("underscore", "1_0"),
        length("quoted", "\"5\""),
        length("parameter", "5;a=b"),
        length("empty", ""),
        length("spaces", "   "),
        length("two_to_the_63", "9223372036854775808"),
        length("two_to_the_64", "18446744073709551616"),
        length("two_to_the_64_and_five", "18446744073709551621"),
        length("many_digits", "99999999999999999999999999999999999999"),
        row(
            "length_that_is_no_number_on_get",
            400,
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        ),
        row(
            "digits_of_another_script",
            400,
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \xd9\xa5\r\n\r\nhello",
        ),
    ])
    .await;
}

#[tokio::test]
async fn codings_besides_chunked_are_refused() {
    let coding =
        |name, status, coding: &str| post(name, status, &format!("Transfer-Encoding: {coding}"));
    let old = |name, coding: &str| {
        row(
            name,
            400,
            format!("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"),
        )
    };
    refuse(vec![
        coding("gzip_and_chunked", 501, "gzip, chunked"),
        coding("gzip_and_chunked_without_a_space", 501, "gzip,chunked"),
        coding("deflate_and_chunked", 501, "deflate, Chunked"),
        coding("unknown_and_chunked", 501, "foo, chunked"),
        post(
            "gzip_and_chunked_in_two_fields",
            501,
            "Transfer-Encoding: gzip\r\nX: 1\r\nTransfer-Encoding: chunked",
        ),
        coding("gzip_alone", 400, "gzip"),
        coding("identity", 400, "identity"),
        coding("chunked_twice", 400, "chunked, chunked"),
        post(
            "chunked_in_two_fields",
            400,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        coding("chunked_is_not_last", 400, "chunked, gzip"),
        coding("chunked_and_identity", 400, "chunked, identity"),
        coding(
            "chunked_twice_and_gzip_between",
            400,
            "chunked, gzip, chunked",
        ),
        coding("empty", 400, ""),
        coding("comma", 400, ","),
        coding("chunked_with_a_parameter", 400, "chunked;q=1"),
        coding("chunked_in_quotes", 400, "\"chunked\""),
        coding("a_word_that_ends_in_chunked", 400, "xchunked"),
        coding("a_word_that_begins_with_chunked", 400, "chunkedx"),
        coding("space_in_chunked", 400, "chun ked"),
        coding("vertical_tab_before_chunked", 400, "\x0bchunked"),
        coding("form_feed_behind_chunked", 400, "chunked\x0c"),
        coding("nul_behind_chunked", 400, "chunked\0"),
        post(
            "gzip_behind_chunked_in_another_field",
            400,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
        ),
        old("chunked_of_an_old_client", "chunked"),
        old("gzip_and_chunked_of_an_old_client", "gzip, chunked"),
        old("identity_of_an_old_client", "identity"),
    ])
    .await;
}

#[tokio::test]
async fn chunked_alone_passes_with_every_method() {
    let chunked = |name, method: &str, coding: &str| -> Passing {
        passing(
            name,
            format!(
                "{method} / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
            ),
        )
    };
    pass(vec![
        chunked("post", "POST", "chunked"),
        chunked("get", "GET", "chunked"),
        chunked("delete", "DELETE", "chunked"),
        chunked("options", "OPTIONS", "chunked"),
        chunked("unknown_method", "BREW", "chunked"),
        chunked("upper_case", "POST", "CHUNKED"),
        chunked("mixed_case", "POST", "ChuNked"),
        passing(
            "tabs_and_letters_beyond_ascii_in_values",
            b"GET / HTTP/1.1\r\nHost: h\r\nX: a\tb\r\nY: \xe9\xff\r\n\r\n",
        ),
    ])
    .await;
}
