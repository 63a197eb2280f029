//! A system that says what a test wants it to say: pages, what services tell of themselves, and a control API.

use std::{
    future::ready,
    net::{Shutdown, SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime},
};

use brownout_client::Client;
use brownout_experiment::{Event, Report, Scenario, Services, Simulation, SimulationError};
use brownout_fault::{FaultSpec, FaultWriter, Moment, store};
use brownout_testkit::{Received, TestUpstream, within};
use brownout_wire::FaultAnswer;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Response};
use serde_json::{Value, json};
use socket2::SockRef;

/// What everybody has counted before the run.
pub(crate) const BEFORE: u64 = 1_000;

/// How the system behaves.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// The status of pages.
    pub(crate) page_status: u16,
    /// How much recommendations has to do, look by look, once pages were asked for. The last stays.
    pub(crate) recommendations: Vec<u64>,
    /// The same of the homepage.
    pub(crate) homepage: Vec<u64>,
    /// What goes wrong with the system itself.
    pub(crate) troubles: &'static [Trouble],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The control API refuses to arm anything.
    RefusesArming,
    /// The control API refuses to remove anything.
    RefusesRemoval,
    /// The fault is not there any more when it is asked for.
    LosesFault,
    /// The homepage answers nobody, and refuses connections as soon as the fault is armed.
    HomepageLeaves,
    /// Recommendations does not tell of itself once pages were asked for.
    RecommendationsIsMute,
    /// Popular items counts from zero once pages were asked for.
    PopularItemsRestarts,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            page_status: 200,
            recommendations: vec![0],
            homepage: vec![0],
            troubles: &[],
        }
    }
}

pub(crate) struct World {
    state: Arc<Mutex<State>>,
    homepage: SocketAddr,
    _pages: TestUpstream,
    services: TestUpstream,
    control: TestUpstream,
}

struct State {
    script: Script,
    /// The homepage that leaves. Its port stays taken.
    leaving: TcpListener,
    faults: FaultWriter,
    /// Pages that were asked for.
    asked: u64,
    /// Looks at the homepage and at recommendations since then.
    looks: [usize; 2],
    log: Vec<&'static str>,
}

impl World {
    pub(crate) async fn with(script: Script) -> Self {
        let leaving = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = leaving.local_addr().unwrap();
        let homepage_leaves = script.troubles.contains(&Trouble::HomepageLeaves);
        let state = Arc::new(Mutex::new(State {
            script,
            leaving,
            faults: store(42).0,
            asked: 0,
            looks: [0; 2],
            log: Vec::new(),
        }));
        let pages = serving(&state, State::page).await;
        Self {
            homepage: if homepage_leaves {
                there
            } else {
                pages.address()
            },
            _pages: pages,
            services: serving(&state, State::stats).await,
            control: serving(&state, State::control).await,
            state,
        }
    }

    /// With pages and without a tail, as far as these troubles let it.
    pub(crate) async fn in_trouble(troubles: &'static [Trouble]) -> Self {
        Self::with(Script {
            troubles,
            ..Script::default()
        })
        .await
    }

    /// A short run.
    pub(crate) fn simulation(&self, scenario: Scenario) -> Simulation {
        let of = |name: &str| format!("{}/{name}", self.services.url());
        let services = Services {
            homepage: of("homepage"),
            authentication: of("authentication"),
            recommendations: of("recommendations"),
            popular_items: of("popular_items"),
        };
        let control = Client::new(&self.control.url()).unwrap();
        Simulation {
            duration: Duration::from_millis(150),
            ..Simulation::new(scenario, self.homepage, services, control)
        }
    }

    /// What comes of a short run.
    pub(crate) async fn run(&self, scenario: Scenario) -> Result<Report, SimulationError> {
        run(&self.simulation(scenario)).await.0
    }

    /// What happened, without repetitions.
    pub(crate) fn log(&self) -> Vec<&'static str> {
        let mut log = lock(&self.state).log.clone();
        log.dedup();
        log
    }

    /// Pages that were asked for.
    pub(crate) fn asked(&self) -> u64 {
        lock(&self.state).asked
    }

    /// The faults as they were sent.
    pub(crate) fn sent(&self) -> Vec<Value> {
        let received = self.control.received();
        let posted = received.iter().filter(|it| it.method == Method::POST);
        posted
            .map(|it| serde_json::from_slice(&it.body).unwrap())
            .collect()
    }
}

/// What comes of a run, and what it told.
pub(crate) async fn run(simulation: &Simulation) -> (Result<Report, SimulationError>, Vec<Event>) {
    let mut events = Vec::new();
    let report = within("the run", simulation.run(|event| events.push(event))).await;
    (report, events)
}

async fn serving(
    state: &Arc<Mutex<State>>,
    answer: fn(&mut State, &Received) -> (u16, Value),
) -> TestUpstream {
    let state = Arc::clone(state);
    TestUpstream::serving(move |request| {
        let (status, body) = answer(&mut lock(&state), &request);
        let body = if status == 204 {
            String::new()
        } else {
            body.to_string()
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status.try_into().unwrap();
        if status == 200 && request.target == "/" {
            let missing = "recommendations".parse().unwrap();
            response.headers_mut().insert("x-degraded", missing);
        }
        ready(response)
    })
    .await
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

impl State {
    fn has(&self, trouble: Trouble) -> bool {
        self.script.troubles.contains(&trouble)
    }

    fn page(&mut self, request: &Received) -> (u16, Value) {
        assert_eq!(request.headers["authorization"], "Token 0x132");
        self.log.push("page");
        self.asked += 1;
        (self.script.page_status, json!({}))
    }

    /// `GET /SERVICE/stats`.
    fn stats(&mut self, request: &Received) -> (u16, Value) {
        let service = request.target.split('/').nth(1).unwrap();
        let ran = self.asked > 0;
        let mut received = BEFORE + self.asked;
        let mut waiting = 0;
        match service {
            "homepage" if ran => waiting = look(&self.script.homepage, &mut self.looks[0]),
            "recommendations" if ran && self.has(Trouble::RecommendationsIsMute) => {
                return (503, json!({}));
            }
            "recommendations" if ran => {
                self.log.push("watched");
                waiting = look(&self.script.recommendations, &mut self.looks[1]);
            }
            "popular_items" if ran && self.has(Trouble::PopularItemsRestarts) => received = 0,
            _ => {}
        }
        let stats = json!({
            "service": service, "workers": 8,
            "received": received, "answered": received, "shed": 0,
            "abandoned": self.looks[1], // One more is done at each look.
            "queued": waiting / 2, "running": waiting.div_ceil(2),
            "upstreams": {
                "recommendations": {
                    "policy": "test",
                    "calls": BEFORE + 3 * self.asked, "attempts": BEFORE + 4 * self.asked,
                    "retries": 2 * self.asked, "timeouts": 5, "rejected": self.asked, "fallbacks": 6,
                    "outcomes": { "ok": 0 },
                    "breaker": { "scope": "shared", "opened": 7 + self.asked, "not_permitted": 8 },
                },
            },
        });
        (200, stats)
    }

    fn control(&mut self, request: &Received) -> (u16, Value) {
        let path: Vec<&str> = request.target.split('/').skip(1).collect();
        match (&request.method, path.as_slice()) {
            (&Method::GET, ["routes"]) => (200, json!({ "routes": [self.route()] })),
            (&Method::POST, ["faults"]) if self.has(Trouble::RefusesArming) => {
                problem(409, "there is a fault `outage` already")
            }
            (&Method::POST, ["faults"]) => {
                self.log.push("armed");
                if self.has(Trouble::HomepageLeaves) {
                    SockRef::from(&self.leaving)
                        .shutdown(Shutdown::Both)
                        .unwrap();
                }
                let sent = serde_json::from_slice(&request.body).unwrap();
                let spec = FaultSpec::read(&sent).unwrap();
                let armed = self.faults.arm(vec![spec], now()).unwrap().remove(0);
                (201, json!(FaultAnswer::from(armed)))
            }
            (&Method::GET, ["faults", id]) => match self.faults.status(id, now().instant) {
                Some(status) if !self.has(Trouble::LosesFault) => {
                    let mut answer = FaultAnswer::from(status);
                    answer.counters.matched = self.asked;
                    answer.counters.injected = self.asked;
                    (200, json!(answer))
                }
                Some(_) | None => problem(404, "there is no such fault"),
            },
            (&Method::DELETE, ["faults", id]) => {
                self.log.push("removed");
                match self.faults.remove(id, now().instant) {
                    _ if self.has(Trouble::RefusesRemoval) => problem(503, "shutting down"),
                    true => (204, json!(null)),
                    false => problem(404, "there is no such fault"),
                }
            }
            (method, path) => panic!("{method} {path:?}"),
        }
    }

    fn route(&self) -> Value {
        json!({
            "name": "recommendations", "listen": "127.0.0.1:1", "upstream": "http://127.0.0.1:2",
            "protocol": "http", "enabled": true, "connections": 0,
            "requests": BEFORE + 4 * self.asked, "bytes_in": 0, "bytes_out": 0, "faults": [],
        })
    }
}

/// What is to be seen at this look.
fn look(script: &[u64], looks: &mut usize) -> u64 {
    let seen = script[(*looks).min(script.len() - 1)];
    *looks += 1;
    seen
}

fn problem(status: u16, detail: &str) -> (u16, Value) {
    let problem = json!({
        "type": "about:blank", "title": "Refused", "status": status, "detail": detail,
    });
    (status, problem)
}

fn now() -> Moment {
    Moment {
        instant: Instant::now(),
        wall: SystemTime::now(),
    }
}
