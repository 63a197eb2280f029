//! `rate_limit`: too many requests are refused, as a service with a quota does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Accepts, Draw, FaultKind, Param, Phase,
    message::status,
    params,
    retry_after::{Form, RetryAfter, form, show, whole_seconds},
    written,
};
use crate::{
    edits::Field,
    injection::{Answer, RequestEnding, Injection},
    matcher::Per,
    read::{Problem, one_of, whole},
    subject::Subject,
    units::{duration_up_to, show_duration},
};

/// Refuses requests over a quota with 429, `Retry-After` and the `RateLimit` fields of
/// draft-ietf-httpapi-ratelimit-headers-06.
///
/// Requests within the quota pass untouched and count as `skipped`.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    limit: u32,
    window: Duration,
    kind: Kind,
    status: StatusCode,
    retry_after: Told,
    key: Per,
    answer: Arc<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    TokenBucket,
    FixedWindow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Truth(Form),
    Given(RetryAfter),
}

const GLOBAL: &str = "global";

/// What was used of the quotas.
#[derive(Debug, Default)]
pub struct Quotas(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    by_key: HashMap<Vec<u8>, Usage>,
}

#[derive(Debug, Clone, Copy)]
struct Usage {
    /// Of a window, when it began; of a bucket, when all that was taken is paid.
    at: Instant,
    count: u32,
}

impl Used {
    /// The most keys; more share one quota.
    const KEYS_MAX: usize = 10_000;
}

impl RateLimit {
    /// Takes one of the quota. How long to wait when there is none.
    fn take(&self, usage: &mut Usage, now: Instant) -> Result<(), Duration> {
        match self.kind {
            Kind::FixedWindow => {
                if now.saturating_duration_since(usage.at) >= self.window {
                    *usage = Usage { at: now, count: 0 };
                }
                if usage.count < self.limit {
                    usage.count += 1;
                    return Ok(());
                }
                Err(usage.at + self.window - now)
            }
            Kind::TokenBucket => {
                let one = self.window / self.limit;
                let full = now + self.window;
                let paid = usage.at.max(now) + one;
                if paid <= full {
                    usage.at = paid;
                    return Ok(());
                }
                Err(paid - full)
            }
        }
    }

    fn with_usage<T>(
        &self,
        state: &Quotas,
        subject: &Subject<'_>,
        now: Instant,
        with: impl FnOnce(&mut Used, &[u8], Usage) -> T,
    ) -> T {
        let mut used = state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = self.key.key(subject, <[u8]>::to_vec).unwrap_or_default();
        let known = used.by_key.contains_key(&key) || used.by_key.len() < Used::KEYS_MAX;
        let key = if known { key } else { Vec::new() };
        let usage = used.by_key.get(&key).copied();
        let usage = usage.unwrap_or(Usage { at: now, count: 0 });
        with(&mut used, &key, usage)
    }

    fn told(&self, wait: Duration) -> Option<RetryAfter> {
        match self.retry_after {
            Told::Nothing => None,
            Told::Given(given) => Some(given),
            // Whole seconds, up: who waits so long is not early.
            Told::Truth(form) => Some(RetryAfter {
                form,
                after: Duration::from_secs(rounded_up(wait).max(1)),
            }),
        }
    }
}

fn rounded_up(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

impl FaultKind for RateLimit {
    const NAME: &'static str = "rate_limit";
    const SUMMARY: &'static str = "refuses requests over a quota with 429 and Retry-After";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("limit", Accepts::Whole(1, 1_000_000), "10", "requests of a window; the shorthand 10 means this"),
        Param::new("window", Accepts::Duration("24h"), "1s", "how long a quota lasts, or takes to fill again"),
        Param::new("kind", Accepts::Words(&["token_bucket", "fixed_window"]), "token_bucket", "fill again evenly, or all at once"),
        Param::new("status", Accepts::Whole(200, 599), "429", "the answer's status"),
        Param::new("retry_after", Accepts::Any(&[Accepts::Words(&["auto", "date:auto", "none"]), Accepts::Seconds, Accepts::Date]), "auto", "what the answer tells the client; auto is the truth"),
        Param::new("key", Accepts::Key, GLOBAL, "whose quota it is"),
    ];
    const SHORTHAND: &'static str = "limit";
    const EXAMPLE: &'static str = r#"{"limit":2,"window":"10s"}"#;

    type State = Quotas;

    fn read(value: &Value) -> Result<Self, Problem> {
        if value.is_number() {
            return Self::read(&json!({ "limit": value })).map_err(|problem| Problem::here(problem.detail));
        }
        let object = params::<Self>(value)?;
        let limit = object.optional("limit", whole(1, 1_000_000))?.unwrap_or(10);
        let kinds = ["token_bucket", "fixed_window"];
        let kind = object.optional("kind", one_of("kind", &kinds))?;
        let status = object
            .optional("status", status)?
            .unwrap_or(StatusCode::TOO_MANY_REQUESTS);
        let day = Duration::from_secs(24 * 60 * 60);
        let retry_after = object.optional("retry_after", |value| match form(value)? {
            (Form::Seconds, "none") => Ok(Told::Nothing),
            (form @ (Form::Seconds | Form::Date), "auto") => Ok(Told::Truth(form)),
            (form, rest) => match whole_seconds(rest)? {
                after if after > day => Err(Problem::here("is above 24h")),
                after => Ok(Told::Given(RetryAfter { form, after })),
            },
        })?;
        let key = object.optional("key", |value| match value {
            value if value == GLOBAL => Ok(Per::Request),
            value if value == "request" => Err(Problem::here("would never be used up; write \"global\"")),
            other => Per::read(other),
        })?;
        Ok(Self {
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
            window: object
                .optional("window", duration_up_to(day))?
                .unwrap_or(Duration::from_secs(1)),
            kind: match kind {
                Some("fixed_window") => Kind::FixedWindow,
                _ => Kind::TokenBucket,
            },
            status,
            retry_after: retry_after.unwrap_or(Told::Truth(Form::Seconds)),
            key: key.unwrap_or_default(),
            answer: Arc::new(Answer::plain(status, Vec::new())),
        })
    }

    fn to_value(&self) -> Value {
        let kind = match self.kind {
            Kind::TokenBucket => "token_bucket",
            Kind::FixedWindow => "fixed_window",
        };
        let retry_after = match self.retry_after {
            Told::Truth(form) => show(form, "auto"),
            Told::Nothing => "none".to_owned(),
            Told::Given(given) => given.to_text(),
        };
        let key = match &self.key {
            Per::Request => GLOBAL.to_owned(),
            per => per.to_text(),
        };
        written([
            ("limit", Some(json!(self.limit))),
            ("window", Some(json!(show_duration(self.window)))),
            ("kind", Some(json!(kind))),
            ("status", Some(json!(self.status.as_u16()))),
            ("retry_after", Some(json!(retry_after))),
            ("key", Some(json!(key))),
        ])
    }

    fn ends(&self) -> bool {
        true
    }

    fn condition(&self) -> Option<&'static str> {
        Some("when the quota is used up")
    }

    fn takes(&self, draw: &mut Draw<'_, Quotas>, _into: &mut Injection) -> bool {
        let now = draw.now;
        self.with_usage(draw.state, draw.subject, now, |used, key, mut usage| {
            let over = self.take(&mut usage, now).is_err();
            used.by_key.insert(key.to_vec(), usage);
            over
        })
    }

    fn inject(&self, draw: &mut Draw<'_, Quotas>, into: &mut Injection) {
        let now = draw.now;
        let wait = self.with_usage(draw.state, draw.subject, now, |_, _, mut usage| {
            self.take(&mut usage, now).err().unwrap_or_default()
        });
        let mut fields = vec![
            Field::new("ratelimit-limit", self.limit.to_string()),
            Field::new("ratelimit-remaining", "0"),
            Field::new("ratelimit-reset", rounded_up(wait).to_string()),
        ];
        let told = self.told(wait);
        let date = told.and_then(RetryAfter::date);
        if let (Some(told), None) = (told, date) {
            fields.push(Field::new("retry-after", told.after.as_secs().to_string()));
        }
        let answer = self.answer.with_fields(fields).with_retry_date(date);
        into.end(RequestEnding::Answer(Arc::new(answer)));
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a beginning of time for tests")]
mod tests {
    use super::*;

    /// Which of the requests at these milliseconds pass.
    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn pass(spec: Value, at: &[u64]) -> Vec<bool> {
        let limit = RateLimit::read(&spec).unwrap();
        assert_eq!(RateLimit::read(&limit.to_value()), Ok(limit.clone()));
        let began = Instant::now();
        let mut usage = Usage { at: began, count: 0 };
        let take = |millis: &u64| limit.take(&mut usage, began + Duration::from_millis(*millis)).is_ok();
        at.iter().map(take).collect()
    }

    #[test]
    fn a_bucket_fills_evenly_and_a_window_at_once() {
        let at = [0, 0, 0, 400, 500, 999, 1_000, 1_000, 1_000];

        let bucket = pass(json!({ "limit": 2 }), &at);
        let window = pass(json!({ "limit": 2, "kind": "fixed_window", "retry_after": "date:auto" }), &at);

        assert_eq!(bucket, [true, true, false, false, true, false, true, false, false]);
        assert_eq!(window, [true, true, false, false, false, false, true, true, false]);
    }

    #[test]
    fn the_wait_told_may_be_nothing_or_over_already() {
        for told in ["0s", "date:0s", "date:-10s"] {
            let limit = RateLimit::read(&json!({ "retry_after": told })).unwrap();
            assert_eq!(limit.to_value()["retry_after"], told);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let cases = [
            (json!(0), ""),
            (json!({ "limit": 0 }), "/limit"),
            (json!({ "key": "request" }), "/key"),
            (json!({ "retry_after": "1500ms" }), "/retry_after"),
            (json!({ "retry_after": "date:none" }), "/retry_after"),
            (json!({ "retry_after": "date:-auto" }), "/retry_after"),
            (json!({ "retry_after": "25h" }), "/retry_after"),
            (json!({ "kind": "leaky" }), "/kind"),
        ];
        for (value, pointer) in cases {
            assert_eq!(RateLimit::read(&value).unwrap_err().pointer, pointer, "{value}");
        }
    }
}
