//! Answers that the proxy gives itself: about an upstream that failed, about a request that it refuses, or for a fault.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use brownout_fault::{Answer, Content, RetryDate};

use super::{After, Exchange, change::reason};
use crate::{
    access_log::RefusedLine,
    http1::{Fields, GO_AWAY, Output, Persistence, Refusal, RequestHead, Source, Way, write_all},
    http2::StreamClient,
    scope::Scope,
    transport::ClientSocket,
    upstream::Upstream,
};

/// Marks an answer that a fault made.
const FAULT_FIELD: &str = "x-brownout-fault";

/// An answer in the making.
struct OwnAnswer {
    out: Output,
}

impl OwnAnswer {
    fn new(status: u16) -> Self {
        let mut out = Output::new();
        out.extend(b"HTTP/1.1 ");
        out.extend(status.to_string().as_bytes());
        out.extend(b" ");
        out.extend(reason(status));
        out.extend(b"\r\n");
        Self { out }
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        self.out.extend(name.as_bytes());
        self.out.extend(b": ");
        self.out.extend(value);
        self.out.extend(b"\r\n");
    }

    /// Ends the head. `content` is left out where an answer has none though it tells its length.
    fn finish(&mut self, content: Option<&[u8]>, is_head: bool, persistence: Persistence) {
        match persistence {
            Persistence::Unsaid => {}
            Persistence::Close => self.field("connection", b"close"),
            Persistence::KeepAlive => self.field("connection", b"keep-alive"),
        }
        if let Some(content) = content {
            self.field("content-length", content.len().to_string().as_bytes());
        }
        self.out.extend(b"\r\n");
        if let Some(content) = content
            && !is_head
        {
            self.out.extend(content);
        }
    }
}

/// A short problem (RFC 9457) that names the route.
fn problem(route: &str, status: u16, detail: &str) -> String {
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": String::from_utf8_lossy(reason(status)),
        "status": status,
        "detail": format!("route {route}: {detail}"),
        "route": route,
    });
    format!("{problem}\n")
}

impl Exchange<'_, '_> {
    /// Answers with a problem. `body` is what is left of the request, to be read within bounds.
    pub(super) async fn own_answer(
        &self,
        status: u16,
        detail: &str,
        body: Option<&mut Source<'_>>,
    ) -> After {
        if self.asked.is_grpc {
            self.record.borrow_mut().answered(200);
            let message = format!("route {}: {detail}", self.scope.route.name());
            let code = grpc_status(status);
            return self.answer_grpc(code, &message, None, body).await;
        }
        self.record.borrow_mut().answered(status);
        let content = problem(self.scope.route.name(), status, detail);
        let mut answer = OwnAnswer::new(status);
        answer.field("content-type", b"application/problem+json");
        self.send_own(answer, Some(content.as_bytes()), body).await
    }

    /// Answers a request whose path is not one of the route's.
    pub(super) async fn outside(&self, upstream: &Upstream, body: &mut Source<'_>) -> After {
        self.scope.route.refused("path_prefix").add(1);
        self.record.borrow_mut().is_outside();
        let prefix = (upstream.options().path_prefix.as_deref()).unwrap_or_default();
        let detail = format!("the path does not begin with {prefix}, which the route's paths do");
        self.own_answer(404, &detail, Some(body)).await
    }

    /// Answers in the upstream's place, as the fault `by` says. `asked` are the request's fields.
    pub(super) async fn answer_instead(
        &self,
        by: usize,
        made: &Answer,
        asked: &Fields,
        body: Option<&mut Source<'_>>,
    ) -> After {
        let status = made.status.as_u16();
        if self.asked.is_grpc {
            let marker = {
                let mut record = self.record.borrow_mut();
                record.changed_by_fault(200);
                record.fired(by).marker().map(ToOwned::to_owned)
            };
            let (code, message) = match made.grpc_status {
                Some(asked) => (asked.number(), format!("a fault answered {}", asked.name())),
                None => (grpc_status(status), format!("a fault answered {status}")),
            };
            return (self.answer_grpc(code, &message, marker.as_deref(), body)).await;
        }
        let mut answer = OwnAnswer::new(status);
        {
            let mut record = self.record.borrow_mut();
            record.changed_by_fault(status);
            for field in &made.fields {
                if field.name.eq_ignore_ascii_case("retry-after") {
                    record.fault_tells_to_wait(by, &field.value);
                }
                answer.field(&field.name, &field.value);
            }
            if let Some(marker) = record.fired(by).marker() {
                answer.field(FAULT_FIELD, marker.as_bytes());
            }
        }
        let content = made.body(asked);
        if let Some(Content {
            content_type: Some(content_type),
            ..
        }) = &content
        {
            answer.field("content-type", content_type);
        }
        if let Some(after) = made.retry_date {
            let date = date_of(after, SystemTime::now());
            let mut record = self.record.borrow_mut();
            record.fault_tells_to_wait(by, date.as_bytes());
            drop(record);
            answer.field("retry-after", date.as_bytes());
        }
        // RFC 9110 §15.3.6: unlike 204 and 304, a 205 must say that it has no content.
        let nothing = (status == 205).then(Default::default);
        let content = content.map(|content| content.bytes).or(nothing);
        self.send_own(answer, content.as_deref(), body).await
    }

    /// Ends a gRPC call in the upstream's place with trailers alone, which say this status of gRPC.
    async fn answer_grpc(
        &self,
        code: usize,
        message: &str,
        marker: Option<&str>,
        body: Option<&mut Source<'_>>,
    ) -> After {
        let mut answer = OwnAnswer::new(200);
        answer.field("content-type", b"application/grpc");
        answer.field("grpc-status", code.to_string().as_bytes());
        answer.field("grpc-message", grpc_message(message).as_bytes());
        if let Some(marker) = marker {
            answer.field(FAULT_FIELD, marker.as_bytes());
        }
        // A head that says chunked, and nothing behind it, ends its stream.
        answer.field("transfer-encoding", b"chunked");
        answer.finish(None, false, Persistence::Unsaid);
        answer.out.extend(b"0\r\n\r\n");
        self.send_finished(&answer, 0, true, body).await
    }

    async fn send_own(
        &self,
        mut answer: OwnAnswer,
        content: Option<&[u8]>,
        body: Option<&mut Source<'_>>,
    ) -> After {
        // A client that waits for a 100 may send its content or not: its next request could begin anywhere.
        let is_unclear = self.asked.expects_continue
            && body.as_ref().is_some_and(|body| !body.decoder.is_ended());
        let keeps_client = self.asked.keeps_alive && !self.client.is_last() && !is_unclear;
        answer.finish(content, self.asked.is_head, self.persistence(keeps_client));
        let sent = content.map_or(0, <[u8]>::len) as u64;
        let sent = if self.asked.is_head { 0 } else { sent };
        self.send_finished(&answer, sent, keeps_client, body).await
    }

    async fn send_finished(
        &self,
        answer: &OwnAnswer,
        sent: u64,
        keeps_client: bool,
        body: Option<&mut Source<'_>>,
    ) -> After {
        self.record.borrow_mut().begins_answer(sent);
        let to = self.client.transport();
        let written = write_all(to, answer.out.bytes(), self.clock, Way::Download).await;
        if written.is_err() {
            return After::Drop;
        }
        self.record.borrow_mut().done();
        if !keeps_client {
            return After::Close;
        }
        let is_read = match body {
            Some(body) => self.read_all(body).await,
            None => true,
        };
        if is_read { After::Next } else { After::Close }
    }
}

/// Whether a request with these fields is a gRPC call.
pub(super) fn is_grpc(asked: &Fields) -> bool {
    let content_type = asked.get("content-type");
    content_type.is_some_and(|it| it.starts_with(b"application/grpc"))
}

/// A message as a field has it: all but printable ASCII as %XX ("gRPC over HTTP2", Responses).
fn grpc_message(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            b' '..=b'~' => encoded.push(char::from(byte)),
            // It never fails on a String.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// The status of gRPC that clients make of a status of HTTP ("HTTP to gRPC Status Code Mapping").
const fn grpc_status(status: u16) -> usize {
    const UNKNOWN: usize = 2;
    const PERMISSION_DENIED: usize = 7;
    const UNIMPLEMENTED: usize = 12;
    const INTERNAL: usize = 13;
    const UNAVAILABLE: usize = 14;
    const UNAUTHENTICATED: usize = 16;
    match status {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// Tells a client why its request is refused, counts it and writes its line. The connection is to be closed then.
///
/// `head` has what could be read of the request.
pub(crate) async fn refuse(
    scope: &Scope,
    client: &ClientSocket,
    head: &RequestHead,
    refusal: &Refusal,
) {
    let answer = refusing(scope, head, refusal, Persistence::Close);
    // Whoever speaks HTTP/2 is told so in its own words (RFC 9113 §3.4).
    let answer = match *refusal {
        Refusal::HTTP2 => &GO_AWAY[..],
        _ => answer.out.bytes(),
    };
    if let Err(error) = client.write_all(answer).await {
        tracing::debug!(%error, peer = %client.peer(), "a client did not take its refusal");
    }
    let version = match head.is_http10() {
        true => "1.0",
        false => "1.1",
    };
    log_refused(scope, client.peer(), head, version, refusal);
}

/// As [`refuse`], of a request on a stream. One that is malformed gets no answer: its stream is reset (RFC 9113 §8.1.1).
pub(crate) async fn refuse_stream(
    scope: &Scope,
    client: &StreamClient,
    head: &RequestHead,
    refusal: &Refusal,
) {
    let answer = refusing(scope, head, refusal, Persistence::Unsaid);
    if refusal.status == 400 {
        client.refuse();
    } else if let Err(error) = client.write_all(answer.out.bytes()).await {
        tracing::debug!(%error, "a client did not take its refusal");
    }
    log_refused(scope, client.connection().peer(), head, "2", refusal);
}

/// Counts a refusal. Gives the answer.
fn refusing(
    scope: &Scope,
    head: &RequestHead,
    refusal: &Refusal,
    persistence: Persistence,
) -> OwnAnswer {
    scope.route.refused(refusal.why).add(1);
    let content = problem(scope.route.name(), refusal.status, refusal.detail);
    let mut answer = OwnAnswer::new(refusal.status);
    answer.field("content-type", b"application/problem+json");
    let is_head = head.method() == "HEAD";
    answer.finish(Some(content.as_bytes()), is_head, persistence);
    scope.route.responses(Some(refusal.status)).add(1);
    answer
}

fn log_refused(
    scope: &Scope,
    peer: SocketAddr,
    head: &RequestHead,
    version: &'static str,
    refusal: &Refusal,
) {
    if scope.route.logs_access() {
        let line = RefusedLine {
            route: scope.route.name(),
            peer,
            request: Some(head),
            version,
            refusal,
        };
        line.log();
    }
}

/// The HTTP date (RFC 9110 §5.6.7), told at `now`.
fn date_of(date: RetryDate, now: SystemTime) -> String {
    const LESS_THAN_A_SECOND: Duration = Duration::from_nanos(999_999_999);
    httpdate::fmt_http_date(match date {
        RetryDate::Ahead(after) => now + after + LESS_THAN_A_SECOND,
        RetryDate::Ago(ago) => now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH),
    })
}
