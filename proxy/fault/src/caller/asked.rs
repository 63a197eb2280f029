//! What the header fields of a request ask for.

use std::{ops::ControlFlow, time::Duration};

use serde_json::{Value, json};
use smallvec::SmallVec;

use crate::{
    faults::Fault,
    fields::{Fields, is_grpc},
    injection::GrpcStatus,
    phase::Phase,
    probability::Percent,
    units::{parse_duration, show_duration},
};

/// Ours: `latency=300ms`, `abort=503;percent=20`, several with a comma between.
const OWN: &str = "x-brownout-fault";
/// Envoy's, as its fault filter reads them.
const DELAY: &str = "x-envoy-fault-delay-request";
const DELAY_PERCENT: &str = "x-envoy-fault-delay-request-percentage";
const ABORT: &str = "x-envoy-fault-abort-request";
const ABORT_PERCENT: &str = "x-envoy-fault-abort-request-percentage";
const ABORT_GRPC: &str = "x-envoy-fault-abort-grpc-request";
const RATE: &str = "x-envoy-fault-throughput-response";
const RATE_PERCENT: &str = "x-envoy-fault-throughput-response-percentage";

/// The header fields by which callers ask for faults. Where they may, none of them goes on to the upstream.
pub const CALLER_FIELDS: [&str; 8] = [
    OWN,
    DELAY,
    DELAY_PERCENT,
    ABORT,
    ABORT_PERCENT,
    ABORT_GRPC,
    RATE,
    RATE_PERCENT,
];

/// The kinds that a caller may ask for, with their phases: those that keep nothing from one request to the next.
pub(super) const KINDS: [(&str, Phase); 5] = [
    ("latency", Phase::Request),
    ("abort", Phase::Request),
    ("reset", Phase::Request),
    ("close", Phase::Request),
    ("bandwidth", Phase::ResponseBody),
];

/// The longest wait that a caller gets.
pub(super) const LATENCY_MAX: Duration = Duration::from_secs(30);

/// The longest value that is read, in bytes.
const VALUE_BYTES_MAX: usize = 256;

/// One fault that is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) fault: Fault,
    pub(super) percent: Percent,
}

/// What the fields of one request ask for.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) has_fields: bool,
    /// Something could not be understood.
    pub(super) was_ignored: bool,
    /// In the order of their phases, one of each kind at most.
    pub(super) asked: SmallVec<[Asked; 2]>,
}

/// The values of Envoy's fields; of a field that comes twice the first counts, as there.
#[derive(Debug, Default)]
struct Envoy<'f> {
    delay: Option<&'f str>,
    delay_percent: Option<&'f str>,
    abort: Option<&'f str>,
    abort_percent: Option<&'f str>,
    abort_grpc: Option<&'f str>,
    rate: Option<&'f str>,
    rate_percent: Option<&'f str>,
}

impl<'f> Envoy<'f> {
    fn place(&mut self, name: &str) -> Option<&mut Option<&'f str>> {
        Some(match name {
            DELAY => &mut self.delay,
            DELAY_PERCENT => &mut self.delay_percent,
            ABORT => &mut self.abort,
            ABORT_PERCENT => &mut self.abort_percent,
            ABORT_GRPC => &mut self.abort_grpc,
            RATE => &mut self.rate,
            RATE_PERCENT => &mut self.rate_percent,
            _ => return None,
        })
    }
}

/// Reads them. What is malformed is ignored, the rest is not.
pub(super) fn read(fields: &dyn Fields) -> Reading {
    let mut reading = Reading::default();
    let mut envoy = Envoy::default();
    fields.walk(&mut |name, value| {
        let known = CALLER_FIELDS.iter();
        let Some(name) = (known.copied()).find(|known| known.as_bytes().eq_ignore_ascii_case(name))
        else {
            return ControlFlow::Continue(());
        };
        reading.has_fields = true;
        let text = str::from_utf8(value).ok().map(str::trim);
        match text.filter(|text| text.len() <= VALUE_BYTES_MAX) {
            None => reading.was_ignored = true,
            Some(text) => match envoy.place(name) {
                Some(place) => _ = place.get_or_insert(text),
                None => reading.own(text),
            },
        }
        ControlFlow::Continue(())
    });
    reading.envoy(&envoy, fields);
    let place = |asked: &Asked| {
        KINDS
            .iter()
            .position(|(kind, _)| *kind == asked.fault.name())
    };
    reading.asked.sort_by_key(place);
    reading
}

impl Reading {
    /// Adds one fault; of one kind the first counts.
    fn add(&mut self, asked: Option<Asked>) {
        match asked {
            Some(new) if !self.has(new.fault.name()) => self.asked.push(new),
            _ => self.was_ignored = true,
        }
    }

    fn has(&self, kind: &str) -> bool {
        self.asked.iter().any(|asked| asked.fault.name() == kind)
    }

    /// One value of our own field. It is a whole: if one part cannot be read, no part counts.
    fn own(&mut self, text: &str) {
        let parts: Option<SmallVec<[Asked; 2]>> = text.split(',').map(own_part).collect();
        match parts {
            Some(parts) => parts.into_iter().for_each(|part| self.add(Some(part))),
            None => self.was_ignored = true,
        }
    }

    fn envoy(&mut self, envoy: &Envoy<'_>, fields: &dyn Fields) {
        if let Some(text) = envoy.delay {
            let millis = whole(text).map(|millis| format!("{millis}ms"));
            let value = millis.and_then(|millis| latency(&millis));
            self.add_envoy("latency", value, envoy.delay_percent);
        }
        if let Some(text) = envoy.abort {
            let status = whole(text).map(|status| json!(status));
            self.add_envoy("abort", status, envoy.abort_percent);
        }
        if let Some(text) = envoy.rate {
            let rate = whole(text).map(|rate| json!(format!("{rate}KiB/s")));
            self.add_envoy("bandwidth", rate, envoy.rate_percent);
        }
        if let Some(text) = envoy.abort_grpc {
            // For a call of gRPC alone; and a status of HTTP that is asked for beside it goes first, as there.
            let status = whole(text).and_then(GrpcStatus::numbered);
            let status = status.filter(|_| is_grpc(fields));
            let status = status.map(|status| json!({ "grpc_status": status.name() }));
            self.add_envoy("abort", status, envoy.abort_percent);
        }
    }

    fn add_envoy(&mut self, kind: &str, value: Option<Value>, percent: Option<&str>) {
        let percent = match percent {
            None => Some(Percent::ALL),
            Some(text) => whole(text).and_then(|percent| Percent::read(&json!(percent)).ok()),
        };
        self.add(value.zip(percent).and_then(|(value, percent)| {
            let fault = Fault::read(kind, &value)?.ok()?;
            Some(Asked { fault, percent })
        }));
    }
}

/// `KIND=VALUE`, or `KIND` where a kind needs no value; then perhaps `;percent=NUMBER`.
fn own_part(text: &str) -> Option<Asked> {
    let (fault, percent) = match text.split_once(';') {
        None => (text, Percent::ALL),
        Some((fault, parameter)) => {
            let (name, percent) = parameter.split_once('=')?;
            let percent: f64 = percent.trim().parse().ok()?;
            let percent = Percent::read(&json!(percent)).ok()?;
            (fault, (name.trim() == "percent").then_some(percent)?)
        }
    };
    let (kind, value) = match fault.split_once('=') {
        Some((kind, value)) => (kind.trim(), Some(value.trim())),
        None => (fault.trim(), None),
    };
    let value = match (kind, value) {
        ("latency", Some(value)) => latency(value)?,
        ("abort", Some(value)) => json!(whole(value)?),
        ("bandwidth", Some(value)) => json!(value),
        ("abort" | "reset" | "close", None) => json!({}),
        _ => return None,
    };
    let fault = Fault::read(kind, &value)?.ok()?;
    Some(Asked { fault, percent })
}

/// A wait, cut to the longest that callers get.
fn latency(text: &str) -> Option<Value> {
    let wait = parse_duration(text).ok()?;
    Some(json!(show_duration(wait.min(LATENCY_MAX))))
}

/// A whole number in decimal digits and nothing else.
fn whole(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn reading(fields: &[(&'static str, &'static str)]) -> Reading {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_static(name);
            map.append(name, HeaderValue::from_static(value));
        }
        read(&map)
    }

    fn kinds(reading: &Reading) -> Vec<(&'static str, Value)> {
        let asked = reading.asked.iter();
        asked
            .map(|asked| (asked.fault.name(), asked.percent.to_value()))
            .collect()
    }

    #[test]
    fn a_request_without_such_a_field_asks_for_nothing() {
        let reading = reading(&[("x-request-id", "latency=300ms")]);

        assert!(!reading.has_fields && !reading.was_ignored && reading.asked.is_empty());
    }

    #[test]
    fn ours_and_envoys_fields_mean_the_same() {
        let ours = reading(&[(OWN, "abort=503, latency=300ms;percent=50, bandwidth=8KiB/s")]);
        let envoys = reading(&[
            (DELAY, "300"),
            (DELAY_PERCENT, "50"),
            (ABORT, "503"),
            (RATE, "8"),
        ]);

        assert_eq!(
            kinds(&ours),
            [
                ("latency", json!(50)),
                ("abort", json!(100)),
                ("bandwidth", json!(100))
            ],
            "in the order in which they act"
        );
        assert_eq!(ours.asked, envoys.asked);
        assert!(!ours.was_ignored && !envoys.was_ignored);
    }

    #[test]
    fn a_wait_is_cut_to_the_longest() {
        let long = reading(&[(OWN, "latency=2h")]);
        let longest = reading(&[(DELAY, "30000")]);

        assert_eq!(long.asked, longest.asked);
        assert!(!long.was_ignored);
    }

    #[test]
    fn what_is_malformed_is_ignored_and_said() {
        for (name, value) in [
            (OWN, ""),
            (OWN, "latency"),
            (OWN, "latency=300"),
            (OWN, "latency=-1s"),
            (OWN, "latency=300ms,"),
            (OWN, "latency=300ms;percent=101"),
            (OWN, "latency=300ms;percent=NaN"),
            (OWN, "latency=300ms;share=1"),
            (OWN, "abort=99"),
            (OWN, "abort=600"),
            (OWN, "abort=+503"),
            (OWN, "abort=503,latency=soon"),
            (OWN, "refuse"),
            (OWN, "blackhole=1s"),
            (OWN, "rate_limit=1"),
            (DELAY, "300ms"),
            (DELAY, ""),
            (DELAY, "99999999999999999999"),
            (ABORT, "1000"),
            (ABORT_GRPC, "14"),
            (RATE, "0.5"),
        ] {
            let reading = reading(&[(name, value)]);

            assert!(reading.asked.is_empty(), "{name}: {value}");
            assert!(reading.has_fields && reading.was_ignored, "{name}: {value}");
        }
    }

    #[test]
    fn a_status_of_grpc_is_for_a_call_of_grpc() {
        let call = ("content-type", "application/grpc+proto");
        let asked = reading(&[call, (ABORT_GRPC, "8"), (ABORT_PERCENT, "40")]);
        let of_http = reading(&[call, (ABORT_GRPC, "8"), (ABORT, "418")]);

        assert_eq!(kinds(&asked), [("abort", json!(40))]);
        let written = asked.asked[0].fault.to_value();
        assert_eq!(written["grpc_status"], "RESOURCE_EXHAUSTED");
        assert!(!asked.was_ignored);
        assert_eq!(of_http.asked[0].fault.to_value()["status"], 418);
        for wrong in ["0", "17", "UNAVAILABLE", ""] {
            let asked = reading(&[call, (ABORT_GRPC, wrong)]);
            assert!(asked.was_ignored && asked.asked.is_empty(), "{wrong}");
        }
    }

    #[test]
    fn a_malformed_field_leaves_the_others() {
        let reading = reading(&[
            (DELAY, "soon"),
            (ABORT, "503"),
            (OWN, "close"),
            (OWN, "abort=500"),
        ]);

        assert_eq!(
            kinds(&reading),
            [("abort", json!(100)), ("close", json!(100))],
            "of two of a kind the first that was read counts"
        );
        assert!(reading.was_ignored);
    }

    #[test]
    fn a_value_that_is_too_long_is_ignored() {
        let mut map = HeaderMap::new();
        let long = format!("latency=1ms{}", " ".repeat(300) + "x");
        map.insert(OWN, HeaderValue::from_str(&long).unwrap());

        let reading = read(&map);

        assert!(reading.was_ignored && reading.asked.is_empty());
    }
}
