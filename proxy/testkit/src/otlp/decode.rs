use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::{DecodeError, Message as _};

/// A span as it came over the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedSpan {
    /// `service.name` of its resource.
    pub service: String,
    /// Such as `GET /books/{id}`.
    pub name: String,
    /// Which side of which kind of work.
    pub kind: ReceivedKind,
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The parent's span id; `None` for the root of a trace.
    pub parent_id: Option<String>,
    /// All attributes. Of a key sent twice, the last.
    pub attributes: BTreeMap<String, AttrValue>,
    /// The description, perhaps empty, if the status is Error.
    pub error: Option<String>,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// Trace id and span id of linked spans.
    pub links: Vec<(String, String)>,
}

impl ReceivedSpan {
    /// Where it stands in its trace, from the root: `service name > service name`.
    ///
    /// # Panics
    /// When a parent is not among `spans`, or is of another trace.
    #[must_use]
    pub fn path(&self, spans: &[Self]) -> String {
        let own = format!("{} {}", self.service, self.name);
        let Some(parent) = &self.parent_id else {
            return own;
        };
        let parent = spans.iter().find(|span| span.span_id == *parent);
        let parent = parent.expect("no parent is missing");
        assert_eq!(parent.trace_id, self.trace_id);
        format!("{} > {own}", parent.path(spans))
    }

    /// The text of an attribute; `None` if it has none of this key.
    ///
    /// # Panics
    /// When it is no text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.attributes.get(key)? {
            AttrValue::Str(text) => Some(text),
            other => panic!("{key} is {other:?}"),
        }
    }

    /// The whole number of an attribute; `None` if it has none of this key.
    ///
    /// # Panics
    /// When it is no whole number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<i64> {
        match self.attributes.get(key)? {
            AttrValue::Int(number) => Some(*number),
            other => panic!("{key} is {other:?}"),
        }
    }
}

/// Which side of which kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceivedKind {
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Inside one process.
    Internal,
    /// Kinds that brownout does not make.
    Other,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum AttrValue {
    /// Text.
    Str(String),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
    /// A list.
    List(Vec<Self>),
    /// Bytes, maps or nothing, which brownout does not send.
    Other,
}

impl From<&str> for AttrValue {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<i64> for AttrValue {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for AttrValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

pub(super) fn spans(body: Bytes) -> Result<Vec<ReceivedSpan>, DecodeError> {
    let request = ExportTraceServiceRequest::decode(body)?;
    let mut received = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.unwrap_or_default().attributes);
        let service = match resource.get("service.name") {
            Some(AttrValue::Str(name)) => name.as_str(),
            _ => "",
        };
        let spans = of_resource.scope_spans.into_iter().flat_map(|it| it.spans);
        received.extend(spans.map(|it| span(service, it)));
    }
    Ok(received)
}

fn span(service: &str, span: Span) -> ReceivedSpan {
    let kind = match span.kind() {
        SpanKind::Server => ReceivedKind::Server,
        SpanKind::Client => ReceivedKind::Client,
        SpanKind::Internal => ReceivedKind::Internal,
        SpanKind::Producer | SpanKind::Consumer | SpanKind::Unspecified => ReceivedKind::Other,
    };
    let status = span.status.unwrap_or_default();
    ReceivedSpan {
        service: service.to_owned(),
        kind,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: (!span.parent_span_id.is_empty()).then(|| hex(&span.parent_span_id)),
        attributes: attributes(span.attributes),
        error: (status.code() == StatusCode::Error).then_some(status.message),
        start: SystemTime::UNIX_EPOCH + Duration::from_nanos(span.start_time_unix_nano),
        end: SystemTime::UNIX_EPOCH + Duration::from_nanos(span.end_time_unix_nano),
        links: span
            .links
            .iter()
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        name: span.name,
    }
}

fn attributes(sent: Vec<KeyValue>) -> BTreeMap<String, AttrValue> {
    sent.into_iter()
        .map(|it| (it.key, value(it.value)))
        .collect()
}

fn value(sent: Option<AnyValue>) -> AttrValue {
    match sent.and_then(|it| it.value) {
        Some(any_value::Value::StringValue(text)) => AttrValue::Str(text),
        Some(any_value::Value::IntValue(number)) => AttrValue::Int(number),
        Some(any_value::Value::DoubleValue(number)) => AttrValue::Double(number),
        Some(any_value::Value::BoolValue(it)) => AttrValue::Bool(it),
        Some(any_value::Value::ArrayValue(list)) => {
            AttrValue::List(list.values.into_iter().map(|it| value(Some(it))).collect())
        }
        Some(_) | None => AttrValue::Other,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
