//! Bytes read in arbitrary pieces give the same messages as in one piece, and as the reader of the grammar gives.
//!
//! The fuzz target `differential` includes this file: it uses nothing but the codec and `reader`.

use super::reader;
use crate::http1::{
    decoder::Decoder,
    forwarding::{Outgoing, OutgoingHost, to_upstream, write_request, write_response},
    framing::{BodyLength, request_body, response_body},
    head::{FieldKind, Fields, HeadLimits, HeadSearch, RequestHead, ResponseHead},
};

/// Which side of the proxy the bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    /// With whether the requests are HEAD.
    Upstream {
        to_head: bool,
    },
}

/// One message as it was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The head as it would be written.
    pub(crate) head: Vec<u8>,
    /// How long it is, if its head was accepted.
    pub(crate) length: Option<BodyLength>,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: Vec<u8>,
    /// Where in the input its content begins and, unless it is refused, where it ends.
    pub(crate) body_at: usize,
    pub(crate) end_at: usize,
    pub(crate) end: End,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    Complete,
    /// The input ends before the message does.
    Cut,
    Refused(&'static str),
}

/// Input that becomes known piece by piece.
struct Pieces<'a> {
    input: &'a [u8],
    known: usize,
    /// State of a generator (xorshift); 0 makes all known at once.
    state: u64,
}

impl<'a> Pieces<'a> {
    fn new(input: &'a [u8], seed: u64) -> Self {
        let known = if seed == 0 { input.len() } else { 0 };
        Self {
            input,
            known,
            state: seed,
        }
    }

    fn from(&self, at: usize) -> &'a [u8] {
        &self.input[at..self.known]
    }

    /// Makes another piece known, if there is one: mostly short ones.
    fn more(&mut self) -> bool {
        if self.known == self.input.len() {
            return false;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let len = match self.state >> 60 {
            0..8 => 1,
            8..14 => self.state % 8 + 1,
            _ => self.state % 64 + 1,
        };
        let len = usize::try_from(len).expect("at most 64");
        self.known = self.input.len().min(self.known + len);
        true
    }
}

/// Reads all messages of the input, in pieces told by `seed`, and compares with what it gives in one piece, with
/// what passes if it is tracked, and with the reader of the grammar. Panics where they differ.
pub(crate) fn check(input: &[u8], side: Side, seed: u64) -> Vec<Message> {
    let whole = decoded(input, side, 0);
    let split = decoded(input, side, seed | 1);
    assert_eq!(whole, split, "decoded {}", input.escape_ascii());
    for message in &whole {
        compare_with_grammar(input, message, side);
        let passed = [0, seed | 1].map(|seed| compare_tracked(input, message, seed));
        assert_eq!(
            passed[0],
            passed[1],
            "passed on of {}",
            input.escape_ascii()
        );
    }
    whole
}

/// Reads messages up to the first that does not end.
fn decoded(input: &[u8], side: Side, seed: u64) -> Vec<Message> {
    let mut pieces = Pieces::new(input, seed);
    let mut messages = Vec::new();
    let mut at = 0;
    loop {
        let mut message = Message::default();
        let length = match head(&mut pieces, at, side, &mut message) {
            Ok(Some(length)) => length,
            Ok(None) if at == input.len() => return messages,
            Ok(None) => {
                message.end = End::Cut;
                messages.push(message);
                return messages;
            }
            Err(why) => {
                message.end = End::Refused(why);
                messages.push(message);
                return messages;
            }
        };
        message.length = Some(length);
        message.end = content(&mut pieces, &mut message, length);
        at = message.end_at;
        let is_last = message.end != End::Complete || length == BodyLength::UntilClose;
        messages.push(message);
        if is_last {
            return messages;
        }
    }
}

/// Reads a head and leaves in `message` how it would be written.
fn head(
    pieces: &mut Pieces<'_>,
    at: usize,
    side: Side,
    message: &mut Message,
) -> Result<Option<BodyLength>, &'static str> {
    let limits = HeadLimits {
        bytes: 4096,
        fields: 80,
        target: 256,
    };
    let mut search = HeadSearch::default();
    let (mut request, mut response) = (RequestHead::default(), ResponseHead::default());
    let used = loop {
        let input = pieces.from(at);
        let parsed = match side {
            Side::Client => request
                .parse(input, &mut search, &limits)
                .map_err(|refusal| refusal.why)?,
            Side::Upstream { .. } => response
                .parse(input, &mut search, &limits)
                .map_err(|bad| bad.why)?,
        };
        match parsed {
            Some(used) => break used,
            None if pieces.more() => {}
            None => return Ok(None),
        }
    };
    message.body_at = at + used;
    let length = match side {
        Side::Client => {
            write_request(&request, &mut message.head);
            let length = request_body(&request).map_err(|refusal| refusal.why)?;
            expect_forwarded(request, length);
            length
        }
        Side::Upstream { to_head } => {
            write_response(&response, &mut message.head);
            response_body(&response, to_head).map_err(|bad| bad.why)?
        }
    };
    Ok(Some(length))
}

/// What goes to the upstream is a request by the grammar, and as long as the one that came.
fn expect_forwarded(mut request: RequestHead, length: BodyLength) {
    let upgrades = to_upstream(
        &mut request,
        OutgoingHost::KeptOr("upstream:80"),
        Outgoing::Keep,
    );
    assert_eq!(upgrades, request.fields.has_kind(FieldKind::Upgrade));
    let mut written = Vec::new();
    write_request(&request, &mut written);
    let read = reader::request(&written);
    let read = read.unwrap_or_else(|| panic!("{} is no request", written.escape_ascii()));
    assert_eq!(read.fields, request.fields.iter().collect::<Vec<_>>());
    let mut again = RequestHead::default();
    let used = again.parse(&written, &mut HeadSearch::default(), &HeadLimits::default());
    assert_eq!(used, Ok(Some(written.len())), "{}", written.escape_ascii());
    assert_eq!(request_body(&again), Ok(length));
}

fn content(pieces: &mut Pieces<'_>, message: &mut Message, length: BodyLength) -> End {
    let mut decoder = Decoder::new(length);
    message.end_at = message.body_at;
    loop {
        let input = pieces.from(message.end_at);
        let decoded = match decoder.decode(input) {
            Ok(decoded) => decoded,
            Err(bad) => {
                // How far it came before depends on the pieces.
                message.end_at = message.body_at;
                return End::Refused(bad.why);
            }
        };
        message.content.extend_from_slice(&input[decoded.data]);
        message.end_at += decoded.used;
        if decoded.ended {
            if let Some(trailers) = decoder.take_trailers() {
                trailers.write_to(&mut message.trailers);
            }
            return End::Complete;
        }
        if decoded.used == input.len() && !pieces.more() {
            return match decoder.end_of_stream() {
                Ok(()) => End::Complete,
                Err(_) => End::Cut,
            };
        }
    }
}

/// Passes the content of a message on as it comes. Gives how far it came.
fn compare_tracked(input: &[u8], message: &Message, seed: u64) -> usize {
    let Some(length) = message.length else {
        return 0;
    };
    let mut pieces = Pieces::new(input, seed);
    let mut decoder = Decoder::new(length);
    let (mut at, mut data) = (message.body_at, 0);
    pieces.known = pieces.known.max(at);
    let end = loop {
        let tracked = match decoder.track(pieces.from(at)) {
            Ok(tracked) => tracked,
            Err(bad) => {
                let before = decoder.before_flaw();
                at += before.used;
                data += before.data;
                break End::Refused(bad.why);
            }
        };
        at += tracked.used;
        data += tracked.data;
        if tracked.ended {
            break End::Complete;
        }
        if !pieces.more() {
            break decoder.end_of_stream().map_or(End::Cut, |()| End::Complete);
        }
    };
    assert_eq!(end, message.end, "tracked {}", input.escape_ascii());
    if end == End::Complete {
        assert_eq!(at, message.end_at, "tracked {}", input.escape_ascii());
        assert_eq!(
            data,
            message.content.len() as u64,
            "tracked {}",
            input.escape_ascii()
        );
        return at;
    }
    // What was passed on of a broken message must not look complete, and be content that was sent.
    let passed = &input[message.body_at..at];
    let mut decoder = Decoder::new(length);
    let mut rest = passed;
    let mut content = Vec::new();
    while !rest.is_empty() {
        let decoded = decoder.decode(rest).expect("what is passed on is valid");
        assert!(
            !decoded.ended,
            "a broken message passes as whole: {}",
            input.escape_ascii()
        );
        content.extend_from_slice(&rest[decoded.data]);
        rest = &rest[decoded.used..];
    }
    assert!(
        message.content.starts_with(&content),
        "tracked {}",
        input.escape_ascii()
    );
    at
}

fn compare_with_grammar(input: &[u8], message: &Message, side: Side) {
    if message.head.is_empty() {
        return;
    }
    let read = match side {
        Side::Client => reader::request(&message.head),
        Side::Upstream { .. } => reader::answer(&message.head),
    };
    let read = read.unwrap_or_else(|| panic!("{} is no head", message.head.escape_ascii()));
    assert_eq!(read.used, message.head.len());
    let Some(length) = message.length else {
        return;
    };
    if length != BodyLength::Chunked {
        return;
    }
    let body = &input[message.body_at..];
    match (message.end, reader::chunked(body)) {
        (End::Complete, Some((content, trailers, used))) => {
            assert_eq!(content, message.content, "{}", input.escape_ascii());
            assert_eq!(
                message.body_at + used,
                message.end_at,
                "{}",
                input.escape_ascii()
            );
            let mut section = Fields::default();
            for (name, value) in trailers {
                section.append(str::from_utf8(name).expect("a token"), value);
            }
            let mut lines = Vec::new();
            section.write_to(&mut lines);
            let (lines, got) = (without_space(&lines), without_space(&message.trailers));
            assert_eq!(lines, got, "{}", input.escape_ascii());
        }
        (End::Cut | End::Refused(_), None) => {}
        (end, read) => panic!("{end:?}, but {read:?}: {}", input.escape_ascii()),
    }
}

/// Lines without the white space around their values, which the codec keeps.
fn without_space(lines: &[u8]) -> Vec<u8> {
    lines
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b' ' | b'\t'))
        .collect()
}
