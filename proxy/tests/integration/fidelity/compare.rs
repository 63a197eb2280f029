//! What may differ between two connections, taken out of messages before they are compared.

use crate::table::shown;

/// Fields of one connection, whatever they say. `TE` and `Upgrade` are such too, but the proxy says again what it
/// carries out itself.
const OF_THE_HOP: [&str; 3] = ["connection", "keep-alive", "proxy-connection"];
/// What `Connection` cannot take from a message: its framing, its host, and what the hop says again.
const NEVER_STRIPPED: [&str; 6] = [
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "upgrade",
    "close",
];
/// Says where a message ends.
const FRAMING: [&str; 3] = ["content-length", "transfer-encoding", "trailer"];

/// What a proxy passes on of a message: without the fields that its `Connection` names, as HTTP/1.1.
pub(super) fn of_the_message(message: &[u8]) -> Vec<u8> {
    with_heads(message, |lines| {
        let named: Vec<String> = lines
            .iter()
            .filter(|line| name(line) == "connection")
            .flat_map(|line| {
                value(line)
                    .split(',')
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .map(|token| token.trim().to_ascii_lowercase())
            .filter(|token| !token.is_empty() && !NEVER_STRIPPED.contains(&token.as_str()))
            .collect();
        lines.retain(|line| !named.contains(&name(line)));
        let first = shown(&lines[0]);
        if first.contains("HTTP/1.0") {
            lines[0] = first.replace("HTTP/1.0", "HTTP/1.1").into_bytes();
        }
    })
}

/// Without the hop's own fields; the name and value of `Transfer-Encoding` in lower case.
pub(crate) fn stripped(message: &[u8]) -> Vec<u8> {
    with_heads(message, |lines| {
        lines.retain(|line| !OF_THE_HOP.contains(&name(line).as_str()));
        for line in lines.iter_mut() {
            if name(line) == "transfer-encoding" {
                line.make_ascii_lowercase();
            }
        }
    })
}

/// The head without framing fields and the content without chunk framing, of a message whose framing had to change.
pub(super) fn decoded(message: &[u8]) -> (String, String) {
    let mut chunked = false;
    let head = with_heads(message, |lines| {
        chunked = lines.iter().any(|line| name(line) == "transfer-encoding");
        lines.retain(|line| !FRAMING.contains(&name(line).as_str()));
    });
    let end = position(&head, b"\r\n\r\n").expect("a head") + 4;
    let (head, mut body) = head.split_at(end);
    let mut content = Vec::new();
    if chunked {
        loop {
            let line = position(body, b"\r\n").expect("a chunk line");
            let digits = shown(&body[..line]);
            let digits = digits.split(';').next().expect("split gives one");
            let size = usize::from_str_radix(digits, 16).expect("a chunk size");
            if size == 0 {
                break;
            }
            content.extend_from_slice(&body[line + 2..line + 2 + size]);
            body = &body[line + size + 4..];
        }
    } else {
        content.extend_from_slice(body);
    }
    (shown(head), shown(&content))
}

/// Changes the lines of each head, the first line among them: those of interim answers, and that of the message itself.
fn with_heads(message: &[u8], mut change: impl FnMut(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut all = Vec::new();
    let mut rest = message;
    while let Some(end) = position(rest, b"\r\n\r\n") {
        let mut lines: Vec<Vec<u8>> = split_lines(&rest[..end]);
        let first = shown(&lines[0]);
        let is_interim = first.starts_with("HTTP/1.1 1") && !first.starts_with("HTTP/1.1 101");
        change(&mut lines);
        for line in lines {
            all.extend(line);
            all.extend(b"\r\n");
        }
        all.extend(b"\r\n");
        rest = &rest[end + 4..];
        if !is_interim {
            break;
        }
    }
    all.extend_from_slice(rest);
    all
}

fn split_lines(mut head: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while let Some(end) = position(head, b"\r\n") {
        lines.push(head[..end].to_vec());
        head = &head[end + 2..];
    }
    lines.push(head.to_vec());
    lines
}

fn name(line: &[u8]) -> String {
    let end = line.iter().position(|byte| *byte == b':');
    let name = end.map_or(&[][..], |end| &line[..end]);
    shown(name).to_ascii_lowercase()
}

fn value(line: &[u8]) -> String {
    let start = line.iter().position(|byte| *byte == b':');
    shown(start.map_or(&[][..], |start| &line[start + 1..]))
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
