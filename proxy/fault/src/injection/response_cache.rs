//! Answers that are kept, to be given again.

use std::{
    collections::HashMap,
    fmt,
    hash::Hasher,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::StatusCode;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::Answer;
use crate::{edits::Field, fields::Fields, subject::Subject};

/// Answers of upstreams by request, at most 1,000. When it is full, further answers are not kept.
///
/// An answer is given again only for a request of the same route, method, host and target, with the same fields that
/// tell who asks (such as `Authorization`, `Cookie` and `X-Api-Key`), and with the same values of the fields that the answer's `Vary` names (RFC 9111
/// §4.1). An answer with `Cache-Control: private` belongs to one user (RFC 9111 §5.2.2.7): it is given again only for a
/// request with the same fields, besides those of tracing. `Set-Cookie` is never given again.
#[derive(Default)]
pub struct ResponseCache(Mutex<Answers>);

#[derive(Default)]
struct Answers {
    by_key: HashMap<Key, Vec<Kept>>,
    count: usize,
}

/// An answer, and the request that it answers as far as `Vary` names its fields.
struct Kept {
    at: Instant,
    answer: Arc<Answer>,
    /// Names of fields of the request, and their values joined.
    varies: Vec<(String, Vec<u8>)>,
    /// Of an answer for one user: a hash of all fields of its request, besides those of tracing.
    only_for: Option<u128>,
}

/// What must be the same of two requests, whatever the answer says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    target: String,
    /// A hash of the fields that tell who asks, so that credentials are not kept in memory.
    caller: u128,
}

/// Parts of names of fields that tell who asks: `Authorization`, `Cookie`, `X-Api-Key`, `X-User-Id` and the like.
const CALLER: [&str; 11] = [
    "auth",
    "cookie",
    "token",
    "api-key",
    "apikey",
    "session",
    "secret",
    "credential",
    "user",
    "tenant",
    "account",
];

/// Fields that differ between two equal requests of one user.
const TRACING: [&str; 5] = [
    "traceparent",
    "tracestate",
    "x-request-id",
    "x-correlation-id",
    "b3",
];

/// Whether a field of a request, by its name in lower case, tells who asks.
fn tells_who_asks(name: &str) -> bool {
    name != "user-agent" && CALLER.iter().any(|part| name.contains(part))
}

/// The right to put the answer of one request into a cache.
#[derive(Debug)]
pub struct Keep {
    cache: Arc<ResponseCache>,
    key: Key,
    /// The request's fields, for `Vary`; names in lower case.
    asked: Vec<(String, Bytes)>,
    /// A hash of them all, besides those of tracing.
    asked_hash: u128,
}

impl ResponseCache {
    /// The most answers.
    const ANSWERS_MAX: usize = 1_000;

    /// The answer that was kept for this request and how old it is, if it is not older than `age`.
    pub(crate) fn find(
        &self,
        subject: &Subject<'_>,
        age: Duration,
        now: Instant,
    ) -> Option<(Arc<Answer>, Duration)> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Answers { by_key, count } = &mut *answers;
        let key = Key::of(subject);
        let kept = by_key.get_mut(&key)?;
        let at = kept.iter().position(|kept| {
            let mut varies = kept.varies.iter();
            varies.all(|(name, value)| joined(subject.fields, name) == *value)
                && kept
                    .only_for
                    .is_none_or(|request| request == hash_of(subject.fields, is_not_of_tracing))
        })?;
        let is_old = now.saturating_duration_since(kept[at].at);
        if is_old > age {
            kept.swap_remove(at);
            *count -= 1;
            if kept.is_empty() {
                by_key.remove(&key);
            }
            return None;
        }
        Some((Arc::clone(&kept[at].answer), is_old))
    }

    pub(crate) fn keep(self: &Arc<Self>, subject: &Subject<'_>) -> Keep {
        let mut asked = Vec::new();
        subject.fields.walk(&mut |name, value| {
            asked.push((lower_case(name), Bytes::copy_from_slice(value)));
            ControlFlow::Continue(())
        });
        Keep {
            cache: Arc::clone(self),
            key: Key::of(subject),
            asked,
            asked_hash: hash_of(subject.fields, is_not_of_tracing),
        }
    }
}

impl Key {
    fn of(subject: &Subject<'_>) -> Self {
        let host = subject.host.unwrap_or_default();
        let (route, method) = (subject.route, subject.method);
        Self {
            target: format!("{route} {method} {host} {}", subject.target()),
            caller: hash_of(subject.fields, tells_who_asks),
        }
    }
}

/// A hash of the fields whose names, in lower case, pass `test`.
fn hash_of(fields: &dyn Fields, test: impl Fn(&str) -> bool) -> u128 {
    let mut hasher = SipHasher13::new();
    fields.walk(&mut |name, value| {
        let name = lower_case(name);
        if test(&name) {
            for part in [name.as_bytes(), value] {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
        }
        ControlFlow::Continue(())
    });
    hasher.finish128().as_u128()
}

fn is_not_of_tracing(name: &str) -> bool {
    !TRACING.contains(&name)
}

/// The values of all fields of one name, as one (RFC 9110 §5.3).
fn joined(fields: &dyn Fields, name: &str) -> Vec<u8> {
    let mut joined = Vec::new();
    fields.walk_named(name, &mut |value| {
        joined.extend_from_slice(value.trim_ascii());
        joined.push(b',');
        ControlFlow::Continue(())
    });
    joined
}

fn lower_case(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

impl Keep {
    /// The longest body that is kept, in bytes.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// Whether answers of this method and status are kept.
    #[must_use]
    pub fn takes(method: &str, status: StatusCode) -> bool {
        method == "GET" && status == StatusCode::OK
    }

    /// Keeps a whole answer, without `Set-Cookie` and the fields that frame it or belong to its connection. One with
    /// `Vary: *` is not kept. Of several answers to equal requests the first stays, as it is the oldest that is still allowed.
    pub fn put(self, status: StatusCode, fields: &dyn Fields, body: Bytes, now: Instant) {
        const NOT_KEPT: [&str; 5] = [
            "content-length",
            "transfer-encoding",
            "connection",
            "trailer",
            "set-cookie",
        ];
        let only_for = is_private(fields).then_some(self.asked_hash);
        let Some(varies) = self.varies(fields) else {
            return;
        };
        let mut kept_fields = Vec::new();
        fields.walk(&mut |name, value| {
            let name = lower_case(name);
            if !NOT_KEPT.contains(&name.as_str()) {
                kept_fields.push(Field::new(name, Bytes::copy_from_slice(value)));
            }
            ControlFlow::Continue(())
        });
        let answer = Arc::new(Answer::whole(status, kept_fields, body));
        let mut answers = self.cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.count >= ResponseCache::ANSWERS_MAX {
            return;
        }
        let kept = answers.by_key.entry(self.key).or_default();
        if kept
            .iter()
            .all(|kept| kept.varies != varies || kept.only_for != only_for)
        {
            kept.push(Kept {
                at: now,
                answer,
                varies,
                only_for,
            });
            answers.count += 1;
        }
    }

    /// What the answer's `Vary` names of the request; `None` when no other request is equal (`*`).
    fn varies(&self, answer: &dyn Fields) -> Option<Vec<(String, Vec<u8>)>> {
        let mut varies = Vec::new();
        let mut is_any = false;
        answer.walk_named("vary", &mut |value| {
            for name in value.split(|byte| *byte == b',') {
                let name = lower_case(name.trim_ascii());
                is_any |= name == "*";
                let mut value = Vec::new();
                for (_, part) in self.asked.iter().filter(|(asked, _)| *asked == name) {
                    value.extend_from_slice(part.trim_ascii());
                    value.push(b',');
                }
                varies.push((name, value));
            }
            ControlFlow::Continue(())
        });
        (!is_any).then_some(varies)
    }
}

/// Whether an answer is meant for one user.
fn is_private(answer: &dyn Fields) -> bool {
    answer.any("cache-control", |value| {
        value.split(|byte| *byte == b',').any(|directive| {
            let name = directive.split(|byte| *byte == b'=').next();
            name.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"private"))
        })
    })
}

impl fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a beginning of time for tests")]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn subject(fields: &HeaderMap) -> Subject<'_> {
        Subject {
            route: "web",
            method: "GET",
            path: "/me",
            query: Some("a=1"),
            host: Some("shop.example"),
            fields,
            peer: ([127, 0, 0, 1], 40_000).into(),
            connection: 0,
            request: 0,
            is_http2: false,
        }
    }

    /// Whether an answer with `answer` to a request with `first` is given to a request with `second`.
    fn is_shared(
        answer: &[(&'static str, &'static str)],
        first: &[(&'static str, &'static str)],
        second: &[(&'static str, &'static str)],
    ) -> bool {
        let (cache, now) = (Arc::new(ResponseCache::default()), Instant::now());
        let keep = cache.keep(&subject(&fields(first)));
        keep.put(StatusCode::OK, &fields(answer), Bytes::from("x"), now);
        let found = cache.find(&subject(&fields(second)), MINUTE, now);
        found.is_some()
    }

    #[test]
    fn nobody_gets_the_answer_of_another_caller() {
        let alice: &[_] = &[("authorization", "alice")];
        let cookie: &[_] = &[("cookie", "sid=1")];

        assert!(is_shared(&[], alice, alice));
        assert!(is_shared(&[], &[], &[("accept", "x/y")]));
        assert!(is_shared(
            &[],
            &[("user-agent", "a")],
            &[("user-agent", "b")]
        ));
        for (first, second) in [
            (alice, &[("authorization", "bob")][..]),
            (alice, &[]),
            (&[], alice),
            (cookie, &[("cookie", "sid=2")]),
            (cookie, &[]),
            (&[], cookie),
            (alice, &[("cookie", "alice")]),
            (&[("proxy-authorization", "alice")], &[]),
            (&[("x-api-key", "1")], &[("x-api-key", "2")]),
            (&[("x-auth-token", "1")], &[("x-auth-token", "2")]),
            (&[("x-user-id", "7")], &[("x-user-id", "8")]),
            (&[("x-tenant", "blue")], &[]),
        ] {
            assert!(!is_shared(&[], first, second), "{first:?} {second:?}");
        }
    }

    #[test]
    fn what_vary_names_must_be_the_same() {
        let vary: &[_] = &[("vary", "Accept-Language, accept")];
        let german: &[_] = &[("accept-language", "de"), ("accept", "a/b")];

        assert!(is_shared(vary, german, german));
        assert!(is_shared(
            vary,
            german,
            &[german, &[("x-other", "1")]].concat()
        ));
        assert!(!is_shared(vary, german, &[("accept-language", "de")]));
        assert!(!is_shared(
            vary,
            german,
            &[("accept-language", "fr"), ("accept", "a/b")]
        ));
        assert!(!is_shared(&[("vary", "*")], german, german));
        assert!(!is_shared(
            &[("vary", "accept"), ("vary", "accept-language")],
            german,
            &[("accept", "a/b")]
        ));
    }

    #[test]
    fn a_private_answer_is_given_again_to_the_same_request_alone() {
        for answer in [
            [("cache-control", "private")],
            [("cache-control", "max-age=0, Private=\"x\"")],
        ] {
            let alice: &[_] = &[("x-who", "alice"), ("traceparent", "00-1")];

            assert!(is_shared(
                &answer,
                alice,
                &[("x-who", "alice"), ("traceparent", "00-2")]
            ));
            assert!(!is_shared(&answer, alice, &[("x-who", "bob")]));
            assert!(!is_shared(&answer, alice, &[]));
        }
        assert!(is_shared(
            &[("cache-control", "max-age=5, no-private")],
            &[("x-who", "alice")],
            &[]
        ));
    }

    #[test]
    fn a_cookie_is_set_once() {
        let (cache, now) = (Arc::new(ResponseCache::default()), Instant::now());
        let asked = fields(&[]);
        let answer = fields(&[("set-cookie", "session=1"), ("etag", "a")]);

        let keep = cache.keep(&subject(&asked));
        keep.put(StatusCode::OK, &answer, Bytes::from("x"), now);

        let (found, _) = cache.find(&subject(&asked), MINUTE, now).unwrap();
        let shown = format!("{found:?}");
        assert!(
            shown.contains("etag") && !shown.contains("set-cookie"),
            "{shown}"
        );
    }

    #[test]
    fn each_variant_is_kept_until_it_is_too_old() {
        let (cache, now) = (Arc::new(ResponseCache::default()), Instant::now());
        let vary = fields(&[("vary", "accept")]);
        let (one, other) = (fields(&[("accept", "a/b")]), fields(&[("accept", "c/d")]));
        for (asked, at) in [(&one, now), (&other, now + MINUTE), (&one, now + MINUTE)] {
            let keep = cache.keep(&subject(asked));
            keep.put(StatusCode::OK, &vary, Bytes::from("x"), at);
        }

        let age = |asked: &HeaderMap, at| {
            let found = cache.find(&subject(asked), MINUTE, at);
            found.map(|(_, age)| age)
        };

        assert_eq!(age(&one, now + MINUTE), Some(MINUTE), "the first one stays");
        assert_eq!(age(&other, now + MINUTE), Some(Duration::ZERO));
        assert_eq!(age(&one, now + MINUTE * 2), None);
        assert_eq!(age(&other, now + MINUTE * 2), Some(MINUTE));
        assert_eq!(cache.0.lock().unwrap().count, 1);
    }
}
