//! HTTP/1.1 as bytes: heads, body framing and what a hop changes. No sockets, no clock, no runtime.
//!
//! A head is one buffer plus offsets, so that what is passed on is passed byte for byte. A body is either tracked
//! (its bytes go on as they came) or decoded and encoded anew. What two parsers may read differently is refused
//! (RFC 9112 §11.2): a client gets a [`Refusal`], an upstream's answer is a [`BadAnswer`].

mod decoder;
mod encoder;
mod forwarding;
mod framing;
mod head;
mod refusal;

pub(crate) use decoder::{BadBody, Decoded, Decoder, Tracked};
pub(crate) use encoder::{ChunkHead, Encoder};
pub(crate) use forwarding::{
    Outgoing, Persistence, expects_continue, to_client, to_upstream, write_request, write_response,
};
pub(crate) use framing::{
    BodyLength, request_body, request_keeps_alive, response_body, response_keeps_alive,
};
pub(crate) use head::{FieldKind, Fields, HeadLimits, HeadSearch, RequestHead, ResponseHead};
pub(crate) use refusal::{BadAnswer, Refusal};

#[cfg(test)]
mod tests;
