//! Chunked bodies of requests. What was read of them may have gone to the upstream: it must not look whole there.

use brownout_testkit::{RawClient, TestProxy, TestUpstream, within};
use tokio::sync::mpsc;

use super::{Recorder, SMUGGLED, Wrong, becomes, check_answer, check_trace, pass, passing};
use crate::table::{self, shown};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

const BROKEN: [(&str, &[u8]); 27] = [
    ("size_of_other_letters", b"zz\r\nhello\r\n0\r\n\r\n"),
    ("no_size", b"\r\nhello\r\n0\r\n\r\n"),
    ("extension_without_a_size", b";a=b\r\nhello\r\n0\r\n\r\n"),
    ("space_behind_the_size", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("space_before_the_size", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("plus_before_the_size", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("minus_before_the_size", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("prefix_of_hexadecimal", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("underscore_in_the_size", b"0_5\r\nhello\r\n0\r\n\r\n"),
    (
        "size_of_17_digits",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "size_beyond_64_bits",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    ("line_feed_behind_the_size", b"5\nhello\r\n0\r\n\r\n"),
    ("carriage_return_behind_the_size", b"5\rhello\r\n0\r\n\r\n"),
    ("line_feed_behind_the_last_size", b"5\r\nhello\r\n0\n\r\n"),
    ("letter_behind_the_chunk", b"5\r\nhelloX\r\n0\r\n\r\n"),
    ("nothing_behind_the_chunk", b"5\r\nhello0\r\n\r\n"),
    ("line_feed_behind_the_chunk", b"5\r\nhello\n0\r\n\r\n"),
    (
        "control_byte_in_an_extension",
        b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
    ),
    ("nul_in_an_extension", b"5;\0\r\nhello\r\n0\r\n\r\n"),
    (
        "carriage_return_in_an_extension",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    ),
    ("line_feed_in_an_extension", b"5;a\nhello\r\n0\r\n\r\n"),
    (
        "line_feed_in_the_last_extension",
        b"5\r\nhello\r\n0;a\n\r\n",
    ),
    (
        "space_before_the_colon_of_a_trailer",
        b"5\r\nhello\r\n0\r\nX : 1\r\n\r\n",
    ),
    ("folded_trailer", b"5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n"),
    (
        "trailer_without_a_colon",
        b"5\r\nhello\r\n0\r\ngarbage\r\n\r\n",
    ),
    ("nul_in_a_trailer", b"5\r\nhello\r\n0\r\nX: \0\r\n\r\n"),
    (
        "line_feed_behind_a_trailer",
        b"5\r\nhello\r\n0\r\nX: 1\n\r\n",
    ),
];

async fn check_broken(body: &'static [u8]) {
    let mut recorder = Recorder::start().await;
    let proxy = TestProxy::to(&recorder.upstream)
        .with_cores(1)
        .with_access_log()
        .start();
    let mut wrong = Wrong::default();
    // In one write with the head; behind it; and with another request behind that.
    for (round, pieces) in [
        vec![[HEAD.as_bytes(), body].concat()],
        vec![HEAD.as_bytes().to_vec(), body.to_vec()],
        vec![[HEAD.as_bytes(), body, SMUGGLED].concat()],
    ]
    .iter()
    .enumerate()
    {
        let mut client = proxy.connect().await;
        for piece in pieces {
            // It may be refused before all of it was taken.
            drop(client.try_send(piece).await);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        check_answer(&mut client, &proxy, 400, &mut wrong).await;
        check_trace(&proxy, 400, round + 1, &mut wrong).await;
        if !wrong.0.is_empty() {
            break; // What is wrong once is not waited for again.
        }
    }
    let whole: Vec<String> = recorder
        .requests()
        .iter()
        .map(|got| shown(got))
        .filter(|request| !request.ends_with("(cut short)"))
        .collect();
    wrong.unless(whole.is_empty(), || {
        format!("whole for the upstream: {whole:?}")
    });
    wrong.end();
}

#[tokio::test]
async fn chunks_that_two_parsers_could_read_differently_are_refused() {
    let rows = BROKEN.into_iter();
    table::hold(rows.map(|(name, body)| (name, check_broken(body)))).await;
}

#[tokio::test]
async fn chunks_at_the_limits_pass() {
    pass(vec![
        passing(
            "size_of_16_digits",
            format!("{HEAD}0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n"),
        ),
        passing(
            "tab_and_letters_beyond_ascii_in_an_extension",
            [HEAD.as_bytes(), b"5;a=\"\t\xe9\"\r\nhello\r\n0\r\n\r\n"].concat(),
        ),
        passing(
            "trailer_without_a_value",
            format!("{HEAD}5\r\nhello\r\n0\r\nX:\r\n\r\n"),
        ),
    ])
    .await;
}

/// Once the client has an answer there is no second one: both connections end, and the upstream never sees an end.
#[tokio::test]
async fn a_chunk_that_breaks_behind_an_early_answer_ends_both_connections() {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let sender = sender.clone();
        async move {
            let mut connection = RawClient::over(stream);
            connection.read_until(b"5\r\nhello\r\n").await;
            connection
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n")
                .await;
            sender.send(connection.ended().await).ok(); // The test may have ended.
        }
    })
    .await;
    let proxy = TestProxy::to(&upstream).with_access_log().start();
    let mut client = proxy.connect().await;

    client.send(format!("{HEAD}5\r\nhello\r\n")).await;
    client.read_until(b"early\r\n").await;
    client.send("zz\r\n\r\n0\r\n\r\n").await;

    let upstreams = within("the upstream's connection to end", ended.recv()).await;
    let upstreams = upstreams.expect("the upstream runs");
    assert!(
        !upstreams.bytes.windows(5).any(|end| end == b"0\r\n\r\n"),
        "whole for the upstream: {upstreams:?}"
    );
    let clients = client.ended().await;
    assert!(clients.bytes.is_empty(), "no last chunk: {clients:?}");
    assert!(becomes(|| proxy.access_lines().len() == 1).await);
}
