//! What a service counts about the requests it answers.

use std::time::Duration;

use brownout_telemetry::{Counter, Gauge, Histogram, Metrics};
use http::StatusCode;

use crate::service::Service;

/// A number kept twice: for this service alone, and for the process, whose metrics may outlive the service or be
/// shared by several.
#[derive(Debug)]
pub(crate) struct Tally {
    own: Counter,
    shared: Counter,
}

impl Tally {
    pub(crate) fn new(shared: Counter) -> Self {
        Self {
            own: Counter::default(),
            shared,
        }
    }

    pub(crate) fn count(&self) {
        self.own.add(1);
        self.shared.add(1);
    }

    /// This service's own.
    pub(crate) fn total(&self) -> u64 {
        self.own.total()
    }
}

/// What becomes of requests.
#[derive(Debug)]
pub(crate) struct ServiceTally {
    pub(crate) received: Tally,
    pub(crate) answered: Counter,
    pub(crate) abandoned: Counter,
    pub(crate) shed: Counter,
    pub(crate) expired: Counter,
    pub(crate) running: Gauge,
    responses: [Counter; CLASSES],
    errors: Counter,
    latency: Histogram,
}

/// 1xx to 5xx.
const CLASSES: usize = 5;

impl ServiceTally {
    pub(crate) fn new(service: Service, metrics: &Metrics) -> Self {
        let method = service.method().as_str().to_lowercase();
        Self::named(service.metric_name(), &method, metrics)
    }

    /// Of the service `name`, whose requests are counted as `NAME.RECEIVED`.
    pub(crate) fn named(name: &str, received: &str, metrics: &Metrics) -> Self {
        Self {
            received: Tally::new(metrics.counter_named(format!("{name}.{received}"))),
            answered: Counter::default(),
            abandoned: Counter::default(),
            shed: Counter::default(),
            expired: metrics.counter_named(format!("{name}.expired")),
            running: Gauge::default(),
            responses: [1, 2, 3, 4, 5]
                .map(|class| metrics.counter_named(format!("{name}.responses.{class}xx"))),
            errors: metrics.counter_named(format!("{name}.errors")),
            latency: metrics.histogram_named(format!("{name}.latency")),
        }
    }

    /// Counts an answer, whether or not anybody waits for it.
    pub(crate) fn responded(&self, status: StatusCode, latency: Duration) {
        let class = usize::from(status.as_u16() / 100);
        if let Some(counter) = self.responses.get(class.wrapping_sub(1)) {
            counter.add(1);
        }
        if status.is_server_error() {
            self.errors.add(1);
        }
        self.latency.record(latency);
    }
}
