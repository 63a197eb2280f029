//! The workers of a service, and the line in which requests wait for them.
//!
//! The services this system is modelled on answer with eight synchronous workers. That limit is what an outage of an
//! upstream works through, so it is kept: a request holds its worker until its work is done, and whether its caller
//! still waits changes nothing. Only a caller that said how long it would wait is taken at its word: what is due before
//! a worker comes to it is not begun.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use http::StatusCode;

use crate::{
    answer::{self, Answer},
    authentication::Authentication,
    homepage::Homepage,
    inbound::Inbound,
    library::{BookService, Gate},
    popular_items,
    recommendations::Recommendations,
    tally::ServiceTally,
};

/// Where requests wait: one line for all workers, first come, first served.
#[derive(Debug)]
pub(crate) struct Line {
    jobs: mpsc::UnboundedSender<Job>,
    /// One for each worker and each place in the queue, so a request waits only if all workers are taken.
    places: Arc<Semaphore>,
    places_max: usize,
}

/// The workers' end of the line.
#[derive(Debug, Clone)]
#[expect(
    clippy::disallowed_types,
    reason = "whoever is next holds the lock while it waits for a job; the lock is fair, so jobs go round"
)]
pub(crate) struct LineEnd(Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Job>>>);

/// A request on its way through the service.
#[derive(Debug)]
struct Job {
    inbound: Inbound,
    received: Instant,
    caller: oneshot::Sender<Answer>,
    place: OwnedSemaphorePermit,
}

impl Line {
    pub(crate) fn new(workers: usize, queue: usize) -> (Self, LineEnd) {
        let (jobs, received) = mpsc::unbounded_channel();
        let places_max = workers + queue;
        let line = Self {
            jobs,
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
        };
        (line, LineEnd(Arc::new(received.into())))
    }

    /// How many requests wait or are worked on.
    pub(crate) fn taken(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    /// Hands a request to the workers, or gives it back if all places are taken.
    ///
    /// Its answer comes out of the receiver. Dropping that is leaving, and ends nothing.
    pub(crate) fn join(
        &self,
        inbound: Inbound,
        received: Instant,
    ) -> Result<oneshot::Receiver<Answer>, Box<Inbound>> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(Box::new(inbound));
        };
        let (caller, answer) = oneshot::channel();
        let job = Job {
            inbound,
            received,
            caller,
            place,
        };
        // Without workers, in a service that has been cut short, the job is dropped, which the receiver tells.
        self.jobs.send(job).ok();
        Ok(answer)
    }
}

impl LineEnd {
    async fn next(&self) -> Option<Job> {
        self.0.lock().await.recv().await
    }
}

/// What a worker of each service can do.
#[derive(Debug)]
pub(crate) enum Role {
    Homepage(Homepage),
    Authentication(Authentication),
    Recommendations(Recommendations),
    PopularItems,
    LibraryGate(Arc<Gate>),
    LibraryBooks(Arc<BookService>),
}

impl Role {
    async fn answer(&self, inbound: &Inbound) -> Answer {
        match self {
            Self::Homepage(homepage) => homepage.answer(inbound).await,
            Self::Authentication(authentication) => authentication.answer(inbound),
            Self::Recommendations(recommendations) => recommendations.answer(inbound).await,
            Self::PopularItems => popular_items::answer(),
            Self::LibraryGate(gate) => gate.answer(inbound).await,
            Self::LibraryBooks(books) => books.answer(inbound).await,
        }
    }
}

/// One worker: takes a request, works on it to the end, takes the next.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) role: Role,
    pub(crate) work: Duration,
    pub(crate) line: LineEnd,
    pub(crate) tally: Arc<ServiceTally>,
}

impl Worker {
    /// Works until it is told to stop, and then to the end of the request in hand.
    pub(crate) async fn run(self, stop: CancellationToken) {
        while let Some(Some(job)) = stop.run_until_cancelled(self.line.next()).await {
            self.tally.running.add(1);
            if job.inbound.is_expired() {
                self.expire(job);
                continue;
            }
            sleep(self.work).await;
            let answer = self.role.answer(&job.inbound).await;
            self.finish(job, answer);
        }
    }

    fn finish(&self, job: Job, answer: Answer) {
        if job.caller.is_closed() {
            self.tally.abandoned.add(1);
        } else {
            self.tally.answered.add(1);
        }
        self.send(job, answer);
    }

    /// Says of work that it was not begun.
    fn expire(&self, job: Job) {
        self.tally.expired.add(1);
        let late = "the caller's time was over before the work could begin";
        self.send(job, answer::problem(StatusCode::GATEWAY_TIMEOUT, late));
    }

    /// Counts everything before the answer leaves: whoever has it finds itself in the numbers.
    fn send(&self, job: Job, answer: Answer) {
        let Job {
            inbound: Inbound { mut span, .. },
            received,
            caller,
            place,
        } = job;
        self.tally.responded(answer.status(), received.elapsed());
        span.status_code(answer.status().as_u16());
        span.end();
        // In this order, so that it does not look queued again.
        drop(place);
        self.tally.running.sub(1);
        caller.send(answer).ok();
    }
}
