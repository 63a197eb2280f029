//! What the connections of one route on one core share.

use std::sync::Arc;

use brownout_fault::FaultReader;
use brownout_telemetry::Tracer;
use tokio_util::task::TaskTracker;

use crate::{
    http1::HeadLimits, journal::CoreJournal, limits::ClientTimeouts, route::Route, timer::Timer,
    upstream::SharedPool,
};

/// One route on one core. It never crosses a thread.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) route: Arc<Route>,
    pub(crate) faults: FaultReader,
    pub(crate) tracer: Tracer,
    pub(crate) pool: SharedPool,
    /// How large the heads of requests and answers may be.
    pub(crate) head_limits: HeadLimits,
    pub(crate) client_timeouts: ClientTimeouts,
    /// The core's clock, on which faults wait.
    pub(crate) timer: Timer,
    /// Where requests are kept as evidence, if they are.
    pub(crate) journal: Option<Arc<CoreJournal>>,
    /// Tasks that a drain of the process waits for.
    pub(crate) tasks: TaskTracker,
}
