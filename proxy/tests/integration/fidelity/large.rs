//! Heads and bodies of sizes that real systems have, up to the engine's limits.

use super::{GET, OK, answer, case, hold, request};

fn fields(count: usize, length: usize) -> String {
    let lines = (0..count).map(|n| format!("X-{n}: {}\r\n", "v".repeat(length)));
    lines.collect()
}

#[tokio::test]
async fn large_heads_pass() {
    let cookies = |count: usize, name: &str| -> String {
        let lines = (0..count).map(|n| format!("{name}: a{n}={}\r\n", "x".repeat(90)));
        lines.collect()
    };
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let ok = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(32 * 1024));
    let long_query = format!(
        "GET /?{} HTTP/1.1\r\nHost: h\r\n\r\n",
        "q".repeat(60 * 1024)
    );
    hold(vec![
        request("twenty_cookies", get(&cookies(20, "Cookie"))),
        request("a_hundred_and_twenty_fields", get(&fields(120, 1))),
        request("a_thousand_fields", get(&fields(1_000, 3))),
        request("fields_of_64_kib", get(&fields(64, 1_015))),
        request("one_value_of_100_kib", get(&fields(1, 100 * 1024))),
        request("fields_of_200_kib", get(&fields(200, 1_015))),
        request("target_of_32_kib", long_target),
        request("query_of_60_kib", long_query),
        request(
            "name_of_1_kib",
            get(&format!("X{}: v\r\n", "n".repeat(1_024))),
        ),
        answer("set_cookie_150_times", ok(&cookies(150, "Set-Cookie"))),
        answer("answer_with_a_thousand_fields", ok(&fields(1_000, 3))),
        answer("answer_with_fields_of_64_kib", ok(&fields(64, 1_015))),
        answer(
            "answer_with_one_value_of_100_kib",
            ok(&fields(1, 100 * 1024)),
        ),
    ])
    .await;
}

#[tokio::test]
async fn large_bodies_pass() {
    let content: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();
    let sized = |first: &str, content: &[u8]| {
        let head = format!("{first}Content-Length: {}\r\n\r\n", content.len());
        [head.as_bytes(), content].concat()
    };
    // Chunks of an ordinary size have an extension each; those of a few bytes have none.
    let chunked = |first: &str, content: &[u8], size: usize| {
        let extension = if size > 1_024 { ";n=1" } else { "" };
        let mut message = format!("{first}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in content.chunks(size) {
            message.extend(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
            message.extend_from_slice(chunk);
            message.extend(b"\r\n");
        }
        message.extend(b"0\r\nX-Sum: 1\r\n\r\n");
        message
    };
    const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\n";
    const ANSWER: &str = "HTTP/1.1 200 OK\r\n";
    hold(vec![
        request("upload_of_6_mb", sized(POST, &content)),
        request(
            "upload_in_chunks_of_200_kb",
            chunked(POST, &content, 200_000),
        ),
        request(
            "upload_in_chunks_of_7_bytes",
            chunked(POST, &content[..50_000], 7),
        ),
        answer("answer_of_6_mb", sized(ANSWER, &content)),
        answer(
            "answer_in_chunks_of_200_kb",
            chunked(ANSWER, &content, 200_000),
        ),
        answer(
            "answer_in_chunks_of_7_bytes",
            chunked(ANSWER, &content[..50_000], 7),
        ),
        case(
            "both",
            sized(POST, &content),
            chunked(ANSWER, &content, 65_537),
        ),
        case("small_after_large", GET, OK),
    ])
    .await;
}
