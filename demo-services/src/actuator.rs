//! What resilience4j's users know from Spring's actuator: the health page, and the last events of the breakers.

use std::sync::Arc;

use brownout_resilience::{EventRecord, health};
use http::StatusCode;
use serde::Serialize;

use crate::{
    answer::{self, Answer},
    upstream::{Protection, Upstream},
};

/// `GET /actuator/health`: the breakers that their policy shows, and their rate limits. 503 when it is down.
pub(crate) fn health(upstreams: &[Arc<Upstream>]) -> Answer {
    let protections: Vec<Arc<Protection>> = upstreams.iter().map(|it| it.protection()).collect();
    let clients = protections.iter().flat_map(|it| it.named());
    let page = health::Page::of_clients(clients);
    let mut answer = answer::json(page.to_json());
    if page.status == health::Status::Down {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    answer
}

/// `GET /actuator/circuitbreakerevents`: as many of the last events of each upstream's breakers as the policy keeps.
pub(crate) fn events(upstreams: &[Arc<Upstream>]) -> Answer {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Events {
        circuit_breaker_events: Vec<EventRecord>,
    }
    let mut events: Vec<EventRecord> = upstreams
        .iter()
        .flat_map(|it| it.protection().events())
        .collect();
    events.sort_by(|a, b| a.creation_time.cmp(&b.creation_time));
    answer::json(&Events {
        circuit_breaker_events: events,
    })
}
