//! Other protocols on a plain listener are told so in their own words.

use brownout_testkit::{How, TestProxy};

use super::{Recorder, becomes, refuse, refused, row};

/// The start of a `ClientHello` as OpenSSL sends it: a handshake record of TLS 1.0, 512 bytes, TLS 1.2 inside.
fn client_hello() -> Vec<u8> {
    let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    hello.resize(5 + 512, 7);
    hello
}

#[tokio::test]
async fn tls_on_a_plain_listener_is_refused_with_a_word_about_it() {
    refuse(vec![row("client_hello", 400, client_hello())]).await;

    let recorder = Recorder::start().await;
    let proxy = TestProxy::to(&recorder.upstream).start();
    let mut client = proxy.connect().await;
    client.send(client_hello()).await;
    let answer = client.response().await;
    assert!(answer.text().contains("TLS"), "{}", answer.text());
}

#[tokio::test]
async fn the_preface_of_http2_behind_a_request_gets_settings_and_then_goaway() {
    const HTTP_1_1_REQUIRED: u32 = 0xd;
    let mut recorder = Recorder::start().await;
    let proxy = TestProxy::to(&recorder.upstream).with_access_log().start();
    for (count, settings) in [&b""[..], b"\0\0\0\x04\0\0\0\0\0"].iter().enumerate() {
        let mut client = proxy.connect().await;
        client.get("/").await;
        client.response().await;
        client
            .send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", *settings].concat())
            .await;

        let ended = client.ended().await;

        let frames = frames(&ended.bytes);
        let kinds: Vec<u8> = frames.iter().map(|(kind, _)| *kind).collect();
        // Perhaps with the acknowledgement of the client's settings between them.
        assert_eq!(
            (kinds.first(), kinds.last()),
            (Some(&4), Some(&7)),
            "{ended:?}"
        );
        let goaway = &frames.last().expect("there is one").1;
        let code = u32::from_be_bytes(goaway[4..8].try_into().expect("four bytes"));
        assert_eq!(code, HTTP_1_1_REQUIRED);
        assert_eq!(ended.how, How::Fin);
        let counted = || refused(proxy.metrics(), proxy.route());
        assert!(
            becomes(|| counted() == count as u64 + 1).await,
            "{}",
            counted()
        );
    }
    assert_eq!(recorder.requests().len(), 2);
}

#[tokio::test]
async fn other_protocols_are_logged_once_a_minute_each() {
    let recorder = Recorder::start().await;
    let proxy = TestProxy::to(&recorder.upstream).with_access_log().start();
    let said = |word: &str| {
        let lines = proxy.log_lines().into_iter();
        lines
            .filter(|line| line.values().any(|value| value.to_string().contains(word)))
            .count()
    };

    for _ in 0..5 {
        for bytes in [&client_hello()[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut client = proxy.connect().await;
            if bytes.starts_with(b"PRI") {
                client.get("/").await;
                client.response().await;
            }
            client.send(bytes).await;
            client.ended().await;
        }
    }

    assert!(
        becomes(|| said("TLS") > 0 && said("HTTP/2") > 0).await,
        "{:?}",
        proxy.log_lines()
    );
    assert_eq!(proxy.log_lines().len(), 2, "{:?}", proxy.log_lines());
}

/// Kind and payload of each frame (RFC 9113 §4.1), all of them on the connection as a whole.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        assert_eq!(head[5..9], [0; 4], "a frame of a stream");
        assert!(rest.len() >= length, "a whole frame");
        frames.push((head[3], rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "frames and nothing else: {bytes:?}");
    frames
}
