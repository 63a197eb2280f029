//! `saturate`: a service with too few workers.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, message::status, params, written};
use crate::{
    injection::{Answer, RequestEnding, Injection, Since},
    read::{Problem, whole},
    wait::Wait,
};

/// Models a service with so many workers, a service time and a queue: below its capacity a request takes the
/// service time, above it the queue grows and with it the wait, and when the queue is full requests are shed.
///
/// Work that a client gave up on is done all the same, as in most services: so retries make it worse. The
/// request is forwarded after its wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Saturate {
    concurrency: usize,
    service_time: Wait,
    queue: usize,
    overflow: StatusCode,
    answer: Arc<Answer>,
}

/// The workers of one fault, and when each is free.
#[derive(Debug, Default)]
pub struct Workers(Mutex<Busy>);

#[derive(Debug, Default)]
struct Busy {
    /// When each worker is free.
    free_at: BinaryHeap<Reverse<Instant>>,
    /// When each waiting request begins, in order.
    begins: VecDeque<Instant>,
}

impl Busy {
    /// How long a request takes that needs a worker for `service`; `None` when it is shed.
    fn admit(&mut self, model: &Saturate, service: Duration, now: Instant) -> Option<Duration> {
        while self.begins.front().is_some_and(|begin| *begin <= now) {
            self.begins.pop_front();
        }
        let begin = if self.free_at.len() < model.concurrency {
            now
        } else {
            let Reverse(free) = *self.free_at.peek()?;
            if free > now && self.begins.len() >= model.queue {
                return None;
            }
            self.free_at.pop();
            free.max(now)
        };
        if begin > now {
            self.begins.push_back(begin);
        }
        let end = begin + service;
        self.free_at.push(Reverse(end));
        Some(end - now)
    }
}

impl FaultKind for Saturate {
    const NAME: &'static str = "saturate";
    const SUMMARY: &'static str = "makes latency grow with load, as a service with too few workers does";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("concurrency", Accepts::Whole(1, 10_000), "20", "workers"),
        Param::new("service_time", Accepts::Distribution, "100ms", "how long a worker takes"),
        Param::new("queue", Accepts::Whole(0, 10_000), "100", "requests that may wait for a worker"),
        Param::new("overflow", Accepts::Whole(200, 599), "503", "the status of requests that are shed"),
    ];
    const EXAMPLE: &'static str = r#"{"concurrency":1,"service_time":"300ms","queue":10}"#;

    type State = Workers;

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let bounded = |key: &str, min: u64, default: usize| {
            let read = object.optional(key, whole(min, 10_000))?;
            Ok(read.map_or(default, |n| usize::try_from(n).unwrap_or(default)))
        };
        let service_time = object.optional("service_time", Wait::read)?;
        let overflow = object.optional("overflow", status)?;
        let overflow = overflow.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        Ok(Self {
            concurrency: bounded("concurrency", 1, 20)?,
            service_time: match service_time {
                Some(wait) => wait,
                None => Wait::fixed(&json!("100ms"))?,
            },
            queue: bounded("queue", 0, 100)?,
            overflow,
            answer: Arc::new(Answer::plain(overflow, Vec::new())),
        })
    }

    fn to_value(&self) -> Value {
        written([
            ("concurrency", Some(json!(self.concurrency))),
            ("service_time", Some(self.service_time.to_value())),
            ("queue", Some(json!(self.queue))),
            ("overflow", Some(json!(self.overflow.as_u16()))),
        ])
    }

    fn ends(&self) -> bool {
        true
    }

    fn holds(&self) -> bool {
        true
    }

    fn scales(&self) -> bool {
        true
    }

    fn inject(&self, draw: &mut Draw<'_, Workers>, into: &mut Injection) {
        let service = self.service_time.draw(draw.roll).mul_f64(draw.scale);
        let mut busy = draw.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        match busy.admit(self, service, draw.now) {
            Some(wait) => into.delay(wait, Since::Now),
            None => into.end(RequestEnding::Answer(Arc::clone(&self.answer))),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a beginning of time for tests")]
mod tests {
    use super::*;

    #[test]
    fn latency_grows_with_load_until_requests_are_shed() {
        let spec = json!({ "concurrency": 2, "service_time": "100ms", "queue": 3 });
        let model = Saturate::read(&spec).unwrap();
        assert_eq!(Saturate::read(&model.to_value()), Ok(model.clone()));
        let (mut busy, now) = (Busy::default(), Instant::now());
        let service = Duration::from_millis(100);

        let waits: Vec<Option<u128>> = (0..7)
            .map(|_| busy.admit(&model, service, now).map(|wait| wait.as_millis()))
            .collect();

        let wanted = [Some(100), Some(100), Some(200), Some(200), Some(300), None, None];
        assert_eq!(waits, wanted);
        let later = now + Duration::from_millis(150);
        assert_eq!(busy.admit(&model, service, later), Some(Duration::from_millis(150)));
        let idle = now + Duration::from_secs(10);
        assert_eq!(busy.admit(&model, service, idle), Some(service));
    }
}
