//! Events that are made for a reader who asked for them: requests that ended, and what routes did in each second.
//!
//! Both are read when the reader has taken what came before. They have no number, and are kept nowhere.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use brownout_proxy::{JournalQuery, RecordState};
use brownout_telemetry::{Metrics, Value};
use brownout_wire::{EventRecord, RequestList, RouteStats};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use crate::{
    control::Shared,
    off_thread::off_thread,
    problem::ApiError,
    requests::{journal_of, record},
};

/// Between two looks at the journal; with at most 1,000 requests at a time, 10,000 a second.
const LOOK: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// A source of events that is looked at now and then.
pub(super) trait Live {
    /// Waits for the next look. May be dropped and called again.
    fn wait(&mut self) -> impl Future<Output = ()> + Send;

    /// Looks. If it is dropped, what it would have told comes with the next look.
    ///
    /// # Errors
    /// When the API stops.
    fn read(
        &mut self,
        control: &Shared,
    ) -> impl Future<Output = Result<Vec<EventRecord>, ApiError>> + Send;
}

/// Requests that ended, from the journal.
#[derive(Debug)]
pub(super) struct EndedRequests {
    looks: Interval,
    /// Where to read on.
    after: u64,
}

impl EndedRequests {
    /// # Errors
    /// When the proxy keeps no journal.
    pub(super) async fn from_now(control: &Shared) -> Result<Self, ApiError> {
        let query = JournalQuery {
            state: RecordState::Ended,
            after: None,
            limit: 1,
            route: None,
            fault: None,
        };
        let read = move |ops: &_| Ok(journal_of(ops, None)?.attempts(&query).next);
        Ok(Self {
            looks: looks(LOOK),
            after: off_thread(control, read).await?,
        })
    }
}

impl Live for EndedRequests {
    async fn wait(&mut self) {
        self.looks.tick().await;
    }

    async fn read(&mut self, control: &Shared) -> Result<Vec<EventRecord>, ApiError> {
        let query = JournalQuery {
            state: RecordState::Ended,
            after: Some(self.after),
            limit: RequestList::LIMIT_MAX,
            route: None,
            fault: None,
        };
        let read = move |ops: &_| Ok(journal_of(ops, None)?.attempts(&query));
        let page = off_thread(control, read).await?;
        self.after = page.next;
        let lost = (page.lost > 0).then(|| EventRecord {
            t_us: page.now,
            event: EventRecord::LOST.to_owned(),
            of: Some(EventRecord::REQUEST.to_owned()),
            lost: Some(page.lost),
            ..EventRecord::default()
        });
        // The journal tells the last one first.
        let ended = page.ended.into_iter().rev().map(|attempt| {
            let request = record(attempt, page.now);
            EventRecord {
                t_us: request.t_end.unwrap_or(page.now),
                event: EventRecord::REQUEST.to_owned(),
                route: Some(request.route.clone()),
                request: Some(Box::new(request)),
                ..EventRecord::default()
            }
        });
        Ok(lost.into_iter().chain(ended).collect())
    }
}

/// What routes count, second by second.
#[derive(Debug)]
pub(super) struct RouteCounts {
    looks: Interval,
    before: BTreeMap<String, Counts>,
    read_at: Instant,
}

/// What a route has counted since it began.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    requests: u64,
    ended: u64,
    errors: u64,
    /// Durations, and their sum.
    timed: u64,
    took_us: u64,
    in_flight: i64,
    connections: i64,
}

impl RouteCounts {
    pub(super) async fn from_now(control: &Shared) -> Result<Self, ApiError> {
        Ok(Self {
            looks: looks(SECOND),
            before: counts(control).await?,
            read_at: Instant::now(),
        })
    }
}

impl Live for RouteCounts {
    async fn wait(&mut self) {
        self.looks.tick().await;
    }

    async fn read(&mut self, control: &Shared) -> Result<Vec<EventRecord>, ApiError> {
        let now = counts(control).await?;
        let read_at = Instant::now();
        let over = read_at.duration_since(self.read_at);
        let stats = now.iter().map(|(route, now)| {
            let before = self.before.get(route).copied().unwrap_or_default();
            // A route that was made anew counts from zero.
            let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
            let timed = since(now.timed, before.timed);
            RouteStats {
                route: route.clone(),
                requests: since(now.requests, before.requests),
                ended: since(now.ended, before.ended),
                errors: since(now.errors, before.errors),
                mean_us: since(now.took_us, before.took_us).checked_div(timed),
                in_flight: now.in_flight,
                connections: now.connections,
            }
        });
        let event = EventRecord {
            t_us: control.ops.clock().micros(read_at),
            event: EventRecord::STATS.to_owned(),
            stats: Some(stats.collect()),
            over_us: Some(u64::try_from(over.as_micros()).unwrap_or(u64::MAX)),
            ..EventRecord::default()
        };
        (self.before, self.read_at) = (now, read_at);
        Ok(vec![event])
    }
}

async fn counts(control: &Shared) -> Result<BTreeMap<String, Counts>, ApiError> {
    let metrics = control.metrics.clone();
    off_thread(control, move |_| Ok(counts_of(&metrics))).await
}

fn counts_of(metrics: &Metrics) -> BTreeMap<String, Counts> {
    let mut routes: BTreeMap<String, Counts> = BTreeMap::new();
    for sample in metrics.snapshot() {
        let tag = |wanted: &str| {
            let found = sample.tags.iter().find(|(key, _)| *key == wanted);
            found.map(|(_, value)| value.as_ref())
        };
        let (Some(route), true) = (tag("route"), sample.name.starts_with("proxy.")) else {
            continue;
        };
        let counts = routes.entry(route.to_owned()).or_default();
        let name = sample.name.as_ref();
        match &sample.value {
            Value::Counter(count) if name == "proxy.requests" => {
                counts.requests = *count;
            }
            // An interim answer is followed by another one.
            Value::Counter(count) if name == "proxy.responses" => match tag("class") {
                Some("1xx") => {}
                Some("5xx" | "none") => {
                    counts.ended += count;
                    counts.errors += count;
                }
                _ => counts.ended += count,
            },
            Value::Gauge(now) if name == "proxy.in_flight" => {
                counts.in_flight = *now;
            }
            Value::Gauge(now) if name == "proxy.connections" => {
                counts.connections = *now;
            }
            Value::Histogram(took) if name == "proxy.latency" => {
                counts.timed = took.count();
                counts.took_us = took.mean().map_or(0, |mean| {
                    let mean = u64::try_from(mean.as_micros()).unwrap_or(u64::MAX);
                    mean.saturating_mul(took.count())
                });
            }
            Value::Counter(_) | Value::Gauge(_) | Value::Histogram(_) => {}
        }
    }
    routes
}

fn looks(every: Duration) -> Interval {
    let mut looks = interval_at(tokio::time::Instant::now() + every, every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}
