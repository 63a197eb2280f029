//! The end of an exchange: what is told of it is written once, when its record is dropped.

use std::{borrow::Cow, time::Instant};

use brownout_telemetry::names::attr;

use super::{ExchangeEnd, Record, faults};
use crate::{access_log::ExchangeLine, error::ErrorKind};

/// The attributes of [`Times::parts`](crate::clock::Times::parts).
const TIME_ATTRIBUTES: [&str; 4] = [
    attr::BROWNOUT_UPSTREAM_MS,
    attr::BROWNOUT_FAULT_MS,
    attr::BROWNOUT_CLIENT_MS,
    attr::BROWNOUT_OWN_MS,
];

impl Drop for Record<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        self.client.ends_request(now);
        let route = &self.scope.route;
        if self.end == ExchangeEnd::Open && self.client.is_cut() {
            self.end = ExchangeEnd::Cut;
        }
        let by = match self.end {
            ExchangeEnd::ByFault(by) => Some(self.fired[by].id()),
            ExchangeEnd::Open
            | ExchangeEnd::Done
            | ExchangeEnd::Failed(_)
            | ExchangeEnd::BadRequest
            | ExchangeEnd::Outside
            | ExchangeEnd::Cut => None,
        };
        self.evidence.end(self.end, by, &self.client, now);
        match self.end {
            ExchangeEnd::Done
            | ExchangeEnd::ByFault(_)
            | ExchangeEnd::BadRequest
            | ExchangeEnd::Outside => {}
            ExchangeEnd::Failed(kind) => route.errors(kind).add(1),
            ExchangeEnd::Cut => faults::cut_beneath(&mut self.span, &mut self.attempt),
            ExchangeEnd::Open => {
                route.errors(ErrorKind::ClientDisconnect).add(1);
                let error = ErrorKind::ClientDisconnect.name();
                self.attempt.error(error, "");
                let held_by = self.held_by.map(|(by, _)| by);
                match held_by.or(self.paused_by) {
                    Some(by) => self.gave_up(by),
                    None => self
                        .span
                        .error(error, "the client left before the exchange was over"),
                }
            }
        }
        self.release(None);
        for by in 0..self.fired.len() {
            self.skipped(by);
        }
        self.count_held(|active| active.sub(1));
        let times = self.clock.times(now);
        let route = &self.scope.route;
        if !self.has_answered {
            route.responses(None).add(1);
        }
        route.record_times(&times);
        if self.was_sent {
            route.upstream_latency.record(times.upstream);
        }
        route.overhead.record(times.own);
        route.in_flight.sub(1);
        if let Some(access) = self.access.take() {
            access.log(&ExchangeLine {
                route: route.name(),
                status: self.status,
                ending: self.ending().as_deref(),
                bytes: self.bytes,
                times,
                fired: &self.fired,
                span: &self.span,
            });
        }
        if self.span.is_recording() {
            for (key, spent) in TIME_ATTRIBUTES.into_iter().zip(times.parts()) {
                let millis = i64::try_from(spent.as_millis()).unwrap_or(i64::MAX);
                self.span.set_int(key, millis);
            }
        }
        if !self.delayed.is_zero() {
            let millis = i64::try_from(self.delayed.as_millis()).unwrap_or(i64::MAX);
            self.span.set_int(attr::FAULT_DELAY_MS, millis);
        }
    }
}

impl Record<'_> {
    /// The word for how the exchange ended, where it did not end as it should.
    fn ending(&self) -> Option<Cow<'static, str>> {
        match self.end {
            ExchangeEnd::Done => None,
            ExchangeEnd::Open => Some(ErrorKind::ClientDisconnect.name().into()),
            ExchangeEnd::ByFault(by) => Some(faults::ending_of(&self.fired[by]).into()),
            ExchangeEnd::Failed(kind) => Some(kind.name().into()),
            ExchangeEnd::BadRequest => Some("request_body".into()),
            ExchangeEnd::Outside => Some("path_prefix".into()),
            ExchangeEnd::Cut => Some(faults::CUT.into()),
        }
    }
}
