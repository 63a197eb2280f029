//! The HTTP/1.1 engine: heads, bodies and what a hop changes, as bytes; the loop that serves a client's connection, and an
//! upstream's connection.
//!
//! A head is one buffer plus offsets, so that what is passed on is passed byte for byte. A body is either tracked
//! (its bytes go on as they came) or decoded and encoded anew. What two parsers may read differently is refused
//! (RFC 9112 §11.2): a client gets a [`Refusal`], an upstream's answer is a [`BadAnswer`].

mod body;
mod buffers;
mod client;
mod decoder;
mod encoder;
mod event_tail;
mod forwarding;
mod framing;
mod head;
mod http2;
mod refusal;
mod server;

pub(crate) use body::{BodyError, Source, Way, write_all};
pub(crate) use buffers::{Input, Output};
pub(crate) use client::{NoAnswer, UpstreamConnection, Wanted, handshake, read_head};
pub(crate) use decoder::{BadBody, ContentWatch, Decoder};
pub(crate) use encoder::{ChunkHead, Encoder};
pub(crate) use event_tail::EventTail;
pub(crate) use forwarding::{
    Outgoing, OutgoingHost, Persistence, expects_continue, to_client, to_upstream, write_request,
    write_response,
};
pub(crate) use framing::{
    BodyLength, request_body, request_keeps_alive, response_body, response_keeps_alive,
};
pub(crate) use head::{FieldKind, Fields, HeadLimits, HeadSearch, RequestHead, ResponseHead};
pub(crate) use http2::GO_AWAY;
pub(crate) use refusal::{BadAnswer, Refusal};
pub(crate) use server::serve;

#[cfg(test)]
pub(crate) use decoder::{Decoded, Tracked};

#[cfg(test)]
mod tests;
