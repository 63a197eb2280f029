//! What the codec accepts, refuses and changes.

mod answers;
mod bodies;
mod fields;
mod forwarding;
mod heads;
mod llhttp;
mod properties;
mod reader;
mod reasons;
mod requests;
mod split;

use super::{
    BadAnswer, BodyLength, HeadLimits, HeadSearch, Refusal, RequestHead, ResponseHead,
    request_body, response_body,
};

/// Reads a request whose head is complete.
fn request(input: &[u8]) -> Result<(RequestHead, usize), Refusal> {
    let mut head = RequestHead::default();
    let used = head.parse(input, &mut HeadSearch::default(), &HeadLimits::default())?;
    let used = used.unwrap_or_else(|| panic!("{} is incomplete", input.escape_ascii()));
    Ok((head, used))
}

/// Reads a request's head and how long its content is.
fn framed(input: &[u8]) -> Result<BodyLength, Refusal> {
    request(input).and_then(|(head, _)| request_body(&head))
}

/// Reads an answer whose head is complete.
fn answer(input: &[u8]) -> Result<(ResponseHead, usize), BadAnswer> {
    let mut head = ResponseHead::default();
    let used = head.parse(input, &mut HeadSearch::default(), &HeadLimits::default())?;
    let used = used.unwrap_or_else(|| panic!("{} is incomplete", input.escape_ascii()));
    Ok((head, used))
}

/// Reads an answer's head and how long its content is.
fn framed_answer(input: &[u8]) -> Result<BodyLength, BadAnswer> {
    answer(input).and_then(|(head, _)| response_body(&head, false))
}
