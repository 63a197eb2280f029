//! What a hop changes, and nothing else.

use super::{answer, request};
use crate::http1::{
    Outgoing, OutgoingHost, Persistence, expects_continue, to_client, to_upstream, write_request,
    write_response,
};

/// What goes to the upstream for these lines of a head, and whether it asks for an upgrade.
fn forwarded_as(lines: &str, framing: Outgoing) -> (String, bool) {
    let (mut head, _) = request(format!("{lines}\r\n").as_bytes()).unwrap();
    let upgrades = to_upstream(&mut head, OutgoingHost::KeptOr("up:90"), framing);
    let mut out = Vec::new();
    write_request(&head, &mut out);
    (
        String::from_utf8(out)
            .unwrap()
            .strip_suffix("\r\n")
            .unwrap()
            .to_owned(),
        upgrades,
    )
}

fn forwarded(lines: &str) -> String {
    forwarded_as(lines, Outgoing::Keep).0
}

fn passed_as(lines: &str, framing: Outgoing, persistence: Persistence) -> String {
    let (mut head, _) = answer(format!("{lines}\r\n").as_bytes()).unwrap();
    to_client(&mut head, framing, persistence);
    let mut out = Vec::new();
    write_response(&head, &mut out);
    String::from_utf8(out)
        .unwrap()
        .strip_suffix("\r\n")
        .unwrap()
        .to_owned()
}

fn passed(lines: &str) -> String {
    passed_as(lines, Outgoing::Keep, Persistence::Unsaid)
}

#[test]
fn a_request_without_fields_of_the_connection_is_not_changed() {
    for lines in [
        "GET /a?b HTTP/1.1\r\nx: 1\r\nhOST:h\r\nX:2\r\nx: 3 \r\nempty:\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: ChunkeD\r\nTrailer: x\r\nExpect: 100-continue\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 05\r\nHost: h\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nTE: Trailers\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nProxy-Authorization: x\r\n",
    ] {
        assert_eq!(forwarded(lines), lines);
    }
}

#[test]
fn a_route_may_say_another_host() {
    for (lines, wanted) in [
        (
            "GET / HTTP/1.1\r\nA: 1\r\nhOST:  h:1\r\nB: 2\r\n",
            "GET / HTTP/1.1\r\nA: 1\r\nhOST: api.test\r\nB: 2\r\n",
        ),
        (
            "GET http://other/x HTTP/1.1\r\nHost: h\r\n",
            "GET /x HTTP/1.1\r\nHost: api.test\r\n",
        ),
        ("GET / HTTP/1.0\r\n", "GET / HTTP/1.1\r\nHost: api.test\r\n"),
    ] {
        let (mut head, _) = request(format!("{lines}\r\n").as_bytes()).unwrap();

        let upgrades = to_upstream(&mut head, OutgoingHost::Is("api.test"), Outgoing::Keep);

        let mut out = Vec::new();
        write_request(&head, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{wanted}\r\n"));
        assert!(!upgrades);
    }
}

#[test]
fn fields_of_the_connection_stay_behind() {
    let lines = "GET / HTTP/1.1\r\nConnection: keep-alive, X-Mine\r\nx-a: 1\r\nHost: h\r\nKeep-Alive: timeout=5\r\n\
                 Proxy-Connection: keep-alive\r\nX-MINE: 1\r\nUpgrade: websocket\r\nTE: gzip\r\nconnection:,x-b, close\r\n\
                 x-mine: 2\r\nX-B: 3\r\nClose: 4\r\nx-c: 5\r\n";

    assert_eq!(
        forwarded(lines),
        "GET / HTTP/1.1\r\nx-a: 1\r\nHost: h\r\nClose: 4\r\nx-c: 5\r\n"
    );
}

#[test]
fn connection_cannot_take_away_what_frames_or_addresses_the_message() {
    let named = "content-length, host, transfer-encoding, trailer, te";
    for framing in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
        let lines = format!(
            "POST / HTTP/1.1\r\nHost: h\r\nConnection: {named}\r\n{framing}\r\nTrailer: x\r\nTE: trailers\r\n"
        );
        let kept =
            format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\nTrailer: x\r\nTE: trailers\r\n");
        assert_eq!(forwarded(&lines), kept);
    }
}

#[test]
fn te_is_kept_for_trailers_alone() {
    let with = |te: &str| format!("GET / HTTP/1.1\r\n{te}Host: h\r\n");

    assert_eq!(
        forwarded(&with("te: gzip;q=0.5, trailers\r\n")),
        with("te: trailers\r\n")
    );
    assert_eq!(
        forwarded(&with("TE: trailers\r\nTE: gzip\r\n")),
        with("TE: trailers\r\n")
    );
    assert_eq!(forwarded(&with("TE: gzip\r\n")), with(""));
}

#[test]
fn an_upgrade_is_passed_on_when_the_connection_asks_for_it() {
    let with =
        |version: &str, fields: &str| format!("GET /chat HTTP/{version}\r\nHost: h\r\n{fields}");
    let asks = |fields: &str| forwarded_as(&with("1.1", fields), Outgoing::Keep);

    for (fields, kept) in [
        (
            "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n",
            "Connection: upgrade\r\nUpgrade: WebSocket\r\n",
        ),
        (
            "connection: upgrade, http2-settings\r\nUpgrade: h2c, a/1 ,b\r\nHTTP2-Settings: AAA\r\n",
            "connection: upgrade\r\nUpgrade: a/1, b\r\n",
        ),
        (
            "Connection: x-a, upgrade\r\nX-A: 1\r\nUpgrade: a\r\nUpgrade: b\r\n",
            "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n",
        ),
    ] {
        assert_eq!(asks(fields), (with("1.1", kept), true));
    }
    for fields in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: H2C\r\nHTTP2-Settings: AAA\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade:\r\n",
        "Connection: close\r\nUpgrade: websocket\r\n",
        "Upgrade: websocket\r\n",
        "HTTP2-Settings: AAA\r\n",
    ] {
        assert_eq!(asks(fields), (with("1.1", ""), false), "{fields}");
    }
    let in_1_0 = with("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(
        forwarded_as(&in_1_0, Outgoing::Keep),
        (with("1.1", ""), false)
    );
}

#[test]
fn host_is_kept_as_sent_and_filled_in_where_missing() {
    assert_eq!(
        forwarded("GET / HTTP/1.0\r\nhost: Shop.Example:80\r\n"),
        "GET / HTTP/1.1\r\nhost: Shop.Example:80\r\n"
    );
    assert_eq!(
        forwarded("GET / HTTP/1.0\r\nA: b\r\n"),
        "GET / HTTP/1.1\r\nA: b\r\nhost: up:90\r\n"
    );
}

#[test]
fn absolute_form_becomes_origin_form() {
    for (line, origin, host) in [
        (
            "GET http://user:pw@shop.example:81/a%20b?c=d",
            "GET /a%20b?c=d",
            "shop.example:81",
        ),
        ("GET HTTPS://Shop", "GET /", "Shop"),
        ("GET http://shop?a=http://b/", "GET /?a=http://b/", "shop"),
        ("OPTIONS http://shop:80", "OPTIONS *", "shop:80"),
        ("OPTIONS http://shop/", "OPTIONS /", "shop"),
        ("OPTIONS http://shop?a", "OPTIONS /?a", "shop"),
    ] {
        let lines = format!("{line} HTTP/1.1\r\nA: b\r\nhOst: other\r\nC: d\r\n");
        assert_eq!(
            forwarded(&lines),
            format!("{origin} HTTP/1.1\r\nA: b\r\nhOst: {host}\r\nC: d\r\n")
        );
        let without = format!("{line} HTTP/1.0\r\nA: b\r\n");
        assert_eq!(
            forwarded(&without),
            format!("{origin} HTTP/1.1\r\nA: b\r\nHost: {host}\r\n")
        );
    }
}

#[test]
fn framing_goes_out_as_it_is_asked_for() {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}A: b\r\n");
    let (five, chunked) = ("content-length: 5\r\n", "transfer-encoding: Chunked\r\n");

    for (came, framing, goes) in [
        (five, Outgoing::Sized(5), with(five)),
        (five, Outgoing::Sized(60), with("content-length: 60\r\n")),
        (five, Outgoing::None, with("")),
        (
            five,
            Outgoing::Chunked,
            with("") + "Transfer-Encoding: chunked\r\n",
        ),
        (chunked, Outgoing::Chunked, with(chunked)),
        (chunked, Outgoing::None, with("")),
        (
            chunked,
            Outgoing::Sized(0),
            with("") + "Content-Length: 0\r\n",
        ),
        (
            "",
            Outgoing::Sized(u64::MAX),
            with("") + "Content-Length: 18446744073709551615\r\n",
        ),
    ] {
        assert_eq!(forwarded_as(&with(came), framing).0, goes);
    }
}

#[test]
fn an_answer_is_changed_in_its_hop_by_hop_fields_alone() {
    let lines = "HTTP/1.1 200 \u{e9}k\r\nx: 1\r\nConnection: close, X-Mine\r\nDate: d\r\nX-Mine: 1\r\nTE: trailers\r\n\
                 Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX: 2\r\nTransfer-Encoding: chunked\r\n";

    assert_eq!(
        passed(lines),
        "HTTP/1.1 200 \u{e9}k\r\nx: 1\r\nDate: d\r\nX: 2\r\nTransfer-Encoding: chunked\r\n"
    );
    let same = "HTTP/1.1 304 \r\nContent-Length: 5\r\nProxy-Authenticate: x\r\nTrailer: x\r\n";
    assert_eq!(passed(same), same);
    assert_eq!(passed("HTTP/1.0 200 OK\r\n"), "HTTP/1.1 200 OK\r\n");
}

#[test]
fn an_answer_keeps_upgrade_where_it_means_something() {
    let with = |status: &str, fields: &str| format!("HTTP/1.1 {status} S\r\n{fields}");
    let upgrade = "connection: Upgrade\r\nupgrade: websocket\r\n";

    assert_eq!(passed(&with("101", upgrade)), with("101", upgrade));
    assert_eq!(passed(&with("426", upgrade)), with("426", upgrade));
    assert_eq!(
        passed(&with("426", "Upgrade: a\r\n")),
        with("426", "Upgrade: a\r\nConnection: upgrade\r\n")
    );
    assert_eq!(
        passed(&with("101", "Connection: upgrade\r\n")),
        with("101", "")
    );
    assert_eq!(passed(&with("200", upgrade)), with("200", ""));
}

#[test]
fn answers_that_cannot_have_content_say_no_length() {
    for status in ["100", "103", "101", "204"] {
        let lines = format!("HTTP/1.1 {status} S\r\nA: b\r\nContent-Length: 0\r\n");
        assert_eq!(passed(&lines), format!("HTTP/1.1 {status} S\r\nA: b\r\n"));
    }
}

#[test]
fn an_answer_says_whether_its_connection_is_kept() {
    let lines = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nA: b\r\n";

    let said = |lines: &str, persistence| passed_as(lines, Outgoing::Keep, persistence);

    assert_eq!(
        said(lines, Persistence::Close),
        "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n"
    );
    assert_eq!(
        said(lines, Persistence::KeepAlive),
        "HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive\r\n"
    );
    let upgrade = "HTTP/1.1 426 U\r\nConnection: upgrade\r\nUpgrade: a\r\n";
    assert_eq!(
        said(upgrade, Persistence::Close),
        "HTTP/1.1 426 U\r\nConnection: upgrade, close\r\nUpgrade: a\r\n"
    );
}

#[test]
fn expect_is_known_to_1_1_alone() {
    let expects = |version: &str, value: &str| {
        let input = format!("PUT / HTTP/{version}\r\nHost: h\r\nExpect: {value}\r\n\r\n");
        expects_continue(&request(input.as_bytes()).unwrap().0)
    };

    assert!(expects("1.1", "100-Continue"));
    assert!(!expects("1.1", "200-ok"));
    assert!(!expects("1.0", "100-continue"));
}
