//! `malformed`: the answer breaks the rules of HTTP.

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, error_code::ON_HTTP2, params, written};
use crate::{
    injection::{ResponseEnding, Injection, Malformed as Wrong},
    read::{Problem, one_of},
};

/// Passes the upstream's answer on with one thing that breaks the rules of HTTP, and closes the connection.
///
/// The upstream does its work. Only `random` has nothing of its answer: 512 bytes drawn by chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(How);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Chunk,
    Header,
    StatusLine,
    Random,
    DupContentLength,
    OversizedHeader,
    Frame,
}

const WORDS: [(&str, How); 7] = [
    ("chunk", How::Chunk),
    ("header", How::Header),
    ("status_line", How::StatusLine),
    ("random", How::Random),
    ("dup_content_length", How::DupContentLength),
    ("oversized_header", How::OversizedHeader),
    ("frame", How::Frame),
];

impl FaultKind for Malformed {
    const NAME: &'static str = "malformed";
    const SUMMARY: &'static str = "passes the answer on with one thing that breaks the rules of HTTP";
    const PHASE: Phase = Phase::ResponseHead;
    const PARAMS: &'static [Param] = &[Param::new(
        "how",
        Accepts::Words(&["chunk", "header", "status_line", "random", "dup_content_length", "oversized_header", "frame"]),
        "chunk",
        "a chunk size that is no number, an illegal byte in a field, no status, bytes by chance, two lengths that differ, a field of 1 MiB, or a DATA frame on stream 0, which ends a connection with HTTP/2 and skips requests with HTTP/1",
    )];
    const EXAMPLE: &'static str = r#"{"how":"chunk"}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let words = WORDS.map(|(word, _)| word);
        let how = object.optional("how", |value| one_of("damage", &words)(value).map(str::to_owned))?;
        let named = WORDS.iter().find(|(word, _)| Some(*word) == how.as_deref());
        Ok(Self(named.map_or(How::Chunk, |(_, how)| *how)))
    }

    fn to_value(&self) -> Value {
        let word = WORDS.iter().find(|(_, how)| *how == self.0);
        written([("how", word.map(|(word, _)| json!(word)))])
    }

    fn ends(&self) -> bool {
        true
    }

    fn condition(&self) -> Option<&'static str> {
        (self.0 == How::Frame).then_some(ON_HTTP2)
    }

    fn takes(&self, draw: &mut Draw<'_, ()>, _into: &mut Injection) -> bool {
        self.0 != How::Frame || draw.subject.is_http2
    }

    fn inject(&self, draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.end_answer(ResponseEnding::Malformed(match self.0 {
            How::Chunk => Wrong::Chunk,
            How::Header => Wrong::Header,
            How::StatusLine => Wrong::StatusLine,
            How::Random => Wrong::Random(draw.roll.clone()),
            How::DupContentLength => Wrong::DupContentLength,
            How::OversizedHeader => Wrong::OversizedHeader,
            How::Frame => Wrong::Frame,
        }));
    }
}
