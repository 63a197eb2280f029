//! First lines: methods, targets, versions, and empty lines before them.

use super::{Row, pass, passing, refuse, row};

fn first_line(name: &'static str, status: u16, line: &[u8]) -> Row {
    row(name, status, [line, b"\r\nHost: h\r\n\r\n"].concat())
}

#[tokio::test]
async fn first_lines_of_another_form_are_refused() {
    refuse(vec![
        first_line("no_version", 400, b"GET /"),
        first_line("two_spaces_before_the_target", 400, b"GET  / HTTP/1.1"),
        first_line("two_spaces_before_the_version", 400, b"GET /  HTTP/1.1"),
        first_line("space_at_the_end", 400, b"GET / HTTP/1.1 "),
        first_line("space_at_the_start", 400, b" GET / HTTP/1.1"),
        first_line("space_in_the_target", 400, b"GET /a b HTTP/1.1"),
        first_line("tab_before_the_target", 400, b"GET\t/ HTTP/1.1"),
        first_line("tab_before_the_version", 400, b"GET /\tHTTP/1.1"),
        first_line("vertical_tab_in_the_target", 400, b"GET /a\x0bb HTTP/1.1"),
        first_line("nul_in_the_target", 400, b"GET /a\0b HTTP/1.1"),
        first_line("delete_in_the_target", 400, b"GET /a\x7f HTTP/1.1"),
        first_line("carriage_return_in_the_target", 400, b"GET /a\rb HTTP/1.1"),
        first_line("lower_case_protocol", 400, b"GET / http/1.1"),
        first_line("another_protocol", 400, b"GET / FTP/1.1"),
        first_line("no_minor_version", 400, b"GET / HTTP/1"),
        first_line("no_digit_behind_the_point", 400, b"GET / HTTP/1."),
        first_line("letters_behind_the_version", 400, b"GET / HTTP/1.1x"),
        first_line("no_method", 400, b"/ HTTP/1.1"),
        first_line("no_target", 400, b"GET HTTP/1.1"),
        first_line("parenthesis_in_the_method", 400, b"GE(T / HTTP/1.1"),
        first_line("colon_in_the_method", 400, b"GET: / HTTP/1.1"),
        first_line(
            "letter_beyond_ascii_in_the_method",
            400,
            b"G\xc9T / HTTP/1.1",
        ),
        first_line("nul_in_the_method", 400, b"G\0T / HTTP/1.1"),
        row("a_word_and_an_end", 400, "hello\r\n\r\n"),
        row(
            "line_feed_behind_the_first_line",
            400,
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
        ),
        row(
            "carriage_return_behind_the_first_line",
            400,
            "GET / HTTP/1.1\rHost: h\r\n\r\n",
        ),
    ])
    .await;
}

#[tokio::test]
async fn other_versions_are_refused_with_505() {
    refuse(vec![
        first_line("version_1_2", 505, b"GET / HTTP/1.2"),
        first_line("version_1_9", 505, b"GET / HTTP/1.9"),
        first_line("version_2_0", 505, b"GET / HTTP/2.0"),
        first_line("version_3_0", 505, b"GET / HTTP/3.0"),
        first_line("version_0_9", 505, b"GET / HTTP/0.9"),
    ])
    .await;
}

#[tokio::test]
async fn targets_of_another_form_are_refused() {
    refuse(vec![
        first_line("authority_form", 400, b"GET foo:80 HTTP/1.1"),
        first_line("authority_form_of_options", 400, b"OPTIONS foo:80 HTTP/1.1"),
        first_line("bare_word", 400, b"GET foo HTTP/1.1"),
        first_line("relative_path", 400, b"GET a/b HTTP/1.1"),
        first_line("query_alone", 400, b"GET ?a=b HTTP/1.1"),
        first_line("fragment", 400, b"GET /a#b HTTP/1.1"),
        first_line("empty_fragment", 400, b"GET /a# HTTP/1.1"),
        first_line("fragment_of_a_query", 400, b"GET /a?b#c HTTP/1.1"),
        first_line(
            "fragment_in_absolute_form",
            400,
            b"GET http://h/a#b HTTP/1.1",
        ),
        first_line("connect", 405, b"CONNECT h:443 HTTP/1.1"),
        first_line("connect_to_a_path", 405, b"CONNECT / HTTP/1.1"),
    ])
    .await;
}

#[tokio::test]
async fn up_to_eight_empty_lines_before_a_request_are_skipped() {
    let get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    let after = |count: usize| format!("{}{get}", "\r\n".repeat(count));
    pass(vec![
        ("one_empty_line", after(1).into_bytes(), Some(get.into())),
        ("eight_empty_lines", after(8).into_bytes(), Some(get.into())),
        passing("no_empty_line", get),
    ])
    .await;
    refuse(vec![
        row("nine_empty_lines", 400, after(9)),
        row("a_thousand_empty_lines", 400, after(1_000)),
        row("empty_line_with_a_space", 400, format!(" \r\n{get}")),
        row("carriage_return_alone", 400, format!("\r{get}")),
    ])
    .await;
}
