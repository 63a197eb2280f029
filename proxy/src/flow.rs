//! One direction of a connection with the faults on it, whoever reads and writes its bytes.

mod books;
mod meter;
mod shaper;
mod stage;

pub(crate) use self::shaper::Next;

use std::{
    future::pending,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use brownout_fault::{Direction, FaultReader, Link, StreamFaults};
use bytes::Bytes;
use tokio::sync::watch;

use self::{books::Books, shaper::Shaper};
use crate::{inject::DRAIN, route::Route, timer::Timer, upstream::Protocol};

/// What a peer that reads needs on a path of some length.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// What passes in one direction of a connection, and what faults do to it. It reads no socket and no clock.
///
/// Dropping it gives back the places its faults held; what they hold is lost.
#[derive(Debug)]
pub(crate) struct Flow {
    route: Arc<Route>,
    peer: SocketAddr,
    connection: u64,
    /// Of the plan that was looked at last.
    revision: Option<u64>,
    look_again: Option<Instant>,
    faults: StreamFaults,
    books: Books,
    shaper: Shaper,
}

impl Flow {
    /// Of a connection from `peer` that is the `connection`-th of its route.
    pub(crate) fn new(
        route: &Arc<Route>,
        peer: SocketAddr,
        connection: u64,
        direction: Direction,
    ) -> Self {
        Self::with(StreamFaults::new(direction), route, peer, connection)
    }

    /// The beginning of a connection, which passes as one empty chunk.
    pub(crate) fn at_connect(route: &Arc<Route>, peer: SocketAddr, connection: u64) -> Self {
        Self::with(StreamFaults::at_connect(), route, peer, connection)
    }

    fn with(faults: StreamFaults, route: &Arc<Route>, peer: SocketAddr, connection: u64) -> Self {
        Self {
            route: Arc::clone(route),
            peer,
            connection,
            revision: None,
            look_again: None,
            faults,
            books: Books::new(Arc::clone(route)),
            shaper: Shaper::default(),
        }
    }

    /// Takes what is armed into account, if it may have changed.
    pub(crate) fn look(&mut self, reader: &FaultReader) {
        let plan = reader.plan();
        let is_new = self.revision != Some(plan.revision());
        if !is_new && self.look_again.is_none() {
            return;
        }
        let now = Instant::now();
        if !is_new && self.look_again.is_some_and(|again| now < again) {
            return;
        }
        self.revision = Some(plan.revision());
        let link = Link {
            route: self.route.name(),
            peer: self.peer,
            connection: self.connection,
            has_requests: self.route.protocol() == Protocol::Http,
        };
        let look = self.faults.look(&plan, &link, now);
        self.look_again = look.again;
        self.books.note(&look.considered);
        if self.shaper.is_bare() && self.faults.acting(self.route.name()).next().is_none() {
            return;
        }
        self.books.set_active(self.faults.acting(self.route.name()));
        let delays = |kind| self.route.faults(kind).map(|metrics| metrics.delay.clone());
        let acting = self.faults.acting(self.route.name());
        self.shaper.shape(acting, delays, now);
    }

    /// When something changes though nothing comes: what is held is due, or a schedule moves.
    pub(crate) fn wake(&self) -> Option<Instant> {
        [self.shaper.wake(), self.look_again]
            .into_iter()
            .flatten()
            .min()
    }

    /// When a schedule moves.
    pub(crate) fn look_again(&self) -> Option<Instant> {
        self.look_again
    }

    /// Whether bytes pass as if it were not there.
    pub(crate) fn is_bare(&self) -> bool {
        self.shaper.is_bare()
    }

    /// Whether more may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.shaper.has_room()
    }

    /// Takes bytes that arrive.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.shaper.push(Instant::now(), bytes);
    }

    /// Takes the end of the stream.
    pub(crate) fn end(&mut self) {
        self.shaper.end(Instant::now());
    }

    /// Whether it holds anything that is still to come out.
    pub(crate) fn holds(&self) -> bool {
        self.shaper.holds()
    }

    /// Takes note that both sides of the connection have said all: what was swallowed of this one ends now.
    pub(crate) fn finish(&mut self) {
        self.shaper.finish(Instant::now());
    }

    /// Whether a client that has closed its side can get nothing any more. Of requests it would not wait for the
    /// answer; on a `tcp` route it may, unless the beginning of its connection was swallowed.
    pub(crate) fn is_for_nobody_after_end(&self) -> bool {
        self.route.protocol() == Protocol::Http || !self.holds()
    }

    /// Whether a fault is what the connection waits for.
    pub(crate) fn holds_up(&self) -> bool {
        self.shaper.holds_up()
    }

    /// What is to be done now.
    pub(crate) fn next(&mut self) -> Next {
        self.shaper.next(Instant::now())
    }

    /// How long what was sent may take to arrive before a reset. Less when the reset comes from a fault that is gone:
    /// whoever removed it is not to wait for a client that does not read.
    pub(crate) fn patience(&self) -> Duration {
        /// Twice that is less than the 100 ms in which a fault lets go.
        const LET_GO: Duration = Duration::from_millis(30);
        match self.shaper.is_let_go() {
            true => LET_GO,
            false => DRAIN,
        }
    }

    /// Whether nothing but the connection's end is left to do.
    pub(crate) fn is_doomed(&mut self) -> bool {
        self.shaper.is_doomed(Instant::now())
    }
}

/// Ends when something else is armed than before.
pub(crate) async fn changed(changes: &mut Option<watch::Receiver<u64>>) {
    if let Some(receiver) = changes
        && receiver.changed().await.is_ok()
    {
        return;
    }
    // Nobody can change anything any more.
    *changes = None;
    pending::<()>().await;
}

/// Ends at `time`, or never.
pub(crate) async fn until(time: Option<Instant>, timer: &Timer) {
    match time {
        Some(time) => timer.at(time).await,
        None => pending().await,
    }
}
