//! Heads and bodies to try: mostly right, often nearly so.

use proptest::{collection::vec, prelude::*, sample::select};

/// Bytes that mean something to a parser.
const SPECIAL: &[u8] = b"\r\n\t :;,=\"\\\x00\x0b\x7f\x80\xff#?/*@[]a0";

fn any_of(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(choices).prop_map(str::to_owned)
}

/// Mostly the first.
fn mostly(usual: &'static str, others: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![8 => Just(usual.to_owned()), 1 => any_of(others)]
}

fn field() -> impl Strategy<Value = String> {
    let named = prop_oneof![
        any_of(&[
            "content-length: 5",
            "Content-Length: 0",
            "CONTENT-LENGTH:7",
            "Content-Length: 5, 5",
            "content-length: +5"
        ]),
        any_of(&[
            "transfer-encoding: chunked",
            "Transfer-Encoding:ChunKed",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: x"
        ]),
        any_of(&[
            "connection: close",
            "Connection: keep-alive, X-A",
            "connection: upgrade",
            "connection: content-length"
        ]),
        any_of(&[
            "upgrade: websocket",
            "Upgrade: h2c",
            "http2-settings: AAA",
            "te: trailers",
            "keep-alive: 5",
            "expect: 100-continue"
        ]),
        any_of(&["host: h", "Host: [::1]:80", "host: a b", "host:"]),
    ];
    let free = (
        "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}",
        select(&[":", ": ", ":\t ", " :", ""][..]),
        "[ -~\t\u{e9}]{0,16}",
    )
        .prop_map(|(name, colon, value)| format!("{name}{colon}{value}"));
    let plain =
        ("[A-Za-z-]{1,12}", "[!-~]{0,16}").prop_map(|(name, value)| format!("{name}: {value}"));
    let field = prop_oneof![3 => named, 1 => free, 4 => plain];
    (field, mostly("\r\n", &["\n", "\r", " \r\n", "\r\n ", ""]))
        .prop_map(|(field, end)| field + &end)
}

fn changed(input: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), select(SPECIAL), 0..3_u8);
    let changes = prop_oneof![3 => Just(Vec::new()), 1 => vec(change, 1..3)];
    (input, changes).prop_map(|(mut input, changes)| {
        for (at, byte, how) in changes {
            let at = at.index(input.len() + 1);
            match how {
                0 => input.insert(at, byte),
                1 if at < input.len() => input[at] = byte,
                _ if at < input.len() => drop(input.remove(at)),
                _ => {}
            }
        }
        input
    })
}

/// Heads of requests.
pub(super) fn requests() -> impl Strategy<Value = Vec<u8>> {
    let line = (
        mostly(
            "GET",
            &["POST", "OPTIONS", "CONNECT", "HEAD", "PRI", "X!", "G T", ""],
        ),
        prop_oneof![
            6 => Just("/a?b=c".to_owned()),
            1 => "/[!-~]{0,8}",
            1 => any_of(&["*", "http://h/a", "HTTPS://u:p@h:80", "a:80", "a", "/\u{e9}", "/ b", ""]),
        ],
        mostly(
            "HTTP/1.1",
            &[
                "HTTP/1.0",
                "HTTP/1.2",
                "HTTP/2.0",
                "http/1.1",
                "HTTP/1.1 ",
                "",
            ],
        ),
        mostly("\r\n", &["\n", "\r"]),
        mostly("Host: h\r\n", &["", "host: a\r\nhost: b\r\n"]),
    );
    let line = line.prop_map(|(method, target, version, end, host)| {
        format!("{method} {target} {version}{end}{host}")
    });
    changed(head(line))
}

/// Heads of answers.
pub(super) fn answers() -> impl Strategy<Value = Vec<u8>> {
    let line = (
        mostly("HTTP/1.1", &["HTTP/1.0", "HTTP/2", "HTTP/1.2"]),
        prop_oneof![4 => Just(" 200".to_owned()), 1 => any_of(&[" 204", " 304", " 100", " 101", " 600", "  200", " 20"])],
        mostly(" OK", &["", " ", " \u{e9} \t", "x"]),
        mostly("\r\n", &["\n", "\r"]),
    );
    let line =
        line.prop_map(|(version, status, reason, end)| format!("{version}{status}{reason}{end}"));
    changed(head(line))
}

fn head(line: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    (line, vec(field(), 0..6), mostly("\r\n", &["\n", "\r", ""]))
        .prop_map(|(line, fields, end)| (line + &fields.concat() + &end).into_bytes())
}

/// Chunked bodies.
pub(super) fn chunked() -> impl Strategy<Value = Vec<u8>> {
    let extension = mostly(
        "",
        &[
            ";a",
            ";a=b",
            " ; a = \"b\\\"c\" ;d",
            ";",
            ";a=\"",
            " ",
            ";a=\x01",
        ],
    );
    let chunk = (
        vec(any::<u8>(), 1..20),
        extension,
        mostly("\r\n", &["\n", "\r", ""]),
    )
        .prop_map(|(data, extension, end)| {
            let mut chunk = format!("{:x}{extension}{end}", data.len()).into_bytes();
            chunk.extend(data);
            chunk.extend(b"\r\n");
            chunk
        });
    let last = mostly(
        "0\r\n",
        &["0;a=b\r\n", "000\r\n", "00000000000000000\r\n", "0\n", ""],
    );
    let chunked = (
        vec(chunk, 0..4),
        last,
        vec(field(), 0..2),
        mostly("\r\n", &["\n", ""]),
    );
    changed(chunked.prop_map(|(chunks, last, trailers, end)| {
        let mut body = chunks.concat();
        body.extend((last + &trailers.concat() + &end).into_bytes());
        body
    }))
}
