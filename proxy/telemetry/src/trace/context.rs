//! Which trace a request belongs to: the `traceparent` field of W3C Trace Context §3.2.

use opentelemetry::trace::{self, SpanContext, TraceFlags};

use super::tracestate::TraceState;

/// `00-` trace id `-` parent id `-` flags.
const LENGTH: usize = 2 + 1 + 32 + 1 + 16 + 1 + 2;

/// The trace context that a request came with. Making one allocates nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceContext<'a> {
    /// The value of the request's `traceparent` field; `None` unless there is exactly one. A value that breaks
    /// W3C Trace Context §3.2 counts as none.
    pub traceparent: Option<&'a str>,
    /// The values of the request's `tracestate` fields. Of use only beside a valid `traceparent`.
    pub tracestate: TraceState<'a>,
}

impl<'a> TraceContext<'a> {
    /// Takes the values of all `traceparent` fields of a request. Two or more count as none, as nobody can tell which
    /// is right.
    #[must_use]
    pub fn new(
        traceparents: impl IntoIterator<Item = &'a [u8]>,
        tracestate: TraceState<'a>,
    ) -> Self {
        let mut values = traceparents.into_iter();
        let traceparent = match (values.next(), values.next()) {
            (Some(value), None) => str::from_utf8(value).ok(),
            _ => None,
        };
        Self {
            traceparent,
            tracestate,
        }
    }

    /// The span that sent the request, or `None` without a well-formed `traceparent`.
    pub(super) fn parent(&self) -> Option<SpanContext> {
        parse(self.traceparent?.as_bytes())
    }
}

/// A `traceparent` of version 00, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent([u8; LENGTH]);

impl Traceparent {
    /// Names the span of `context` as the parent; `sampled` is whether those who come after are to record.
    pub(super) fn of(context: &SpanContext, sampled: bool) -> Self {
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
        Self(text)
    }

    /// Its 55 bytes, all of them ASCII.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default() // Dashes and hexadecimal digits.
    }
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
        // Later versions may add fields, after a dash (§3.2.2 of the recommendation, "Versioning of traceparent").
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
        trace::TraceState::NONE, // Goes on as the text it came in; nothing here reads its entries.
    );
    context.is_valid().then_some(context)
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
    use crate::{SpanId, TraceId};

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parent_of(values: &[&str]) -> Option<SpanContext> {
        let values = values.iter().map(|value| value.as_bytes());
        TraceContext::new(values, TraceState::NONE).parent()
    }

    #[test]
    fn a_valid_traceparent_is_read_and_written_back() {
        let parent = parent_of(&[VALID]).unwrap();

        assert_eq!(
            TraceId::of(&parent).to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(SpanId::of(&parent).to_string(), "00f067aa0ba902b7");
        assert!(parent.is_sampled());
        assert!(parent.is_remote());
        assert_eq!(Traceparent::of(&parent, true).as_str(), VALID);
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
            let parent = parent_of(&[&value]);

            assert_eq!(parent.map(|it| it.is_sampled()), sampled, "{value}");
        }
    }

    #[test]
    fn two_traceparents_count_as_none() {
        assert!(parent_of(&[VALID, VALID]).is_none());
    }
}
