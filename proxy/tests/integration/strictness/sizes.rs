//! The limits of heads: 256 KiB, 1,024 fields, 64 KiB of target.

use super::{Passing, pass, passing, refuse, row};

const HEAD_BYTES: usize = 256 * 1024;
const HEAD_FIELDS: usize = 1_024;
const TARGET_BYTES: usize = 64 * 1024;

/// With so many fields, `Host` among them.
fn with_fields(count: usize) -> String {
    let fields: String = (1..count).map(|n| format!("x{n}: v\r\n")).collect();
    format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// With a target of so many bytes.
fn with_target(bytes: usize) -> String {
    format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(bytes - 1))
}

/// Of so many bytes, in values of 1 KiB.
fn of_bytes(bytes: usize) -> String {
    let mut head = "GET / HTTP/1.1\r\nHost: h\r\n".to_owned();
    while head.len() + 1_100 < bytes {
        head.push_str("X: ");
        head.push_str(&"v".repeat(1_019));
        head.push_str("\r\n");
    }
    let rest = bytes - head.len() - "Y: \r\n\r\n".len();
    head.push_str("Y: ");
    head.push_str(&"v".repeat(rest));
    head.push_str("\r\n\r\n");
    assert_eq!(head.len(), bytes);
    head
}

#[tokio::test]
async fn heads_over_the_limits_are_refused() {
    refuse(vec![
        row("one_field_too_many", 431, with_fields(HEAD_FIELDS + 1)),
        row("ten_thousand_fields", 431, with_fields(10_000)),
        row("a_byte_too_many", 431, of_bytes(HEAD_BYTES + 1)),
        row("twice_as_many_bytes", 431, of_bytes(2 * HEAD_BYTES)),
        row(
            "a_field_that_never_ends",
            431,
            &of_bytes(2 * HEAD_BYTES)[..HEAD_BYTES + 4_096],
        ),
        row(
            "a_byte_of_target_too_many",
            414,
            with_target(TARGET_BYTES + 1),
        ),
        row("a_target_of_200_kib", 414, with_target(200 * 1024)),
        row(
            "a_target_that_never_ends",
            414,
            format!("GET /{}", "a".repeat(2 * TARGET_BYTES)),
        ),
    ])
    .await;
}

#[tokio::test]
async fn heads_at_the_limits_pass() {
    let rows: Vec<Passing> = vec![
        passing("as_many_fields_as_may_be", with_fields(HEAD_FIELDS)),
        passing("as_many_bytes_as_may_be", of_bytes(HEAD_BYTES)),
        passing("a_target_as_long_as_may_be", with_target(TARGET_BYTES)),
    ];
    pass(rows).await;
}
