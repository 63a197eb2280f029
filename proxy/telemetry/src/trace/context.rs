//! Which trace a request belongs to: the `traceparent` header of W3C Trace Context.

use std::fmt;

use super::Propagation;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{self, SpanContext, TraceFlags, TraceState};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// `00-` trace id `-` parent id `-` flags.
const LENGTH: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;

/// The number that all spans of one trace share. Prints as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// The number of one span in its trace. Prints as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// Names a span from outside its trace, for others to point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanLink {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// The span itself.
    pub span_id: SpanId,
}

impl SpanLink {
    pub(super) fn context(self) -> SpanContext {
        SpanContext::new(
            trace::TraceId::from_bytes(self.trace_id.to_bytes()),
            trace::SpanId::from_bytes(self.span_id.to_bytes()),
            TraceFlags::SAMPLED,
            true,
            TraceState::NONE,
        )
    }
}

impl TraceId {
    /// Its 16 bytes, most significant first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From 16 bytes, most significant first.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(super) fn of(context: &SpanContext) -> Self {
        Self(u128::from_be_bytes(context.trace_id().to_bytes()))
    }
}

impl SpanId {
    /// Its 8 bytes, most significant first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// From 8 bytes, most significant first.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    pub(super) fn of(context: &SpanContext) -> Self {
        Self(u64::from_be_bytes(context.span_id().to_bytes()))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Copies the context that `incoming` came with, `traceparent`, `tracestate` and `baggage`, to a
/// request made on its behalf.
///
/// For services that write their upstream requests themselves; call it whether or not spans are
/// recorded, and [`Span::inject`](crate::Span::inject) after it. A proxy that forwards all headers
/// has no need of it.
pub fn forward_context(incoming: &HeaderMap, outgoing: &mut HeaderMap) {
    for name in [TRACEPARENT, TRACESTATE, BAGGAGE] {
        for value in incoming.get_all(&name) {
            outgoing.append(&name, value.clone());
        }
    }
}

/// Removes what is not to be passed on.
pub(super) fn restrict(propagation: Propagation, headers: &mut HeaderMap) {
    if !propagation.trace_context {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
    }
    if !propagation.baggage {
        headers.remove(BAGGAGE);
    }
}

/// The span that sent these headers, or `None` without exactly one well-formed `traceparent`.
pub(super) fn parent_of(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    parse(value.as_bytes())
}

/// Names `context` as the parent of whoever reads these headers, in place of any before; `sampled` is what they are to
/// do.
pub(super) fn inject(context: &SpanContext, sampled: bool, headers: &mut HeaderMap) {
    headers.insert(TRACEPARENT, format(context, sampled));
}

fn parse(value: &[u8]) -> Option<SpanContext> {
    let (known, rest) = value.split_at_checked(LENGTH)?;
    if known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
        return None;
    }
    let [version] = hex(&known[..2])?;
    match (version, rest) {
        (0xff, _) => return None,
        (0, [_, ..]) => return None,
        // Later versions may add fields, after a dash (§4.2.1.1 of the recommendation).
        (_, [first, ..]) if *first != b'-' => return None,
        _ => {}
    }
    let trace_id = hex(&known[3..35])?;
    let span_id = hex(&known[36..52])?;
    let [flags] = hex(&known[53..])?;
    let context = SpanContext::new(
        trace::TraceId::from_bytes(trace_id),
        trace::SpanId::from_bytes(span_id),
        TraceFlags::new(flags & TraceFlags::SAMPLED.to_u8()),
        true,
        TraceState::NONE, // Passed on as the header it came in; nothing here reads it.
    );
    context.is_valid().then_some(context)
}

fn format(context: &SpanContext, sampled: bool) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = *b"00-................................-................-00";
    let mut write = |at: usize, bytes: &[u8]| {
        for (pair, byte) in text[at..].chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
    };
    write(3, &context.trace_id().to_bytes());
    write(36, &context.span_id().to_bytes());
    write(53, &[u8::from(sampled)]);
    HeaderValue::from_bytes(&text).expect("dashes and hexadecimal digits")
}

/// Lower case only, as the recommendation demands.
fn hex<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_valid_traceparent_is_read_and_written_back() {
        let parent = parent_of(&headers(&[VALID])).unwrap();

        assert_eq!(
            TraceId::of(&parent).to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(SpanId::of(&parent).to_string(), "00f067aa0ba902b7");
        assert!(parent.is_sampled());
        assert!(parent.is_remote());
        assert_eq!(format(&parent, true), VALID);
    }

    #[test]
    fn what_counts_as_a_parent() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let span = "00f067aa0ba902b7";
        for (value, sampled) in [
            (format!("00-{trace}-{span}-00"), Some(false)),
            (format!("00-{trace}-{span}-01"), Some(true)),
            (format!("00-{trace}-{span}-02"), Some(false)),
            (format!("00-{trace}-{span}-ff"), Some(true)),
            (format!("cc-{trace}-{span}-01"), Some(true)),
            (format!("cc-{trace}-{span}-01-what-comes"), Some(true)),
            (format!("cc-{trace}-{span}-01.what-comes"), None),
            (format!("ff-{trace}-{span}-01"), None),
            (format!("00-{trace}-{span}-01-"), None),
            (format!("00-{trace}-{span}-1"), None),
            (format!("00-{trace}-{span}"), None),
            (format!("00_{trace}-{span}-01"), None),
            (format!("00-{trace}_{span}-01"), None),
            (format!("00-{trace}-{span}_01"), None),
            (format!("00-{}-{span}-01", trace.to_uppercase()), None),
            (format!("00-{}-{span}-01", "0".repeat(32)), None),
            (format!("00-{trace}-{}-01", "0".repeat(16)), None),
            (format!("0x-{trace}-{span}-01"), None),
            (String::new(), None),
        ] {
            let parent = parent_of(&headers(&[&value]));

            assert_eq!(parent.map(|it| it.is_sampled()), sampled, "{value}");
        }
    }

    #[test]
    fn two_traceparents_count_as_none() {
        assert!(parent_of(&headers(&[VALID, VALID])).is_none());
    }

    #[test]
    fn the_context_is_copied_whole_and_nothing_else() {
        let mut incoming = headers(&[VALID]);
        incoming.append(TRACESTATE, HeaderValue::from_static("a=1"));
        incoming.append(TRACESTATE, HeaderValue::from_static("b=2"));
        incoming.append(BAGGAGE, HeaderValue::from_static("chaos.run=run-42"));
        incoming.append("x-user", HeaderValue::from_static("user-7"));
        let mut outgoing = HeaderMap::new();

        forward_context(&incoming, &mut outgoing);

        incoming.remove("x-user");
        assert_eq!(outgoing, incoming);
    }
}
