//! The load of a run: pages asked for, each told to the recording.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, header::HOST};
use http_body_util::Full;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::recording::{Page, PageOutcome, Recording};
use crate::{
    experiment::{Arrivals, Asked, Load, Predicate, template_mix},
    load::{Answer, Connection, open_loop, pause},
    sample::ErrorKind,
};

/// What all pages of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    load: Endpoint,
    watch: Option<Endpoint>,
    pub(crate) predicates: Vec<Predicate>,
    pub(crate) seed: u64,
    /// Of this run alone, so that no two runs have pages of one trace.
    pub(crate) run_key: u64,
    pub(crate) began: Instant,
    recording: Mutex<Recording>,
    /// After how many µs callers leave on purpose; 0 for never.
    leave_after: AtomicU64,
}

/// Where pages come from.
#[derive(Debug)]
pub(crate) struct Endpoint {
    load: Load,
    address: SocketAddr,
    asked: Asked,
    /// The next page's number.
    next: AtomicU64,
}

/// The pages of a run while it goes on. Dropping it ends the load and closes its connections.
pub(crate) enum Pages {
    /// They come by themselves.
    Background(JoinSet<()>),
    /// One is asked for at a time, when the story says so.
    Serial(Box<Serial>),
    /// Others ask.
    External,
}

/// One page at a time.
pub(crate) struct Serial {
    shared: Arc<Shared>,
    connection: Connection,
    pause: Duration,
}

impl Endpoint {
    pub(crate) fn new(load: Load, address: SocketAddr, asked: Asked) -> Self {
        Self {
            load,
            address,
            asked,
            next: AtomicU64::new(0),
        }
    }
}

impl Shared {
    pub(crate) fn new(
        load: Endpoint,
        watch: Option<Endpoint>,
        predicates: Vec<Predicate>,
        seed: u64,
        run_key: u64,
        began: Instant,
    ) -> Self {
        Self {
            load,
            watch,
            predicates,
            seed,
            run_key,
            began,
            recording: Mutex::default(),
            leave_after: AtomicU64::new(0),
        }
    }

    pub(crate) fn recording(&self) -> MutexGuard<'_, Recording> {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn endpoint(&self, asked: Asked) -> Option<&Endpoint> {
        match asked {
            Asked::Load => Some(&self.load),
            Asked::Watch => self.watch.as_ref(),
        }
    }

    /// µs since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    pub(crate) fn at(&self, moment: Instant) -> u64 {
        micros(moment.saturating_duration_since(self.began))
    }

    /// After how long callers leave on purpose, from now on.
    pub(crate) fn set_leave_after(&self, after: Option<Duration>) {
        self.leave_after
            .store(after.map_or(0, micros), Ordering::Relaxed);
    }

    /// The trace of a page: 32 hex digits.
    pub(crate) fn trace_id(&self, page: u64) -> String {
        let high = template_mix(self.run_key ^ template_mix(page));
        let low = template_mix(high ^ self.run_key);
        format!("{high:016x}{:016x}", low.max(1))
    }

    fn request(&self, endpoint: &Endpoint, page: u64) -> Option<Request<Full<Bytes>>> {
        let (Self { seed, .. }, Endpoint { load, .. }) = (self, endpoint);
        let body = load
            .body
            .clone()
            .map_or_else(Full::default, |it| Full::new(it.into()));
        let mut request = Request::new(body);
        *request.method_mut() = load.method.clone();
        *request.uri_mut() = load.path.fill(*seed, page).parse().ok()?;
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(&endpoint.address.to_string());
        headers.insert(HOST, host.expect("an address is digits and punctuation"));
        let trace = self.trace_id(page);
        if load.mark.traceparent {
            let value = format!("00-{trace}-{}-01", &trace[..16]);
            let value = HeaderValue::from_str(&value).expect("hex digits and dashes");
            headers.insert("traceparent", value);
        }
        if load.mark.request_id {
            let value = HeaderValue::from_str(&trace).expect("hex digits");
            headers.insert("x-request-id", value);
        }
        for (name, value) in &load.headers {
            headers.insert(name, HeaderValue::from_str(&value.fill(*seed, page)).ok()?);
        }
        Some(request)
    }

    /// A bit for each predicate that an answer fits, in their order; the first is the lowest.
    fn fits(&self, answer: &Answer) -> u32 {
        let fits = |it: &Predicate| it.fits(answer.status, &answer.headers, &answer.body);
        (self.predicates.iter().enumerate())
            .fold(0, |bits, (index, it)| bits | (u32::from(fits(it)) << index))
    }

    /// Asks for one page, which was to be sent at `intended`; tells the recording.
    async fn page(
        &self,
        endpoint: &Endpoint,
        connection: &mut Connection,
        intended: Instant,
    ) -> PageOutcome {
        let Endpoint { load, asked, .. } = endpoint;
        let number = endpoint.next.fetch_add(1, Ordering::Relaxed);
        let intended_at = self.at(intended);
        self.recording().of_mut(*asked).begin(number, intended_at);
        let leave_after = match asked {
            Asked::Load => self.leave_after.load(Ordering::Relaxed),
            Asked::Watch => 0,
        };
        let (patience, given_up) = match leave_after {
            0 => (load.timeout, PageOutcome::Failed(ErrorKind::Timeout)),
            micros => (Duration::from_micros(micros), PageOutcome::Left),
        };
        let sent = self.now();
        let (outcome, fits) = match self.request(endpoint, number) {
            None => (PageOutcome::Failed(ErrorKind::Other), 0),
            Some(request) => {
                let needs_body = self.predicates.iter().any(Predicate::needs_body);
                let keep = if needs_body {
                    Predicate::BODY_BYTES_MAX
                } else {
                    0
                };
                let asked = connection.ask(&request, keep);
                match timeout_at(intended + patience, asked).await {
                    Ok(Ok(answer)) => (PageOutcome::Answered(answer.status), self.fits(&answer)),
                    Ok(Err(kind)) => (PageOutcome::Failed(kind), 0),
                    Err(_) => (given_up, 0),
                }
            }
        };
        self.recording().of_mut(*asked).end(Page {
            number,
            intended: intended_at,
            sent,
            ended: self.now(),
            outcome,
            fits,
        });
        outcome
    }
}

impl Pages {
    /// Begins the load.
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let mut tasks: JoinSet<()> = JoinSet::new();
        match shared.load.load.arrivals {
            Arrivals::External => return Self::External,
            Arrivals::Serial(serial) => {
                return Self::Serial(Box::new(Serial {
                    connection: Connection::to(shared.load.address),
                    shared: Arc::clone(shared),
                    pause: serial.pause,
                }));
            }
            Arrivals::Open(rate) => {
                let shared = Arc::clone(shared);
                tasks.spawn(async move { open(rate, &shared, &shared.load).await });
            }
            Arrivals::Closed(connections) => {
                for _ in 0..connections {
                    let shared = Arc::clone(shared);
                    tasks.spawn(async move { closed_loop(shared).await });
                }
            }
        }
        Self::Background(tasks)
    }

    /// The load before it begins: it is begun by the first time that is to pass.
    pub(crate) fn before(shared: &Arc<Shared>) -> Self {
        match shared.load.load.arrivals {
            Arrivals::External | Arrivals::Serial(_) => Self::start(shared),
            Arrivals::Open(_) | Arrivals::Closed(_) => Self::Background(JoinSet::new()),
        }
    }

    /// Ends the load and closes its connections, whatever they wait for.
    pub(crate) async fn leave(&mut self, shared: &Shared) {
        if let Self::Background(tasks) = self {
            tasks.shutdown().await;
            shared.recording().of_mut(Asked::Load).leave();
        }
    }

    /// Whether a load in the background has not begun, or has left.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Background(tasks) if tasks.is_empty())
    }

    /// Begins to ask the watched endpoint, where there is one.
    pub(crate) fn watch(shared: &Arc<Shared>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(shared);
        tasks.spawn(async move {
            if let Some(endpoint) = &shared.watch
                && let Arrivals::Open(rate) = endpoint.load.arrivals
            {
                open(rate, &shared, endpoint).await;
            }
        });
        tasks
    }
}

/// Sends pages at even times, whether or not answers come.
async fn open(rate: f64, shared: &Arc<Shared>, endpoint: &Endpoint) {
    open_loop(rate, endpoint.address, |connection, intended| {
        let shared = Arc::clone(shared);
        let asked = endpoint.asked;
        async move {
            let mut connection = connection;
            if let Some(endpoint) = shared.endpoint(asked) {
                shared.page(endpoint, &mut connection, intended).await;
            }
            connection
        }
    })
    .await;
}

impl Serial {
    /// Asks for one page, and pauses.
    pub(crate) async fn page(&mut self) {
        let Self {
            shared, connection, ..
        } = self;
        let outcome = shared.page(&shared.load, connection, Instant::now()).await;
        let broke = matches!(outcome, PageOutcome::Failed(_));
        let pause = self
            .pause
            .max(if broke { pause(1) } else { Duration::ZERO });
        sleep(pause).await;
    }
}

/// Sends a page when the one before has ended.
async fn closed_loop(shared: Arc<Shared>) -> ! {
    let mut connection = Connection::to(shared.load.address);
    let mut broken = 0_u32;
    loop {
        let outcome = shared
            .page(&shared.load, &mut connection, Instant::now())
            .await;
        match outcome {
            PageOutcome::Failed(ErrorKind::Timeout) | PageOutcome::Answered(_) => broken = 0,
            PageOutcome::Left => {}
            PageOutcome::Failed(_) => {
                broken = broken.saturating_add(1);
                sleep(pause(broken)).await;
            }
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
