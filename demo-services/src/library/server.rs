//! The life of a service of the library: start, serve, stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use brownout_resilience::{InvalidPolicy, Policy};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::task::TaskTracker;

use super::{
    book::Source,
    book_service::BookService,
    config::{LibraryConfig, LibraryRole, LibraryStartError},
    database::Database,
    front::{LibraryFront, MethodTally},
    gate::Gate,
    hop::Hop,
    policies,
    service::{GateName, LibraryService},
    url::DatabaseUrl,
};
use crate::{
    ShutdownTimeout,
    serving::Serving,
    tally::ServiceTally,
    upstream::Transport,
    workers::{Line, Role, Worker},
};

/// A service of the library that runs. Dropped, it is cut short; see [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Running {
    service: LibraryService,
    address: SocketAddr,
    serving: Serving<LibraryFront>,
    /// None of the gate.
    books: Option<Arc<BookService>>,
}

/// What a service can do; its workers share it.
enum Ability {
    Gate(Arc<Gate>),
    Books(Arc<BookService>),
}

/// Starts a service of the library on the runtime it is called on, of either flavour.
///
/// A book service opens its database, and brings the schema up to date. Whether the gate's upstreams can be reached is
/// not tried.
///
/// # Errors
/// When the configuration is not right, the database cannot be opened, or the address cannot be listened on.
pub async fn start(config: LibraryConfig) -> Result<Running, LibraryStartError> {
    config.check()?;
    let outgoing = TaskTracker::new();
    let ability = match &config.role {
        LibraryRole::Gate {
            primary,
            fallback,
            policies,
        } => {
            let transport = Transport::new(&outgoing, None);
            Ability::Gate(Arc::new(gate(
                &config, primary, fallback, policies, &transport,
            )?))
        }
        LibraryRole::Primary(database) => books(&config, Source::Primary, database).await?,
        LibraryRole::Fallback(database) => books(&config, Source::Fallback, database).await?,
    };

    let failed = |source| LibraryStartError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;

    let service = config.service();
    let name = service.metric_name();
    let tally = Arc::new(ServiceTally::named(name, "requests", &config.metrics));
    let (line, line_end) = Line::new(config.workers, config.queue);
    let workers: Vec<_> = (0..config.workers)
        .map(|_| Worker {
            role: match &ability {
                Ability::Gate(gate) => Role::LibraryGate(Arc::clone(gate)),
                Ability::Books(books) => Role::LibraryBooks(Arc::clone(books)),
            },
            work: config.work,
            line: line_end.clone(),
            tally: Arc::clone(&tally),
        })
        .collect();
    let (gate, books) = match ability {
        Ability::Gate(gate) => (Some(gate), None),
        Ability::Books(books) => (None, Some(books)),
    };
    let front = LibraryFront {
        service,
        workers: config.workers,
        line,
        tally,
        methods: MethodTally::new(service, &config.metrics),
        gate,
        tracer: config.tracer,
    };
    Ok(Running {
        service,
        address,
        serving: Serving::start(listener, None, front, workers.into_iter(), outgoing),
        books,
    })
}

fn gate(
    config: &LibraryConfig,
    primary: &str,
    fallback: &str,
    policies: &[Policy; GateName::ALL.len()],
    transport: &Transport,
) -> Result<Gate, LibraryStartError> {
    let hop = |name: &str, to, policy| {
        let transport = transport.clone();
        Hop::new(name, to, policy, config.seed, &config.metrics, transport)
    };
    let mut ways = Vec::new();
    for (gate, policy) in GateName::ALL.into_iter().zip(policies) {
        let to = (LibraryService::Primary, primary);
        ways.push(hop(gate.as_str(), to, policy)?);
    }
    let to = (LibraryService::Fallback, fallback);
    Ok(Gate {
        primary: ways.try_into().expect("as many ways as names"),
        fallback: hop("fallback", to, &policies::fallback())?,
    })
}

async fn books(
    config: &LibraryConfig,
    source: Source,
    database: &DatabaseUrl,
) -> Result<Ability, LibraryStartError> {
    Ok(Ability::Books(Arc::new(BookService {
        service: config.service(),
        source,
        database: Database::open(database).await?,
    })))
}

impl Running {
    /// Which service it is.
    #[must_use]
    pub fn service(&self) -> LibraryService {
        self.service
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes further calls of one of the gate's ways under this policy. Calls that are being made end under the one
    /// they began with; a breaker stays as it is unless its section has changed. Book services call nobody: nothing
    /// happens there.
    ///
    /// # Errors
    /// When a value of the policy is out of range; the present one stays then.
    pub fn use_policy(&self, gate: GateName, policy: &Policy) -> Result<(), InvalidPolicy> {
        match &self.serving.front().gate {
            Some(ways) => ways.protect(gate, policy),
            None => Ok(()),
        }
    }

    /// Stops accepting, lets requests end for at most `limit`, then cuts, and lets go of the database.
    ///
    /// Requests whose callers wait are answered. Once no caller is left, workers finish what they have in hand; what
    /// is still queued then is for nobody, and is dropped.
    ///
    /// # Errors
    /// When the limit came first, and requests were cut.
    pub async fn shutdown(self, limit: Duration) -> Result<(), ShutdownTimeout> {
        /// Statements take no time; a server that is gone may.
        const CLOSING: Duration = Duration::from_secs(2);
        let ended = self.serving.shutdown(limit).await;
        if let Some(books) = self.books
            && timeout(CLOSING, books.database.close()).await.is_err()
        {
            tracing::warn!(service = %self.service, "the database did not let go in time");
        }
        ended
    }
}
