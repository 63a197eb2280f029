//! The fault engine seen from outside: what is armed, what is decided, what is counted.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests: a failure is a panic, and time is real"
)]

mod arming;
mod clock;
mod deciding;
mod draws;
mod explaining;
mod holding;
mod import_cycles;
mod reference;
mod regressions;
mod schedules;
mod schemas;
mod sticky;

use std::time::{Duration, Instant, SystemTime};

use brownout_fault::{FaultPlan, FaultSpec, FaultWriter, Injection, Moment, Subject};
use http::Request;
use serde_json::Value;

/// A fixed beginning of time for each test.
fn start() -> Moment {
    Moment {
        instant: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
    }
}

fn later(start: Moment, seconds: u64) -> Moment {
    after(start, Duration::from_secs(seconds))
}

fn after(start: Moment, span: Duration) -> Moment {
    Moment {
        instant: start.instant + span,
        wall: start.wall + span,
    }
}

fn spec(value: &Value) -> FaultSpec {
    FaultSpec::read(value).unwrap()
}

fn arm(writer: &mut FaultWriter, value: &Value, now: Moment) -> String {
    writer.arm(vec![spec(value)], now).unwrap().remove(0).id
}

/// Decides for a plain `GET /` on the route `web`.
fn decide(plan: &FaultPlan, now: Moment) -> Injection {
    decide_for(plan, "web", &Request::get("/").body(()).unwrap(), now)
}

fn decide_for(plan: &FaultPlan, route: &str, request: &Request<()>, now: Moment) -> Injection {
    decide_on(plan, route, request, 0, now)
}

fn decide_on(
    plan: &FaultPlan,
    route: &str,
    request: &Request<()>,
    connection: u64,
    now: Moment,
) -> Injection {
    let subject = Subject {
        route,
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query(),
        host: None,
        fields: request.headers(),
        peer: ([127, 0, 0, 1], 40_000).into(),
        connection,
        request: 0,
        is_http2: false,
    };
    plan.decide(&subject, now.instant)
}

fn fired_ids(injection: &Injection) -> Vec<&str> {
    injection
        .fired
        .iter()
        .map(brownout_fault::Fired::id)
        .collect()
}
