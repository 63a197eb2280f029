//! `bandwidth`: bodies go no faster than a rate.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::{Bucket, Buckets, Injection, Shape},
    read::{Problem, one_of},
    stream::{Budget, Chance, Layer, Stage},
    units::{rate, show_rate, show_size, byte_count},
};

/// Lets bodies through at a rate: a token bucket that moves in slots of a sixteenth of a second.
/// What the burst does not cover takes its time before it goes, the first bytes and those after a rest too.
///
/// Only body bytes count, of answers or of requests. The budget is of each stream, of the whole fault, or of each
/// route and so of the upstream behind it. A removed fault lets the rest go at full speed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bandwidth {
    rate: u64,
    burst: u64,
    share: Share,
    side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Stream,
    Fault,
    Upstream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

/// The burst that a rate has by itself lasts 100 ms.
const BURSTS_A_SECOND: u64 = 10;

impl FaultKind for Bandwidth {
    const NAME: &'static str = "bandwidth";
    const SUMMARY: &'static str = "lets bodies through no faster than a rate";
    const PHASE: Phase = Phase::ResponseBody;
    const PARAMS: &'static [Param] = &[
        Param::new("rate", Accepts::Rate, "64KiB/s", "bytes a second; the shorthand \"64KiB/s\" means this"),
        Param::new("burst", Accepts::Size, "", "bytes that may go at once after a rest; left out it is what the rate allows in 100 ms, at least 1 byte"),
        Param::new("share", Accepts::Words(&["stream", "fault", "upstream"]), "stream", "whose budget it is: each body's or connection's, all of the fault's, or all of a route's"),
        Param::new("side", Accepts::Words(&["request", "response"]), "response", "which bodies"),
    ];
    const SHORTHAND: &'static str = "rate";
    const EXAMPLE: &'static str = r#"{"rate":"1KiB/s","burst":"0B"}"#;

    const LAYERS: &'static [Layer] = &[Layer::Request, Layer::Stream];
    const STREAM: &'static str = "the bytes of its `direction` pass no faster than `rate`: each connection with a budget of its own, or with `share` all of the fault's, or all of a route's; who sends is slowed down";

    type State = Buckets;

    fn read(value: &Value) -> Result<Self, Problem> {
        if value.is_string() {
            rate(value)?;
            return Self::read(&json!({ "rate": value }));
        }
        let object = params::<Self>(value)?;
        let share = object.optional("share", one_of("share", &["stream", "fault", "upstream"]))?;
        let side = object.optional("side", one_of("side", &["request", "response"]))?;
        let rate = object.optional("rate", rate)?.unwrap_or(64 * 1024);
        Ok(Self {
            rate,
            burst: object.optional("burst", byte_count)?.unwrap_or((rate / BURSTS_A_SECOND).max(1)),
            share: match share {
                Some("fault") => Share::Fault,
                Some("upstream") => Share::Upstream,
                _ => Share::Stream,
            },
            side: match side {
                Some("request") => Side::Request,
                _ => Side::Response,
            },
        })
    }

    fn to_value(&self) -> Value {
        let share = match self.share {
            Share::Stream => "stream",
            Share::Fault => "fault",
            Share::Upstream => "upstream",
        };
        let side = match self.side {
            Side::Request => "request",
            Side::Response => "response",
        };
        written([
            ("rate", Some(json!(show_rate(self.rate)))),
            ("burst", Some(json!(show_size(self.burst)))),
            ("share", Some(json!(share))),
            ("side", Some(json!(side))),
        ])
    }

    fn phase(&self) -> Phase {
        match self.side {
            Side::Request => Phase::Request,
            Side::Response => Phase::ResponseBody,
        }
    }

    fn holds(&self) -> bool {
        true
    }

    fn rate(&self) -> Option<u64> {
        Some(self.rate)
    }

    fn check_stream(&self) -> Result<(), Problem> {
        match self.side {
            Side::Response => Ok(()),
            Side::Request => Err(Problem::at("side", "goes with requests; a connection has a `direction`")),
        }
    }

    fn stage(&self, chance: Chance<'_>, buckets: &Buckets) -> Option<Stage> {
        let (rate, burst) = (self.rate, self.burst);
        let shared = |name| {
            let bucket = buckets.named(name, || Bucket::new(rate, burst));
            Budget::shared(rate, burst, bucket)
        };
        Some(Stage::Pace(match self.share {
            Share::Stream => Budget::own(rate, burst),
            Share::Fault => shared(""),
            Share::Upstream => shared(chance.route),
        }))
    }

    fn inject(&self, draw: &mut Draw<'_, Buckets>, into: &mut Injection) {
        let make = || Bucket::new(self.rate, self.burst);
        let bucket = match self.share {
            Share::Stream => Arc::new(make()),
            Share::Fault => draw.state.named("", make),
            Share::Upstream => draw.state.named(draw.subject.route, make),
        };
        match self.side {
            Side::Request => into.pace_upload(bucket),
            Side::Response => into.shape(Shape::Pace(bucket)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_of_a_rate_lasts_100_ms_and_is_at_least_a_byte() {
        for (rate, burst) in [("64KiB/s", 6_553), ("10B/s", 1), ("1B/s", 1), ("1MB/s", 100_000)] {
            assert_eq!(Bandwidth::read(&json!(rate)).unwrap().burst, burst, "{rate}");
        }
        let said = Bandwidth::read(&json!({ "rate": "10B/s", "burst": "0B" })).unwrap();
        assert_eq!(said.burst, 0);
    }
}
