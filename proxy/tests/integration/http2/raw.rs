//! Frames as they are on the wire.

use brownout_testkit::{RawClient, within};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const GOAWAY: u8 = 7;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PROTOCOL_ERROR: u32 = 1;

pub(super) type Field<'a> = (&'a [u8], &'a [u8]);

/// A header block of literals without names from a table (RFC 7541 §6.2.2).
pub(super) fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text);
        }
    }
    block
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Reads frames up to one that ends the stream or the connection. Gives its kind and its error code.
pub(super) async fn end_of_stream(client: &mut RawClient, stream: u32) -> (u8, u32) {
    loop {
        let head = within("a frame", client.read_exact(9)).await;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = client.read_exact(length).await;
        let of = u32::from_be_bytes(head[5..9].try_into().unwrap());
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match head[3] {
            RST_STREAM if of == stream => return (RST_STREAM, code(0)),
            GOAWAY => return (GOAWAY, code(4)),
            HEADERS if of == stream => return (HEADERS, 0),
            _ => {}
        }
    }
}

pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const ACK: u8 = 1;

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// A number at this place of the payload.
    pub(super) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The values of a SETTINGS frame.
    pub(super) fn settings(&self) -> Vec<(u16, u32)> {
        assert_eq!(self.kind, SETTINGS);
        let values = self.payload.chunks(6);
        let value = |it: &[u8]| {
            let id = u16::from_be_bytes(it[..2].try_into().unwrap());
            (id, u32::from_be_bytes(it[2..].try_into().unwrap()))
        };
        values.map(value).collect()
    }
}

/// The next frame.
pub(super) async fn next_frame(client: &mut RawClient) -> Frame {
    let head = within("a frame", client.read_exact(9)).await;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let payload = within("its payload", client.read_exact(length)).await;
    Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
        payload,
    }
}

/// Frames up to one of this kind on this stream, which is the last of them.
pub(super) async fn frames_to(client: &mut RawClient, kind: u8, stream: u32) -> Vec<Frame> {
    let mut frames = Vec::new();
    loop {
        let frame = next_frame(client).await;
        let is_it = (frame.kind, frame.stream) == (kind, stream);
        frames.push(frame);
        if is_it {
            return frames;
        }
    }
}

/// A GET of a path, without content.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    head("GET", stream, path, END_HEADERS | END_STREAM)
}

/// A POST to a path, whose content is still to come.
pub(super) fn post(stream: u32, path: &str) -> Vec<u8> {
    head("POST", stream, path, END_HEADERS)
}

fn head(method: &str, stream: u32, path: &str, flags: u8) -> Vec<u8> {
    let fields: [Field<'_>; 4] = [
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":path", path.as_bytes()),
        (b":authority", b"web.test"),
    ];
    frame(HEADERS, flags, stream, &block(&fields))
}
