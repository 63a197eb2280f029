//! Answers that are kept, to be given again.

use std::{
    collections::HashMap,
    fmt,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::StatusCode;

use super::Answer;
use crate::{edits::Field, fields::Fields, subject::Subject};

/// Answers of upstreams by request. Bounded: when it is full, what comes is not kept.
#[derive(Default)]
pub struct ResponseCache(Mutex<HashMap<String, Kept>>);

struct Kept {
    at: Instant,
    answer: Arc<Answer>,
}

/// The right to put the answer of one request into a cache.
#[derive(Debug)]
pub struct Keep {
    cache: Arc<ResponseCache>,
    key: String,
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
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(subject);
        let found = kept.get(&key)?;
        let is_old = now.saturating_duration_since(found.at);
        if is_old > age {
            kept.remove(&key);
            return None;
        }
        Some((Arc::clone(&found.answer), is_old))
    }

    pub(crate) fn keep(self: &Arc<Self>, subject: &Subject<'_>) -> Keep {
        Keep {
            cache: Arc::clone(self),
            key: key(subject),
        }
    }
}

/// Answers differ by route, method, host and target.
fn key(subject: &Subject<'_>) -> String {
    let host = subject.host.unwrap_or_default();
    let target = subject.target();
    format!("{} {} {host} {target}", subject.route, subject.method)
}

impl Keep {
    /// The longest body that is kept.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// Whether answers of this method and status are kept.
    #[must_use]
    pub fn takes(method: &str, status: StatusCode) -> bool {
        method == "GET" && status == StatusCode::OK
    }

    /// Keeps a whole answer, without the fields that frame it or belong to its connection.
    pub fn put(self, status: StatusCode, fields: &dyn Fields, body: Bytes, now: Instant) {
        const NOT_KEPT: [&str; 4] = [
            "content-length",
            "transfer-encoding",
            "connection",
            "trailer",
        ];
        let mut kept_fields = Vec::new();
        fields.walk(&mut |name, value| {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            if !NOT_KEPT.contains(&name.as_str()) {
                kept_fields.push(Field::new(name, Bytes::copy_from_slice(value)));
            }
            ControlFlow::Continue(())
        });
        let answer = Answer::whole(status, kept_fields, body);
        let mut kept = self.cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < ResponseCache::ANSWERS_MAX {
            // The first stays: it is the oldest that is still allowed.
            kept.entry(self.key).or_insert(Kept {
                at: now,
                answer: Arc::new(answer),
            });
        }
    }
}

impl fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseCache").finish_non_exhaustive()
    }
}
