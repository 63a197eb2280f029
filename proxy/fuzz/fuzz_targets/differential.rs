//! Any bytes as HTTP/1.1 messages: read in arbitrary pieces they give the same messages as in one piece, and as a
//! reader of the grammar gives; what is passed on of a broken message never looks complete.
//!
//! The input is one byte for the side, eight for how it is cut, then what that side sends. No sockets: millions of
//! runs take minutes.
#![no_main]

// The codec is private to its crate, and needs nothing of it.
#[path = "../../src/http1"]
#[allow(dead_code, reason = "the connection loops use the rest")]
mod http1 {
    pub(crate) mod decoder;
    pub(crate) mod forwarding;
    pub(crate) mod framing;
    pub(crate) mod head;
    #[path = "tests/reader.rs"]
    mod reader;
    pub(crate) mod refusal;
    #[path = "tests/split.rs"]
    pub(crate) mod split;
}

use http1::split::{Side, check};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((&side, rest)) = input.split_first() else {
        return Corpus::Reject;
    };
    let Some((seed, bytes)) = rest.split_first_chunk() else {
        return Corpus::Reject;
    };
    let side = match side % 3 {
        0 => Side::Client,
        1 => Side::Upstream { to_head: false },
        _ => Side::Upstream { to_head: true },
    };
    check(bytes, side, u64::from_le_bytes(*seed));
    Corpus::Keep
});
