//! The story of one run.

mod counted;
mod error;
mod fault;
mod scenario;
mod services;
mod system;
mod tail;

use std::{error::Error, io, net::SocketAddr, pin::pin, time::Duration};

use brownout_client::Client;
use futures_util::StreamExt;
use http::{HeaderValue, header::AUTHORIZATION};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until, timeout},
};
use tokio_util::task::TaskTracker;

pub(crate) use self::counted::Counted;
pub use self::{error::SimulationError, fault::NotRemoved, scenario::Scenario, services::Services};
use self::{fault::ArmedFault, system::System, tail::Tail};
use crate::{
    load::{Target, closed_loop},
    report::{FaultReport, Report, TailReport},
    timeline::{Second, Timeline},
};

const SECOND: Duration = Duration::from_secs(1);
/// How often services are asked whether they are done.
const LOOK: Duration = Duration::from_millis(50);
/// How long the services may take to finish once the fault is removed.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);
/// How long the homepage may take to accept a connection before the run.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than the longest run a fault stays if it is not removed.
const TTL_SPARE: Duration = Duration::from_secs(60);

/// A run against a system that is there already, and has nothing else to do meanwhile.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use brownout_client::Client;
/// use brownout_experiment::{Scenario, Services, Simulation};
///
/// let services = Services {
///     homepage: "http://127.0.0.1:9000".to_owned(),
///     authentication: "http://127.0.0.1:9001".to_owned(),
///     recommendations: "http://127.0.0.1:9002".to_owned(),
///     popular_items: "http://127.0.0.1:9003".to_owned(),
/// };
/// let control = Client::new("127.0.0.1:8474")?;
/// let outage = Simulation {
///     duration: Duration::from_secs(10),
///     ..Simulation::new(Scenario::Outage, "127.0.0.1:9000".parse()?, services, control)
/// };
/// let report = outage.run(|event| eprintln!("{event:?}")).await?;
/// println!("{}", report.to_text(80));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Simulation {
    /// The outage that is simulated.
    pub scenario: Scenario,
    /// Where pages are asked for.
    pub homepage: SocketAddr,
    /// Where the services tell of themselves: base URLs, `http://HOST:PORT`.
    pub services: Services<String>,
    /// The control API of the proxy between them.
    pub control: Client,
    /// How long pages are asked for: the burst. Default 30 s, from 1 ms to [`DURATION_MAX`](Self::DURATION_MAX).
    pub duration: Duration,
    /// Over how many connections. Default 10, from 1 to [`CONNECTIONS_MAX`](Self::CONNECTIONS_MAX).
    pub connections: usize,
    /// How long the tail is watched, at most [`DURATION_MAX`](Self::DURATION_MAX). By default 2.5 times the burst, and
    /// 20 s at least.
    pub tail_limit: Option<Duration>,
    /// How the homepage protects itself. For the report alone: it was set when the homepage was started.
    pub policy: Option<Policy>,
    /// Where all chance comes from. For the report alone.
    pub seed: Option<u64>,
    /// Who asks for pages: the field `Authorization`. Default [`AUTHORIZATION`](Self::AUTHORIZATION).
    pub authorization: HeaderValue,
    /// Removals of faults that nobody waits for.
    pub cleanup: TaskTracker,
}

/// How a service protects itself, for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What it is called.
    pub name: String,
    /// Its settings, as text.
    pub settings: String,
}

/// What happens during a run, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The fault is armed. Not told where nothing goes wrong.
    Armed {
        /// The id of the fault.
        id: &'static str,
        /// The route it is on.
        route: &'static str,
    },
    /// One more second of the burst is over.
    Second {
        /// Its number, from 0.
        number: usize,
        /// What ended in it.
        counts: Second,
    },
    /// The clients have left.
    BurstEnded {
        /// The sum of the seconds that ended before.
        total: Second,
    },
    /// What recommendations has still to do, for nobody. Told every 50 ms, at least once.
    Tail {
        /// Since the clients left.
        elapsed: Duration,
        /// Requests that wait for a worker.
        queued: u64,
        /// Requests that a worker has.
        running: u64,
    },
    /// The fault is removed. Not told where there was none, or where that failed.
    Healed,
}

impl Simulation {
    /// The longest burst, and the longest wait for its tail: a day.
    pub const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
    /// The most connections that may ask for pages at once.
    pub const CONNECTIONS_MAX: usize = 4096;
    /// A user that the authentication service knows, as all others.
    pub const AUTHORIZATION: HeaderValue = HeaderValue::from_static("Token 0x132");

    /// As the original ran it: for 30 s over 10 connections.
    #[must_use]
    pub fn new(
        scenario: Scenario,
        homepage: SocketAddr,
        services: Services<String>,
        control: Client,
    ) -> Self {
        Self {
            scenario,
            homepage,
            services,
            control,
            duration: Duration::from_secs(30),
            connections: 10,
            tail_limit: None,
            policy: None,
            seed: None,
            authorization: Self::AUTHORIZATION,
            cleanup: TaskTracker::new(),
        }
    }

    /// Runs it, and tells what happens.
    ///
    /// The fault is removed however the run ends. If this future is dropped, the removal is left to the runtime; wait
    /// for it with [`cleaned_up`](Self::cleaned_up). Where even that is impossible, the fault ends by its ttl.
    ///
    /// # Errors
    /// When a setting is out of bounds, a part of the system cannot be reached or is started anew on the way, or the
    /// fault is refused. Pages that fail are part of the report, unless not one connection was made. A fault that
    /// could not be removed after a good run is told by the report.
    pub async fn run(&self, mut tell: impl FnMut(Event)) -> Result<Report, SimulationError> {
        self.check()?;
        self.reach_homepage().await?;
        let system = System::new(&self.services, &self.control);
        let before = system.count().await?;

        let fault = self.arm(&mut tell).await?;
        let measured = self.measure(&system, fault.as_ref(), &mut tell).await;
        let removed = remove(fault, &mut tell).await;
        let measured = match (measured, removed) {
            (Ok(measured), Ok(())) => measured,
            (Ok(measured), Err(error)) => measured.with_fault_left(&error),
            (Err(error), Ok(())) => return Err(error),
            (Err(run), Err(source)) => {
                let run = Box::new(run);
                return Err(SimulationError::FaultLeft { run, source });
            }
        };

        let settled = system.settle(SETTLE_LIMIT).await?;
        let after = system.count().await?;
        let counted = Counted::between(&before, &after)?;
        Ok(Report::of(self, measured, counted, settled))
    }

    /// Waits until the faults of runs that were dropped are removed, or cannot be.
    pub async fn cleaned_up(&self) {
        self.cleanup.close();
        self.cleanup.wait().await;
    }

    /// How long the tail is watched.
    #[must_use]
    pub fn tail_limit(&self) -> Duration {
        let usual = || self.duration.mul_f64(2.5).max(Duration::from_secs(20));
        self.tail_limit.unwrap_or_else(usual)
    }

    fn check(&self) -> Result<(), SimulationError> {
        if !(Duration::from_millis(1)..=Self::DURATION_MAX).contains(&self.duration) {
            return Err(SimulationError::Duration(self.duration));
        }
        if !(1..=Self::CONNECTIONS_MAX).contains(&self.connections) {
            return Err(SimulationError::Connections(self.connections));
        }
        match self.tail_limit {
            Some(limit) if limit > Self::DURATION_MAX => Err(SimulationError::TailLimit(limit)),
            Some(_) | None => Ok(()),
        }
    }

    async fn reach_homepage(&self) -> Result<(), SimulationError> {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(self.homepage)).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        connected
            .map(drop)
            .map_err(|source| SimulationError::Homepage {
                address: self.homepage,
                source,
            })
    }

    async fn arm(
        &self,
        tell: &mut impl FnMut(Event),
    ) -> Result<Option<ArmedFault>, SimulationError> {
        let ttl = self.duration + self.tail_limit() + TTL_SPARE;
        let Some(fault) = self.scenario.fault(ttl) else {
            return Ok(None);
        };
        let armed = ArmedFault::arm(fault, &self.control, &self.cleanup).await?;
        tell(Event::Armed {
            id: armed.id(),
            route: armed.route(),
        });
        Ok(Some(armed))
    }

    /// What happens while the fault is armed.
    async fn measure(
        &self,
        system: &System<'_>,
        fault: Option<&ArmedFault>,
        tell: &mut impl FnMut(Event),
    ) -> Result<Measured, SimulationError> {
        let timeline = self.burst(tell).await?;
        let tail = self.tail(system, tell).await?;
        let fault = match fault {
            Some(fault) => Some(fault.report().await?),
            None => None,
        };
        Ok(Measured {
            timeline,
            tail,
            fault,
        })
    }

    /// Asks for pages until time is over. Then the clients leave, whatever they wait for.
    async fn burst(&self, tell: &mut impl FnMut(Event)) -> Result<Timeline, SimulationError> {
        let mut target = Target::at(self.homepage);
        let authorization = self.authorization.clone();
        target.headers.insert(AUTHORIZATION, authorization);
        let mut timeline = Timeline::new(self.duration);
        let mut over = 0;
        let mut tell_second = |number, timeline: &Timeline| {
            let counts = timeline.seconds()[number];
            tell(Event::Second { number, counts });
        };

        let began = Instant::now();
        let mut end = pin!(sleep_until(began + self.duration));
        let mut seconds = interval_at(began + SECOND, SECOND);
        let mut load = closed_loop(target, self.connections, began);
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                _ = seconds.tick() => {
                    tell_second(over, &timeline);
                    over += 1;
                }
                Some(sample) = load.next() => {
                    if sample.ended > self.duration {
                        break; // The end was not noticed yet.
                    }
                    timeline.record(&sample);
                }
            }
        }
        drop(load);

        for number in over..timeline.seconds().len() {
            tell_second(number, &timeline);
        }
        let total = timeline.total();
        tell(Event::BurstEnded { total });
        if total.served == 0 && total.errors > 0 && total.errors == timeline.kinds().connect {
            return Err(SimulationError::HomepageGone {
                address: self.homepage,
                attempts: total.errors,
            });
        }
        Ok(timeline)
    }

    /// Watches recommendations until it has nothing to do, and nobody is left to give it something: a homepage that
    /// works on pages for nobody goes on calling it.
    async fn tail(
        &self,
        system: &System<'_>,
        tell: &mut impl FnMut(Event),
    ) -> Result<TailReport, SimulationError> {
        let began = Instant::now();
        let mut tail = Tail::default();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let homepage = system.homepage().await?;
            let recommendations = system.recommendations().await?;
            let elapsed = began.elapsed();
            tell(Event::Tail {
                elapsed,
                queued: recommendations.queued,
                running: recommendations.running,
            });
            tail.saw(elapsed, &recommendations);
            if !homepage.is_busy() && !recommendations.is_busy() {
                return Ok(tail.ended());
            }
            if elapsed >= self.tail_limit() {
                return Ok(tail.cut());
            }
        }
    }
}

/// What was found while the fault was armed.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) timeline: Timeline,
    pub(crate) tail: TailReport,
    pub(crate) fault: Option<FaultReport>,
}

impl Measured {
    fn with_fault_left(mut self, error: &NotRemoved) -> Self {
        if let Some(fault) = &mut self.fault {
            fault.removal_error = Some(chain(error));
        }
        self
    }
}

async fn remove(fault: Option<ArmedFault>, tell: &mut impl FnMut(Event)) -> Result<(), NotRemoved> {
    if let Some(fault) = fault {
        fault.remove().await?;
        tell(Event::Healed);
    }
    Ok(())
}

/// An error and its sources, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
