//! What is to be done to one request: the answer of a decision.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use smallvec::SmallVec;

use crate::{faults::Phase, ledger::Held, plan::ArmedFault};

/// What the armed faults do to one request.
///
/// The slots are closed: delays add, the first ending wins. The proxy carries out each slot in one place
/// and never asks which kind of fault filled it.
#[derive(Debug, Default)]
pub struct Injection {
    /// Every fault that matched, and what became of it. For counting.
    pub considered: SmallVec<[Considered; 2]>,
    /// The faults that act, in the order of their phases.
    pub fired: SmallVec<[Fired; 2]>,
    /// Waits before the request is forwarded, one after the other.
    pub delays: SmallVec<[Delay; 2]>,
    /// How the exchange ends, and the index in `fired` of the fault that ends it.
    pub ending: Option<(usize, Ending)>,
}

impl Injection {
    /// Whether the request goes through untouched.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.fired.is_empty()
    }

    /// Adds a wait, on behalf of the fault that is being injected.
    pub(crate) fn delay(&mut self, span: Duration) {
        self.delays.push(Delay {
            by: self.injecting(),
            span,
        });
    }

    /// Sets the ending, on behalf of the fault that is being injected. The first ending wins.
    pub(crate) fn end(&mut self, ending: Ending) {
        let by = self.injecting();
        self.ending.get_or_insert((by, ending));
    }

    fn injecting(&self) -> usize {
        self.fired.len().saturating_sub(1)
    }
}

/// A fault whose matcher fitted, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Considered {
    /// The kind's name.
    pub kind: &'static str,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a fault that matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It acts on the request.
    Injected,
    /// Its percent, its counts or an earlier ending passed the request by.
    Skipped,
    /// It holds as many requests as it may; this one passes untouched.
    Overflow,
}

/// One wait before the request is forwarded.
#[derive(Debug, Clone, Copy)]
pub struct Delay {
    /// The index in [`Injection::fired`] of the fault that asks for it.
    pub by: usize,
    /// How long.
    pub span: Duration,
}

/// How an exchange ends instead of being forwarded.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The proxy answers.
    Answer(Arc<Answer>),
    /// The client's connection is reset (RST, zero linger). Zero bytes of an answer.
    Reset,
    /// The request is read whole and never answered.
    Hang {
        /// How long; `None` until the fault is removed.
        hold: Option<Duration>,
        /// What then becomes of the connection.
        then: Then,
    },
}

/// What becomes of a connection whose request was held without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// A TCP reset.
    Reset,
    /// An orderly close (FIN) without a byte.
    Close,
}

/// An answer that the proxy gives in the upstream's place.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status, 200 to 599.
    pub status: StatusCode,
    /// Header fields besides `content-type`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    body: AnswerBody,
}

#[derive(Debug, Clone, PartialEq)]
enum AnswerBody {
    Given(HeaderValue, Bytes),
    ByAccept { text: Bytes, json: Bytes },
    None,
}

impl Answer {
    /// An answer with the body the user gave.
    pub(crate) fn with_body(
        status: StatusCode,
        headers: Vec<(HeaderName, HeaderValue)>,
        content_type: HeaderValue,
        body: Bytes,
    ) -> Self {
        Self {
            status,
            headers,
            body: AnswerBody::Given(content_type, body),
        }
    }

    /// An answer whose body names the status, as problem+json or text; none where a status has no body.
    pub(crate) fn plain(status: StatusCode, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        let reason = status.canonical_reason().unwrap_or("Unknown");
        let code = status.as_u16();
        let body = if has_no_body(status) {
            AnswerBody::None
        } else {
            AnswerBody::ByAccept {
                text: Bytes::from(format!("{code} {reason}\n")),
                json: Bytes::from(format!(
                    "{{\"type\":\"about:blank\",\"title\":\"{reason}\",\"status\":{code}}}\n"
                )),
            }
        };
        Self {
            status,
            headers,
            body,
        }
    }

    /// The content type and body for a request with these header fields: problem+json (RFC 9457) when its
    /// `Accept` names JSON, text otherwise, or what the user gave. `None` where a status has no body.
    #[must_use]
    pub fn body(&self, request: &HeaderMap) -> Option<(HeaderValue, Bytes)> {
        match &self.body {
            AnswerBody::None => None,
            AnswerBody::Given(content_type, body) => Some((content_type.clone(), body.clone())),
            AnswerBody::ByAccept { json, .. } if accepts_json(request) => Some((
                HeaderValue::from_static("application/problem+json"),
                json.clone(),
            )),
            AnswerBody::ByAccept { text, .. } => Some((
                HeaderValue::from_static("text/plain; charset=utf-8"),
                text.clone(),
            )),
        }
    }
}

/// Statuses that never carry content (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
pub(crate) fn has_no_body(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

fn accepts_json(request: &HeaderMap) -> bool {
    let mut values = request.get_all(header::ACCEPT).iter();
    values.any(|value| {
        value
            .as_bytes()
            .windows(4)
            .any(|word| word.eq_ignore_ascii_case(b"json"))
    })
}

/// A fault that acts on a request. Dropping it gives back the place it held.
#[derive(Debug)]
pub struct Fired {
    pub(crate) fault: Arc<ArmedFault>,
    pub(crate) held: Option<Held>,
}

impl Fired {
    /// The fault's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.fault.id()
    }

    /// The name of the fault's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.fault.kind()
    }

    /// The phase in which the kind acts.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.fault.phase()
    }

    /// The revision of the fault set in which this form of the fault was made.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.fault.revision()
    }

    /// The value of the header that marks an injected answer; `None` when the fault is stealthy.
    #[must_use]
    pub fn marker(&self) -> Option<&HeaderValue> {
        self.fault.marker()
    }

    /// Whether it holds the request, counted in `active` until this is dropped.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// Gives back the place that the fault held for the request: it holds it no longer.
    pub fn let_go(&mut self) {
        self.held = None;
    }

    /// Ends when the fault is removed, expires or is given other parameters: what it holds is let go.
    ///
    /// A fault that holds nothing is never released.
    pub async fn released(&self) {
        match &self.held {
            Some(held) => held.released().await,
            None => std::future::pending().await,
        }
    }

    /// Notes how long a request was really held.
    pub fn note_delay(&self, achieved: Duration) {
        self.fault.ledger().note_delay(achieved);
    }

    /// Notes that the client left while the fault acted on its request.
    pub fn note_client_gave_up(&self) {
        self.fault.ledger().note_client_gave_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(accept: &str) -> (HeaderValue, Bytes) {
        let request = http::Request::get("/")
            .header("accept", accept)
            .body(())
            .unwrap();
        Answer::plain(StatusCode::SERVICE_UNAVAILABLE, Vec::new())
            .body(request.headers())
            .unwrap()
    }

    #[test]
    fn the_body_follows_accept() {
        assert_eq!(body("*/*").1, "503 Service Unavailable\n");
        let (content_type, json) = body("text/html, application/JSON;q=0.9");

        assert_eq!(content_type, "application/problem+json");
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["status"], 503);
    }

    #[test]
    fn a_status_without_content_gets_no_body() {
        let answer = Answer::plain(StatusCode::NO_CONTENT, Vec::new());

        assert_eq!(answer.body(&HeaderMap::new()), None);
    }
}
