//! What a gateway is made of.

use std::{path::PathBuf, thread};

use brownout_fault::FaultReader;
use brownout_telemetry::{Metrics, Tracer};

use crate::{
    limits::{ClientTimeouts, PIPE_DESCRIPTORS_MAX},
    upstream::Resolver,
};

/// What a gateway is made of.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Threads that carry traffic, each with a runtime, listeners and upstream connections of its own.
    pub cores: usize,
    /// Client connections of the whole process; more wait in the kernel's queue.
    pub connections_max: usize,
    /// What is armed.
    pub faults: FaultReader,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// What begins the spans of requests.
    pub tracer: Tracer,
    /// Whether each request is a line in the log, of the target [`ACCESS_LOG`](crate::ACCESS_LOG).
    pub access_log: bool,
    /// How many requests that ended are kept as evidence, over all cores, and how many connections: less than 3 KiB each,
    /// some 300 B as a rule.
    /// 0 keeps none, nor those in progress.
    pub journal_capacity: usize,
    /// How long clients may take.
    pub client_timeouts: ClientTimeouts,
    /// Called on a core's thread within a second after many of its connections have ended: 256 or more, and half of all that it had.
    /// A program whose allocator keeps freed memory for each thread gives it back to the system here.
    pub give_memory_back: Option<fn()>,
    /// Where the authority of `tls = "self"` is kept. It is made when the first such route is. `None`: there are no such
    /// routes.
    pub state_directory: Option<PathBuf>,
    /// How names of upstreams are looked up.
    pub resolver: Resolver,
}

impl GatewayConfig {
    /// The default of `connections_max`.
    pub const CONNECTIONS_MAX: usize = 20_000;
    /// The default of `journal_capacity`.
    pub const JOURNAL_CAPACITY: usize = 10_000;
    /// Descriptors that each core may take besides two for each connection.
    pub const CORE_DESCRIPTORS: usize = PIPE_DESCRIPTORS_MAX;

    /// A gateway on every core, with default limits, that counts for itself and traces nothing.
    #[must_use]
    pub fn new(faults: FaultReader) -> Self {
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            connections_max: Self::CONNECTIONS_MAX,
            faults,
            metrics: Metrics::new(),
            tracer: Tracer::off(),
            access_log: false,
            journal_capacity: Self::JOURNAL_CAPACITY,
            client_timeouts: ClientTimeouts::default(),
            give_memory_back: None,
            state_directory: None,
            resolver: Resolver::default(),
        }
    }
}
