//! What the connections of one route on one core share.

use std::sync::Arc;

use brownout_fault::FaultReader;
use brownout_telemetry::Tracer;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::{
    error::UpstreamError,
    http1::HeadLimits,
    journal::CoreJournal,
    limits::ClientTimeouts,
    loops::{Hops, Target},
    route::Route,
    timer::Timer,
    tls::CoreTls,
    upstream::{SharedPool, Upstream},
};

/// One route on one core. It never crosses a thread.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) route: Arc<Route>,
    pub(crate) faults: FaultReader,
    pub(crate) tracer: Tracer,
    pub(crate) pool: SharedPool,
    /// How TLS to the upstream begins.
    pub(crate) upstream_tls: CoreTls,
    /// How large the heads of requests and answers may be.
    pub(crate) head_limits: HeadLimits,
    pub(crate) client_timeouts: ClientTimeouts,
    /// The core's clock, on which faults wait.
    pub(crate) timer: Timer,
    /// Where requests are kept as evidence, if they are.
    pub(crate) journal: Option<Arc<CoreJournal>>,
    /// Tasks that a drain of the process waits for.
    pub(crate) tasks: TaskTracker,
    /// Where connections may lead in this process.
    pub(crate) hops: Arc<Hops>,
}

impl Scope {
    /// Looks at a connection that was just opened to `upstream`.
    ///
    /// # Errors
    /// When it leads back to this route.
    pub(crate) fn check_leads_on(
        &self,
        upstream: &Upstream,
        opened: &TcpStream,
    ) -> Result<(), UpstreamError> {
        let target = match upstream.unix() {
            Some(path) => Target::Unix(Arc::clone(path)),
            None => {
                let address = opened.peer_addr();
                let address = address.map_err(|source| UpstreamError::Broken { source })?;
                self.route.reaches(upstream, address);
                Target::Tcp(address)
            }
        };
        match self.hops.lead_back(&self.route, target) {
            true => Err(UpstreamError::Loop),
            false => Ok(()),
        }
    }
}
