//! What a client is told that begins HTTP/2 on a route that speaks HTTP/1.1.

/// An empty SETTINGS frame, then GOAWAY with the error `HTTP_1_1_REQUIRED` (RFC 9113 §3.4, §6.8, §7).
pub(crate) const GO_AWAY: [u8; 26] = [
    0, 0, 0, 4, 0, 0, 0, 0, 0, // SETTINGS, no parameters.
    0, 0, 8, 7, 0, 0, 0, 0, 0, // GOAWAY, 8 bytes.
    0, 0, 0, 0, // The last stream: none.
    0, 0, 0, 13, // HTTP_1_1_REQUIRED.
];
