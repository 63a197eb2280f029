//! The caller of the service under test: pages, one at a time or at a rate, each told as a record.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request,
    header::{CONTENT_TYPE, HOST},
};
use http_body_util::Full;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::{Endpoint, clock::Clock};
use crate::{
    experiment::{Predicate, template_mix},
    forensics::{Content, PageRecord, derive::quantile},
    load::{Answer, Connection, open_loop},
};

/// One endpoint of the service, and how its answers are read. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    degraded: Vec<Predicate>,
    clock: Clock,
    /// Of this audit alone, so that no two audits have pages of one trace.
    key: u64,
    next: AtomicU64,
}

/// How long a page is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) limit: Duration,
    /// Whether the caller leaves on purpose then.
    pub(super) leaves: bool,
}

impl Patience {
    pub(super) fn of(limit: Duration) -> Self {
        Self {
            limit,
            leaves: false,
        }
    }

    pub(super) fn leave_after(limit: Duration) -> Self {
        Self {
            limit,
            leaves: true,
        }
    }
}

/// Pages at a rate. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Load {
    tasks: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
}

/// The pages of a load.
#[derive(Debug, Default)]
struct Seen {
    ended: Vec<PageRecord>,
    open: Vec<PageRecord>,
    /// No page that is due later is sent.
    closed: bool,
}

impl Caller {
    pub(super) fn new(
        endpoint: Endpoint,
        degraded: Vec<Predicate>,
        clock: Clock,
        key: u64,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                endpoint,
                degraded,
                clock,
                key,
                next: AtomicU64::new(0),
            }),
        }
    }

    pub(super) fn connection(&self) -> Connection {
        Connection::to(self.address())
    }

    fn address(&self) -> SocketAddr {
        self.shared.endpoint.address
    }

    /// Asks for one page, which is due at `intended`.
    pub(super) async fn ask(
        &self,
        connection: &mut Connection,
        intended: Instant,
        patience: Patience,
    ) -> PageRecord {
        let page = self.shared.begin(intended);
        self.finish(connection, page, intended, patience).await
    }

    async fn finish(
        &self,
        connection: &mut Connection,
        mut page: PageRecord,
        intended: Instant,
        patience: Patience,
    ) -> PageRecord {
        let Shared {
            clock, degraded, ..
        } = &*self.shared;
        let request = self.shared.request(&page);
        let asked = connection.ask(&request, Predicate::BODY_BYTES_MAX);
        match timeout_at(intended + patience.limit, asked).await {
            Ok(Ok(answer)) => {
                page.ended = Some(clock.now());
                page.status = Some(answer.status.as_u16());
                page.degraded = degraded.iter().any(|it| fits(it, &answer));
                page.content = Some(Content::of(&answer.body));
            }
            Ok(Err(_)) => page.ended = Some(clock.now()),
            Err(_) => page.left = Some(clock.now()),
        }
        page
    }

    /// Asks `rate` times a second until it is stopped.
    pub(super) fn load(&self, rate: f64, patience: Patience) -> Load {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        let (caller, pages) = (self.clone(), Arc::clone(&seen));
        tasks.spawn(async move {
            let address = caller.address();
            let ask = |mut connection: Connection, intended| {
                let (caller, pages) = (caller.clone(), Arc::clone(&pages));
                async move {
                    let page = {
                        let mut pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
                        if pages.closed {
                            return connection;
                        }
                        let page = caller.shared.begin(intended);
                        pages.open.push(page.clone());
                        page
                    };
                    let ended = caller.finish(&mut connection, page, intended, patience);
                    let ended = ended.await;
                    let mut pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
                    pages.open.retain(|it| it.number != ended.number);
                    pages.ended.push(ended);
                    connection
                }
            };
            open_loop(rate, address, ask).await;
        });
        Load { tasks, seen }
    }
}

impl Load {
    /// Sends no more pages and waits for those in progress, up to `limit`. All pages in the order in which they were due;
    /// those that did not end have no end.
    pub(super) async fn stop(self, limit: Duration) -> Vec<PageRecord> {
        const LOOK: Duration = Duration::from_millis(10);
        let deadline = Instant::now() + limit;
        self.lock().closed = true;
        while Instant::now() < deadline && !self.lock().open.is_empty() {
            sleep(LOOK).await;
        }
        drop(self.tasks);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pages = std::mem::take(&mut seen.ended);
        pages.append(&mut seen.open);
        pages.sort_by_key(|it| it.number);
        pages
    }

    /// The median of what pages took so far, those that are open included.
    pub(super) fn median(&self, now: u64) -> u64 {
        let seen = self.lock();
        let took = seen.ended.iter().chain(&seen.open);
        let took: Vec<u64> = took
            .map(|it| it.ended.unwrap_or(now).saturating_sub(it.intended))
            .collect();
        quantile(&took, 0.5).unwrap_or(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn begin(&self, intended: Instant) -> PageRecord {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let high = template_mix(self.key ^ template_mix(number));
        let low = template_mix(high ^ self.key).max(1);
        let id = format!("{high:016x}{low:016x}");
        PageRecord {
            number,
            intended: self.clock.at(intended),
            sent: self.clock.now(),
            trace_id: Some(id.clone()),
            request_id: Some(id),
            ..PageRecord::default()
        }
    }

    fn request(&self, page: &PageRecord) -> Request<Full<Bytes>> {
        let Endpoint {
            method, body, path, ..
        } = &self.endpoint;
        let content = body
            .clone()
            .map_or_else(Full::default, |it| Full::new(it.into()));
        let mut request = Request::new(content);
        request.method_mut().clone_from(method);
        if let Ok(uri) = path.parse() {
            *request.uri_mut() = uri;
        }
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&self.endpoint.host) {
            headers.insert(HOST, host);
        }
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let id = page.trace_id.as_deref().unwrap_or_default();
        let parent = format!("00-{id}-{}-01", &id[..16]);
        for (name, value) in [("traceparent", parent.as_str()), ("x-request-id", id)] {
            headers.insert(
                name,
                HeaderValue::from_str(value).expect("hex digits and dashes"),
            );
        }
        request
    }
}

fn fits(predicate: &Predicate, answer: &Answer) -> bool {
    predicate.fits(answer.status, &answer.headers, &answer.body)
}
