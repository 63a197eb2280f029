//! What upstreams answer: what is no answer becomes a 502 or an end, and its connection is never used again.

use brownout_telemetry::names;
use brownout_testkit::{RawClient, TestProxy, TestUpstream};
use serde_json::Value;

use super::{OK, Wrong, becomes, has_status};
use crate::table::{self, shown};

/// Answers the first request of all with these pieces, and all others with [`OK`]; its connections stay open.
async fn answering(pieces: Vec<Vec<u8>>) -> TestUpstream {
    let first = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    TestUpstream::raw(move |stream| {
        let (pieces, first) = (pieces.clone(), std::sync::Arc::clone(&first));
        async move {
            let mut connection = RawClient::over(stream);
            while connection.whole_request().await.is_some() {
                if !first.swap(false, std::sync::atomic::Ordering::Relaxed) {
                    connection.send(OK).await;
                    continue;
                }
                for piece in &pieces {
                    // The proxy may have closed the connection meanwhile.
                    drop(connection.try_send(piece).await);
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            }
        }
    })
    .await
}

fn errors(proxy: &TestProxy) -> u64 {
    let kinds = [
        "connect",
        "reset",
        "timeout",
        "protocol",
        "client_disconnect",
    ];
    let counters = kinds.map(|kind| {
        proxy
            .metrics()
            .counter(names::PROXY_ERRORS, &[proxy.route(), kind])
    });
    counters
        .iter()
        .map(brownout_telemetry::Counter::total)
        .sum()
}

/// The next request, on a connection of its own, must have its own answer over a fresh connection.
async fn check_next(proxy: &TestProxy, upstream: &TestUpstream, wrong: &mut Wrong) {
    let mut next = proxy.connect().await;
    next.get("/next").await;
    let answer = next.whole_response(false).await.unwrap_or_default();
    wrong.unless(answer == OK, || {
        format!("the next answer: {:?}", shown(&answer))
    });
    let connections = upstream.connections();
    wrong.unless(connections == 2, || {
        format!("{connections} connections to the upstream")
    });
}

async fn check_bad_gateway(answer: Vec<u8>) {
    let upstream = answering(vec![answer]).await;
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_access_log()
        .start();
    let mut wrong = Wrong::default();
    let mut client = proxy.connect().await;

    client.get("/").await;

    let answer = client.whole_response(false).await.unwrap_or_default();
    let text = shown(&answer);
    wrong.unless(text.starts_with("HTTP/1.1 502 "), || {
        format!("not 502: {text:?}")
    });
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    wrong.unless(problem["route"] == proxy.route(), || {
        "the route is not named".to_owned()
    });
    let is_counted = becomes(|| errors(&proxy) >= 1).await;
    wrong.unless(is_counted && errors(&proxy) == 1, || {
        format!("{} errors are counted", errors(&proxy))
    });
    let is_logged = becomes(|| !proxy.access_lines().is_empty()).await;
    wrong.unless(
        is_logged && has_status(&proxy.access_lines()[0], 502),
        || format!("access lines: {:?}", proxy.access_lines()),
    );
    check_next(&proxy, &upstream, &mut wrong).await;
    wrong.end();
}

#[tokio::test]
async fn what_is_no_answer_becomes_a_502() {
    let fields = |name, fields: &[u8]| {
        let answer = [b"HTTP/1.1 200 OK\r\n", fields, b"\r\n\r\nhello"].concat();
        (name, check_bad_gateway(answer))
    };
    let line = |name, line: &[u8]| {
        let answer = [line, b"\r\nContent-Length: 5\r\n\r\nhello"].concat();
        (name, check_bad_gateway(answer))
    };
    let many: String = (0..1_024).map(|n| format!("x{n}: v\r\n")).collect();
    let large: String = (0..300)
        .map(|_| format!("X: {}\r\n", "v".repeat(1_019)))
        .collect();
    table::hold(vec![
        fields("lengths_that_differ", b"Content-Length: 5\r\nContent-Length: 6"),
        fields("list_of_lengths_that_differ", b"Content-Length: 5, 6"),
        fields("length_with_a_sign", b"Content-Length: +5"),
        fields("negative_length", b"Content-Length: -5"),
        fields("length_of_letters", b"Content-Length: five"),
        fields("empty_length", b"Content-Length:"),
        fields("length_beyond_63_bits", b"Content-Length: 9223372036854775808"),
        fields("length_and_coding", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        fields("coding_and_length", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        fields("gzip_and_chunked", b"Transfer-Encoding: gzip, chunked"),
        fields("chunked_twice", b"Transfer-Encoding: chunked, chunked"),
        fields("carriage_return_in_a_value", b"X: a\rb\r\nContent-Length: 5"),
        fields("nul_in_a_value", b"X: a\0b\r\nContent-Length: 5"),
        fields("folded_with_a_space", b"X: a\r\n b\r\nContent-Length: 5"),
        fields("folded_with_a_tab", b"X: a\r\n\tb\r\nContent-Length: 5"),
        fields("empty_name", b": a\r\nContent-Length: 5"),
        fields("no_colon", b"garbage\r\nContent-Length: 5"),
        fields("a_field_too_many", [many.as_bytes(), b"Content-Length: 5"].concat().as_slice()),
        fields("head_over_256_kib", [large.as_bytes(), b"Content-Length: 5"].concat().as_slice()),
        line("coding_in_an_old_answer", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked"),
        line("another_protocol", b"SSH-2.0-OpenSSH_9.2"),
        line("status_of_letters", b"HTTP/1.1 abc OK"),
        line("status_of_two_digits", b"HTTP/1.1 20 OK"),
        line("status_of_four_digits", b"HTTP/1.1 2000 OK"),
        line("no_status", b"HTTP/1.1 OK"),
        line("no_space_before_the_status", b"HTTP/1.1200 OK"),
        line("status_099", b"HTTP/1.1 099 Low"),
        line("status_000", b"HTTP/1.1 000 None"),
        line("status_600", b"HTTP/1.1 600 High"),
        line("status_999", b"HTTP/1.1 999 Higher"),
        line("version_2", b"HTTP/2.0 200 OK"),
        line("lower_case_protocol", b"http/1.1 200 OK"),
        line("control_byte_in_the_reason", b"HTTP/1.1 200 O\x01K"),
        line("carriage_return_in_the_reason", b"HTTP/1.1 200 O\rK"),
        (
            "switching_protocols_unasked",
            check_bad_gateway(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00".to_vec(),
            ),
        ),
    ])
    .await;
}

/// The client has the head and the first chunk when the rest turns out to be no body; or all comes `at_once`.
async fn check_cut(rest: &'static [u8], at_once: bool) {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let upstream = match at_once {
        true => answering(vec![[head, rest].concat()]).await,
        false => answering(vec![head.to_vec(), rest.to_vec()]).await,
    };
    let proxy = TestProxy::to(&upstream)
        .with_cores(1)
        .with_access_log()
        .start();
    let mut wrong = Wrong::default();
    let mut client = proxy.connect().await;

    client.get("/").await;
    client.read_until(b"first\r\n").await;

    let ended = client.ended().await;
    let is_whole = ended.bytes.windows(3).any(|end| end == b"0\r\n");
    wrong.unless(!is_whole, || format!("an end of the body: {ended:?}"));
    let is_counted = becomes(|| errors(&proxy) >= 1).await;
    wrong.unless(is_counted && errors(&proxy) == 1, || {
        format!("{} errors are counted", errors(&proxy))
    });
    let is_logged = becomes(|| !proxy.access_lines().is_empty()).await;
    wrong.unless(
        is_logged && proxy.access_lines()[0].contains_key("ending"),
        || format!("access lines: {:?}", proxy.access_lines()),
    );
    check_next(&proxy, &upstream, &mut wrong).await;
    wrong.end();
}

#[tokio::test]
async fn an_answer_that_breaks_in_its_chunks_is_never_completed() {
    let rows: [(&str, &'static [u8]); 10] = [
        ("size_of_other_letters", b"zz\r\nmore\r\n0\r\n\r\n"),
        ("no_size", b"\r\nmore\r\n0\r\n\r\n"),
        ("sign_before_the_size", b"+4\r\nmore\r\n0\r\n\r\n"),
        (
            "size_of_17_digits",
            b"00000000000000004\r\nmore\r\n0\r\n\r\n",
        ),
        (
            "size_beyond_64_bits",
            b"10000000000000004\r\nmore\r\n0\r\n\r\n",
        ),
        ("letter_behind_the_chunk", b"4\r\nmoreX\r\n0\r\n\r\n"),
        (
            "control_byte_in_an_extension",
            b"4;\x01\r\nmore\r\n0\r\n\r\n",
        ),
        ("folded_trailer", b"0\r\nX: 1\r\n 2\r\n\r\n"),
        ("trailer_without_a_colon", b"0\r\ngarbage\r\n\r\n"),
        ("nul_in_a_trailer", b"0\r\nX: \0\r\n\r\n"),
    ];
    for at_once in [false, true] {
        let rows = rows.into_iter();
        table::hold(rows.map(|(name, rest)| (name, check_cut(rest, at_once)))).await;
    }
}

#[tokio::test]
async fn what_came_before_a_flaw_passes_though_both_came_in_one_piece() {
    const BEGINNING: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
        Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    const REST: &[u8] = b"6\r\nsecond\r\nzz\r\nmore\r\n0\r\n\r\n";
    for pieces in [
        vec![BEGINNING.to_vec(), REST.to_vec()],
        vec![[BEGINNING, REST].concat()],
        vec![EVENTS.to_vec(), REST.to_vec()],
        vec![[EVENTS, REST].concat()],
    ] {
        let upstream = answering(pieces).await;
        let proxy = TestProxy::to(&upstream).with_cores(1).start();
        let mut client = proxy.connect().await;

        client.get("/").await;

        client.read_until(b"first\r\n6\r\nsecond\r\n").await;
        let ended = client.ended().await;
        let behind = shown(&ended.bytes);
        assert!(!behind.contains("more"), "{behind:?}");
    }
}

/// The answer is whole and good; bytes follow it that nobody asked for.
async fn check_surplus(request: &'static str, answer: &'static str, surplus: Vec<Vec<u8>>) {
    let mut pieces = surplus;
    pieces[0] = [answer.as_bytes(), &pieces[0]].concat();
    let upstream = answering(pieces).await;
    let proxy = TestProxy::to(&upstream).with_cores(1).start();
    let mut wrong = Wrong::default();
    let mut client = proxy.connect().await;

    client.send(request).await;
    let is_head = request.starts_with("HEAD");
    let got = client.whole_response(is_head).await.unwrap_or_default();
    wrong.unless(got == answer.as_bytes(), || {
        format!("the answer: {:?}", shown(&got))
    });
    // Bytes behind the answer have had time to arrive at the idle connection.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    check_next(&proxy, &upstream, &mut wrong).await;
    client.get("/again").await;
    let again = client.whole_response(false).await.unwrap_or_default();
    wrong.unless(again == OK, || {
        format!("the client's next answer: {:?}", shown(&again))
    });
    wrong.end();
}

#[tokio::test]
async fn bytes_behind_an_answer_reach_nobody_and_end_their_connection() {
    const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
    const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let at_once = |bytes: &[u8]| vec![bytes.to_vec()];
    let later = |bytes: &[u8]| vec![Vec::new(), bytes.to_vec()];
    table::hold(vec![
        ("junk_at_once", check_surplus(GET, FINE, at_once(b"junk"))),
        ("junk_later", check_surplus(GET, FINE, later(b"junk"))),
        ("answer_at_once", check_surplus(GET, FINE, at_once(EVIL))),
        ("answer_later", check_surplus(GET, FINE, later(EVIL))),
        ("empty_line", check_surplus(GET, FINE, at_once(b"\r\n"))),
        (
            "body_of_an_answer_to_head",
            check_surplus(
                HEAD,
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
                at_once(b"body"),
            ),
        ),
        (
            "body_of_a_204",
            check_surplus(GET, "HTTP/1.1 204 No Content\r\n\r\n", at_once(EVIL)),
        ),
        (
            "body_of_a_304",
            check_surplus(
                GET,
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
                at_once(b"body"),
            ),
        ),
        (
            "bytes_behind_the_last_chunk",
            check_surplus(
                GET,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
                at_once(EVIL),
            ),
        ),
    ])
    .await;
}
