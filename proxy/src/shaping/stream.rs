//! One direction of a connection with the faults on it, whoever reads and writes its bytes.

mod metrics;
pub(super) mod report;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use brownout_fault::{Acting, Break, Direction, FaultReader, Link, StreamFaults};
use bytes::Bytes;

use self::{metrics::StreamMetrics, report::StreamReport};
use super::shaper::{Next, Shaper, Wanted};
use crate::{
    limits::{DRAIN, RELEASE_DRAIN},
    route::Route,
    upstream::Protocol,
};

/// What is to be done on a connection now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamNext {
    Write(Bytes),
    /// Nothing before this time, unless more comes.
    WaitUntil(Instant),
    /// Nothing, unless more comes.
    Idle,
    /// This direction has ended and everything is written: shut the sending side down.
    Shutdown,
    /// Reset the connection, once what was written has arrived.
    Reset,
    /// Close the connection in good order, on both sides.
    Close,
}

impl From<Next> for StreamNext {
    fn from(next: Next) -> Self {
        match next {
            Next::Write(bytes) => Self::Write(bytes),
            Next::WaitUntil(at) => Self::WaitUntil(at),
            Next::Idle => Self::Idle,
            Next::End => Self::Shutdown,
            Next::Cut(ending) => match ending.how {
                Break::Reset(_) => Self::Reset,
                Break::Fin | Break::Clean => Self::Close,
            },
        }
    }
}

/// The bytes of one direction of a connection, and what faults do to them.
///
/// The caller reads and writes the sockets and calls [`refresh`](Self::refresh) before each step. Dropping it gives back
/// the places that its faults held; the bytes that they hold are lost.
#[derive(Debug)]
pub(crate) struct StreamShaper {
    route: Arc<Route>,
    peer: SocketAddr,
    connection: u64,
    /// The plan that was seen last.
    revision: Option<u64>,
    schedule_moves_at: Option<Instant>,
    faults: StreamFaults,
    metrics: StreamMetrics,
    shaper: Shaper<StreamReport>,
}

impl StreamShaper {
    /// Shapes one direction of a connection from `peer`, the `connection`-th of its route.
    pub(crate) fn new(
        route: &Arc<Route>,
        peer: SocketAddr,
        connection: u64,
        direction: Direction,
    ) -> Self {
        Self::with(StreamFaults::new(direction), route, peer, connection)
    }

    /// Shapes the beginning of a connection, before anything is read: one empty chunk stands for it.
    pub(crate) fn at_connect(route: &Arc<Route>, peer: SocketAddr, connection: u64) -> Self {
        Self::with(StreamFaults::at_connect(), route, peer, connection)
    }

    fn with(faults: StreamFaults, route: &Arc<Route>, peer: SocketAddr, connection: u64) -> Self {
        Self {
            route: Arc::clone(route),
            peer,
            connection,
            revision: None,
            schedule_moves_at: None,
            faults,
            metrics: StreamMetrics::new(Arc::clone(route)),
            shaper: Shaper::default(),
        }
    }

    /// Makes the faults act that are armed now. Costs a comparison if neither the plan nor a schedule has changed.
    pub(crate) fn refresh(&mut self, reader: &FaultReader) {
        let plan = reader.plan();
        let is_new = self.revision != Some(plan.revision());
        if !is_new && self.schedule_moves_at.is_none() {
            return;
        }
        let now = Instant::now();
        if !is_new && self.schedule_moves_at.is_some_and(|at| now < at) {
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
        self.schedule_moves_at = look.again;
        self.metrics.count_outcomes(&look.considered);
        if self.shaper.is_passthrough() && self.faults.acting(self.route.name()).next().is_none() {
            return;
        }
        self.metrics
            .set_active(self.faults.acting(self.route.name()));
        let delay = |kind| self.route.faults(kind).map(|metrics| metrics.delay.clone());
        let acting = self.faults.acting(self.route.name());
        let wanted = acting.map(|acting| wanted(acting, delay)).collect();
        self.shaper.set_stages(wanted, now);
    }

    /// When there is something to do though nothing comes: held bytes are due, or a schedule moves.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let times = [self.shaper.next_due(), self.schedule_moves_at];
        times.into_iter().flatten().min()
    }

    /// When held bytes are due; `None` if nothing is held, or until the fault is removed.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.shaper.next_due()
    }

    /// When a schedule moves and [`refresh`](Self::refresh) has something to do without a change of the plan.
    pub(crate) fn schedule_moves_at(&self) -> Option<Instant> {
        self.schedule_moves_at
    }

    /// Whether bytes pass as if it were not there. They may then be passed around it until the next refresh.
    pub(crate) fn is_passthrough(&self) -> bool {
        self.shaper.is_passthrough()
    }

    /// Whether more may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.shaper.has_room()
    }

    /// Takes bytes that were read.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.shaper.push(Instant::now(), bytes);
    }

    /// Takes the end of the stream.
    pub(crate) fn end(&mut self) {
        self.shaper.end(Instant::now());
    }

    /// Whether it holds anything that is still to come out.
    pub(crate) fn is_holding(&self) -> bool {
        self.shaper.is_holding()
    }

    /// Takes note that both sides of the connection have ended. If a fault discards this direction, that ends now. May
    /// be called again.
    pub(crate) fn both_ended(&mut self) {
        self.shaper.both_ended(Instant::now());
    }

    /// Whether a client that has closed its sending side is to be treated as gone while this is not through.
    ///
    /// A client of an `http` route is. A client of a `tcp` route may still wait for an answer, unless a fault discarded
    /// the beginning of its connection.
    pub(crate) fn is_client_gone_after_its_end(&self) -> bool {
        self.route.protocol() == Protocol::Http || !self.is_holding()
    }

    /// Whether a fault is what the connection waits for: it holds something, or lets nothing pass.
    pub(crate) fn is_pausing(&self) -> bool {
        self.shaper.is_pausing()
    }

    /// What is to be done now.
    pub(crate) fn next(&mut self) -> StreamNext {
        self.shaper.next(Instant::now()).into()
    }

    /// How long bytes that were sent may take to arrive before a reset or a close: [`DRAIN`], or [`RELEASE_DRAIN`] if the
    /// end comes from a fault that was removed.
    pub(crate) fn drain_limit(&self) -> Duration {
        match self.shaper.is_ended_by_release() {
            true => RELEASE_DRAIN,
            false => DRAIN,
        }
    }

    /// Whether the next thing to do is to reset or close the connection.
    pub(crate) fn is_at_early_end(&mut self) -> bool {
        self.shaper.is_at_early_end(Instant::now())
    }
}

fn wanted(
    acting: Acting,
    delay: impl Fn(&'static str) -> Option<brownout_telemetry::Histogram>,
) -> Wanted<StreamReport> {
    Wanted {
        number: acting.number,
        stage: acting.stage,
        report: StreamReport::new(acting.effects, delay(acting.kind)),
    }
}
