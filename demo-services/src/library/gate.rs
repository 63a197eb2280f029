//! The gate: asks the primary under one of five policies, and the fallback when that brings nothing.

use brownout_resilience::{Called, Cause, InvalidPolicy, Policy, health::Page};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use uuid::Uuid;

use super::{
    book::Book,
    book_service::{IDEMPOTENCY_KEY, created_at},
    hop::{Hop, Reply},
    request::{BookRequest, Task},
    service::{GateName, LibraryService},
};
use crate::{
    answer::{self, Answer},
    inbound::Inbound,
    stats::UpstreamStats,
    upstream::AttemptError,
};

/// Says that the primary did not answer.
const DEGRADED: HeaderName = HeaderName::from_static("x-degraded");
const WITHOUT_PRIMARY: HeaderValue =
    HeaderValue::from_static(LibraryService::Primary.metric_name());

/// The five ways to the primary, and the one to the fallback.
#[derive(Debug)]
pub(crate) struct Gate {
    /// In the order of [`GateName::ALL`].
    pub(super) primary: [Hop; GateName::ALL.len()],
    pub(super) fallback: Hop,
}

impl Gate {
    pub(crate) async fn answer(&self, inbound: &Inbound) -> Answer {
        let Some(BookRequest {
            gate: Some(gate),
            task,
        }) = inbound.book.as_deref()
        else {
            return answer::problem(StatusCode::NOT_FOUND, "no such resource");
        };
        let key = key(inbound, task);
        let asked = self.primary[*gate as usize]
            .call(inbound, task, key.as_ref())
            .await;
        let primary = match asked.result {
            Ok(Reply::Book(book)) => return found(*gate, task, &book),
            Ok(Reply::Refused(status, body, _)) if !status.is_server_error() => {
                return passed_on(status, body);
            }
            // The policy wants nobody else asked.
            Ok(Reply::Refused(..)) | Err(_) => {
                return unavailable(&format!("the primary did not answer: {}", cause(&asked)));
            }
            Ok(Reply::Fallback) => cause(&asked),
        };
        let asked = self.fallback.call(inbound, task, key.as_ref()).await;
        let mut answer = match asked.result {
            Ok(Reply::Book(book)) => found(*gate, task, &book),
            Ok(Reply::Refused(status, body, _)) if !status.is_server_error() => {
                passed_on(status, body)
            }
            Ok(Reply::Refused(..) | Reply::Fallback) | Err(_) => {
                let fallback = cause(&asked);
                return unavailable(&format!(
                    "neither the primary nor the fallback answered: {primary}, {fallback}"
                ));
            }
        };
        answer.headers_mut().insert(DEGRADED, WITHOUT_PRIMARY);
        answer
    }

    /// Makes further calls of one way under this policy.
    pub(super) fn protect(&self, gate: GateName, policy: &Policy) -> Result<(), InvalidPolicy> {
        self.primary[gate as usize].protect(policy)
    }

    /// What its breakers and rate limits say.
    pub(super) fn health(&self) -> Answer {
        let protections: Vec<_> = self.primary.iter().map(Hop::protection).collect();
        let clients = protections.iter().map(|protection| protection.client(0));
        let page = Page::of_clients(clients.map(|client| (client.name(), client)));
        let status = StatusCode::from_u16(page.status.http()).expect("200 or 503");
        answer::json_with(status, page.to_json())
    }

    pub(super) fn stats(&self) -> impl Iterator<Item = (String, UpstreamStats)> {
        self.primary.iter().chain([&self.fallback]).map(Hop::stats)
    }
}

/// The key of a creation: its own, or one that no other has. It is kept for as long as the book, longer than this
/// process, so it is not drawn from the seed.
fn key(inbound: &Inbound, task: &Task) -> Option<HeaderValue> {
    match task {
        Task::Read(_) | Task::Update(_) => None,
        Task::Create(_) => Some(
            inbound
                .headers
                .get(IDEMPOTENCY_KEY)
                .cloned()
                .unwrap_or_else(|| {
                    HeaderValue::try_from(Uuid::new_v4().to_string()).expect("digits and dashes")
                }),
        ),
    }
}

/// Why a call brought nothing.
fn cause(asked: &Called<Reply, AttemptError>) -> String {
    let cause = asked.report.cause.as_ref();
    cause.map_or_else(|| "no usable answer".to_owned(), Cause::to_string)
}

fn found(gate: GateName, task: &Task, book: &Book) -> Answer {
    match task {
        Task::Read(_) | Task::Update(_) => answer::json(book),
        Task::Create(_) => {
            let path = LibraryService::Gate.path();
            created_at(&format!("{path}/{gate}/{}", book.id), book)
        }
    }
}

/// A book service's refusal is the gate's: there is no such book, or it is none.
fn passed_on(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Answer::new(Full::from(body));
    *answer.status_mut() = status;
    let media_type = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}

fn unavailable(detail: &str) -> Answer {
    answer::problem(StatusCode::SERVICE_UNAVAILABLE, detail)
}
