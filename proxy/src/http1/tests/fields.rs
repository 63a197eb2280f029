//! Field lines are found, changed and written.

use super::request;
use crate::http1::{FieldKind, Fields};

fn fields(lines: &str) -> Fields {
    request(format!("GET / HTTP/1.0\r\n{lines}\r\n").as_bytes())
        .unwrap()
        .0
        .fields
}

fn written(fields: &Fields) -> String {
    let mut out = Vec::new();
    fields.write_to(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn fields_are_found_by_name_and_by_kind_in_any_case() {
    let fields =
        fields("A: 1\r\nconnection: x, Close\r\na: 2\r\nCONNECTION:,upgrade ,\r\nAB: 3\r\n");

    assert_eq!(fields.get("a"), Some(&b"1"[..]));
    assert_eq!(fields.all("A").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(
        fields.get("Connection"),
        fields.get_kind(FieldKind::Connection)
    );
    assert_eq!(fields.all_kind(FieldKind::Connection).count(), 2);
    assert_eq!(fields.get("b"), None);
    for (token, expected) in [
        ("close", true),
        ("UPGRADE", true),
        ("x", true),
        ("clos", false),
        ("", false),
    ] {
        assert_eq!(
            fields.lists(FieldKind::Connection, token),
            expected,
            "{token}"
        );
    }
    assert!(!fields.has_kind(FieldKind::Host) && fields.get_kind(FieldKind::Host).is_none());
    assert_eq!((fields.len(), fields.is_empty()), (5, false));
}

#[test]
fn each_kind_is_told_by_its_name() {
    for (name, kind) in [
        ("Connection", FieldKind::Connection),
        ("Keep-Alive", FieldKind::KeepAlive),
        ("Proxy-Connection", FieldKind::ProxyConnection),
        ("Transfer-Encoding", FieldKind::TransferEncoding),
        ("Content-Length", FieldKind::ContentLength),
        ("TE", FieldKind::Te),
        ("Trailer", FieldKind::Trailer),
        ("Upgrade", FieldKind::Upgrade),
        ("HTTP2-Settings", FieldKind::Http2Settings),
        ("Host", FieldKind::Host),
        ("Expect", FieldKind::Expect),
        ("traceparent", FieldKind::Traceparent),
        ("tracestate", FieldKind::Tracestate),
    ] {
        for name in [
            name.to_owned(),
            name.to_ascii_uppercase(),
            name.to_ascii_lowercase(),
        ] {
            assert_eq!(FieldKind::of(name.as_bytes()), kind, "{name}");
            let near = format!("{}x", &name[..name.len() - 1]);
            assert_eq!(FieldKind::of(near.as_bytes()), FieldKind::Other, "{near}");
        }
    }
    assert_eq!(FieldKind::of(b""), FieldKind::Other);
}

#[test]
fn a_field_is_replaced_where_it_stands() {
    let mut fields = fields("A:1\r\nB: 2\r\na: 3\r\nC:  4 \r\n");

    fields.set("a", b"new");
    fields.set("D", b"5");
    fields.append("B", b"");

    assert_eq!(
        written(&fields),
        "a: new\r\nB: 2\r\nC:  4 \r\nD: 5\r\nB: \r\n"
    );
    assert_eq!(fields.get("A"), Some(&b"new"[..]));
    assert_eq!(fields.all("b").collect::<Vec<_>>(), [&b"2"[..], b""]);
}

#[test]
fn a_field_that_is_told_by_its_kind_keeps_its_name() {
    let mut fields = fields("hOST: a\r\nA: b\r\n");

    fields.set_kind(FieldKind::Host, "Host", b"c");
    fields.set_kind(FieldKind::Te, "TE", b"trailers");

    assert_eq!(written(&fields), "hOST: c\r\nA: b\r\nTE: trailers\r\n");
}

#[test]
fn fields_are_removed() {
    let mut fields = fields("A: 1\r\nHost: h\r\na: 2\r\nB: 3\r\nX-A: 4\r\n");

    assert!(fields.remove("a"));
    assert!(!fields.remove("a"));
    assert!(fields.remove_kind(FieldKind::Host));
    assert!(!fields.remove_kind(FieldKind::Host));
    assert!(fields.retain(|_, _, value| value != b"3"));

    assert_eq!(written(&fields), "X-A: 4\r\n");
    fields.set("Host", b"again");
    assert_eq!(fields.get_kind(FieldKind::Host), Some(&b"again"[..]));
}

#[test]
fn a_kind_of_several_names_tells_them_apart() {
    const LINES: &str = "X-Request-Id: 1\r\nIdempotency-Key: 2\r\nX-Retry-Count: 3\r\n";
    for (name, left) in [
        ("x-request-id", "Idempotency-Key: 2\r\nX-Retry-Count: 3\r\n"),
        ("idempotency-key", "X-Request-Id: 1\r\nX-Retry-Count: 3\r\n"),
        ("x-retry-count", "X-Request-Id: 1\r\nIdempotency-Key: 2\r\n"),
        ("amz-sdk-request", LINES),
    ] {
        let mut fields = fields(LINES);
        assert_eq!(FieldKind::of(name.as_bytes()), FieldKind::Evidence);

        assert_eq!(fields.remove(name), left != LINES, "{name}");

        assert_eq!(written(&fields), left);
        assert_eq!(fields.get(name), None);
        fields.set(name, b"4");
        assert_eq!(written(&fields), format!("{left}{name}: 4\r\n"));
        assert_eq!(
            fields.iter_kind(FieldKind::Evidence).count(),
            3 + usize::from(left == LINES)
        );
    }
}

#[test]
fn a_cleared_head_keeps_its_memory() {
    let mut fields = fields(&"A: b\r\n".repeat(100));
    let held = fields.capacity();

    fields.clear();

    assert!(fields.is_empty() && fields.get("A").is_none());
    assert!(held > 600 && fields.capacity() == held);
}
