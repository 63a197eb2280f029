//! The library: the five cases of the article it follows, over HTTP, with faults from the control API and the health
//! page as the witness.
//!
//! The gates' policies are their own, except for what a busy machine could not keep: they stay open for longer than a
//! second, so that the page can be looked at meanwhile, and a call is slow later than after a tenth of one.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use brownout_testkit::{RawClient, RawMessage, within};
use demo_services::library::{GateName, gate_policy};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::Server;

/// How long an open gate waits.
const WAIT: Duration = Duration::from_secs(3);
/// What the third gate calls slow, and a call that is.
const SLOW: &str = "400ms";
const SLOWER: &str = "500ms";

/// The library as its demo, with books of its own.
struct Library {
    server: Server,
    gate: SocketAddr,
    control: SocketAddr,
    folder: TempDir,
}

impl Library {
    fn start() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    /// With the books in this folder.
    fn on(folder: TempDir) -> Self {
        let books = folder.path().join("books.db");
        let policies = (1..=5).map(|number| format!("g{number}={}", policy(folder.path(), number)));
        let policies: Vec<_> = policies.collect();
        let mut args = vec![
            "demo",
            "library",
            "--control",
            "127.0.0.1:0",
            "--output",
            "json",
        ];
        args.extend(["--database", books.to_str().unwrap()]);
        args.extend(policies.iter().flat_map(|it| ["--gate-policy", it]));
        let server = Server::start(&args);
        let gate = server.ready["services"]["library-gate"].as_str().unwrap();
        Self {
            gate: gate.parse().unwrap(),
            control: server.control().parse().unwrap(),
            server,
            folder,
        }
    }

    /// Reads book 1 through a gate, and says who answered.
    async fn read(&self, gate: &str) -> String {
        let answer = ask(self.gate, &format!("GET /api/almg/books/{gate}/1"), "").await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        json(&answer)["source"].as_str().unwrap().to_owned()
    }

    /// Reads so many times, and wants the same answer each time.
    async fn reads(&self, times: usize, gate: &str, source: &str) {
        for time in 1..=times {
            assert_eq!(self.read(gate).await, source, "read {time} of {times}");
        }
    }

    /// What the health page says of a gate.
    async fn breaker(&self, gate: &str) -> Value {
        let page = ask(self.gate, "GET /api/almg/actuator/health", "").await;
        assert_eq!(page.status(), 200);
        json(&page)["components"]["circuitBreakers"]["details"][gate].clone()
    }

    async fn state(&self, gate: &str) -> String {
        let breaker = self.breaker(gate).await;
        breaker["details"]["state"].as_str().unwrap().to_owned()
    }

    /// Looks at the health page until a gate is in a state.
    async fn until(&self, gate: &str, state: &str) {
        let looking = async {
            while self.state(gate).await != state {
                sleep(Duration::from_millis(5)).await;
            }
        };
        within(&format!("{gate} to be {state}"), looking).await;
    }

    /// Starts a fault on the way to the primary.
    async fn break_primary(&self, fault: Value) {
        self.break_route("primary", fault).await;
    }

    async fn break_route(&self, route: &str, mut fault: Value) {
        fault["route"] = json!(route);
        let answer = ask(self.control, "POST /faults", &fault.to_string()).await;
        assert_eq!(answer.status(), 201, "{}", answer.text());
    }

    async fn heal(&self) {
        let answer = ask(self.control, "DELETE /faults", "").await;
        assert_eq!(answer.status(), 200);
    }

    async fn stop(self) -> TempDir {
        self.server.signal("-TERM");
        let (_, status) = self.server.ended().await;
        assert_eq!(status.code(), Some(0));
        self.folder
    }
}

/// A gate's own policy with other waits, as a file.
fn policy(folder: &Path, number: u32) -> String {
    let wait = format!("wait = \"{}s\"", WAIT.as_secs());
    let slow = format!("slow_call_duration = \"{SLOW}\"");
    let text = gate_policy(GateName::ALL[number as usize - 1]).to_toml();
    let text = changed(&text, "wait = \"1s\"", &wait);
    let text = match number {
        3 => changed(&text, "slow_call_duration = \"100ms\"", &slow),
        _ => text,
    };
    let file = folder.join(format!("gate-{number}.toml"));
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// `text` with another line instead of `line`, which is in it.
fn changed(text: &str, line: &str, other: &str) -> String {
    let changed = text.replace(&format!("\n{line}\n"), &format!("\n{other}\n"));
    assert_ne!(changed, text);
    changed
}

async fn ask(address: SocketAddr, what: &str, body: &str) -> RawMessage {
    let mut client = RawClient::connect(address).await;
    let length = body.len();
    let head = format!("{what} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
    client.exchange(&(head + body)).await.0
}

fn json(answer: &RawMessage) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()))
}

fn reset() -> Value {
    json!({ "reset": {} })
}

/// Four failures, then a success on which the breaker opens: the rate is judged from the fifth call on.
async fn four_failures_and_a_success(library: &Library, gate: &str) {
    assert_eq!(library.state(gate).await, "CLOSED");
    library.break_primary(reset()).await;
    library.reads(4, gate, "fallback").await;
    let closed = library.breaker(gate).await;
    assert_eq!(closed["status"], "UP");
    assert_eq!(closed["details"]["failureRate"], "-1.0%");
    assert_eq!(closed["details"]["failedCalls"], 4);
    assert_eq!(closed["details"]["state"], "CLOSED");

    library.heal().await;
    library.reads(1, gate, "primary").await;
}

/// What an open breaker's page says after four failures, a success, and `refused` refusals.
fn opened(refused: u64) -> Value {
    json!({
        "status": "CIRCUIT_OPEN",
        "details": {
            "failureRate": "80.0%", "failureRateThreshold": "50.0%",
            "slowCallRate": "0.0%", "slowCallRateThreshold": "50.0%",
            "bufferedCalls": 5, "slowCalls": 0, "slowFailedCalls": 0, "failedCalls": 4,
            "notPermittedCalls": refused, "state": "OPEN",
        },
    })
}

/// Five probes that succeed close the breaker: the fifth decides.
async fn five_probes_close(library: &Library, gate: &str) {
    library.reads(4, gate, "primary").await;
    let half_open = library.breaker(gate).await;
    assert_eq!(half_open["status"], "CIRCUIT_HALF_OPEN");
    assert_eq!(half_open["details"]["state"], "HALF_OPEN");
    assert_eq!(half_open["details"]["bufferedCalls"], 4);
    library.reads(1, gate, "primary").await;
    let closed = library.breaker(gate).await;
    assert_eq!(
        (&closed["status"], &closed["details"]["state"]),
        (&json!("UP"), &json!("CLOSED"))
    );
    assert_eq!(closed["details"]["bufferedCalls"], 0);
}

#[tokio::test]
async fn case_1_opens_at_half_the_calls_and_is_half_open_by_itself() {
    let library = Library::start();
    let before = Instant::now();
    four_failures_and_a_success(&library, "g1").await;
    // The primary is whole, but nobody is let through to it.
    library.reads(3, "g1", "fallback").await;
    assert_eq!(library.breaker("g1").await, opened(3));
    library.reads(4, "g1", "fallback").await;
    assert_eq!(library.breaker("g1").await, opened(7));

    // Without a call, when the wait is over.
    library.until("g1", "HALF_OPEN").await;
    assert!(before.elapsed() >= WAIT, "{:?}", before.elapsed());
    assert_eq!(
        library.breaker("g1").await["details"]["notPermittedCalls"],
        0
    );
    five_probes_close(&library, "g1").await;
}

#[tokio::test]
async fn case_2_stays_open_until_somebody_calls() {
    let library = Library::start();
    four_failures_and_a_success(&library, "g2").await;
    library.reads(3, "g2", "fallback").await;
    // The first gate, opened later, shows when the wait of the second one is over, too.
    four_failures_and_a_success(&library, "g1").await;
    library.until("g1", "HALF_OPEN").await;

    assert_eq!(library.breaker("g2").await, opened(3));
    five_probes_close(&library, "g2").await;
}

#[tokio::test]
async fn case_3_opens_on_slow_calls_though_all_succeed() {
    let library = Library::start();
    library.break_primary(json!({ "latency": SLOWER })).await;
    library.reads(4, "g3", "primary").await;
    let closed = library.breaker("g3").await;
    assert_eq!(closed["details"]["slowCalls"], 4);
    assert_eq!(closed["details"]["slowCallRate"], "-1.0%");
    assert_eq!(closed["details"]["state"], "CLOSED");
    library.reads(1, "g3", "primary").await;

    let open = library.breaker("g3").await;
    assert_eq!(open["status"], "CIRCUIT_OPEN");
    assert_eq!(open["details"]["slowCallRate"], "100.0%");
    assert_eq!(open["details"]["failureRate"], "0.0%");
    assert_eq!(open["details"]["state"], "OPEN");
    library.reads(3, "g3", "fallback").await;

    // The others count the same calls as quick ones: they call a minute slow.
    library.reads(5, "g4", "primary").await;
    assert_eq!(library.state("g4").await, "CLOSED");

    library.heal().await;
    library.until("g3", "HALF_OPEN").await;
    five_probes_close(&library, "g3").await;
}

#[tokio::test]
async fn case_4_is_closed_by_two_probes() {
    let library = Library::start();
    four_failures_and_a_success(&library, "g4").await;
    library.reads(3, "g4", "fallback").await;
    assert_eq!(library.breaker("g4").await, opened(3));

    library.until("g4", "HALF_OPEN").await;
    library.reads(1, "g4", "primary").await;
    assert_eq!(library.state("g4").await, "HALF_OPEN");
    library.reads(1, "g4", "primary").await;
    let closed = library.breaker("g4").await;
    assert_eq!(closed["details"]["state"], "CLOSED");
    assert_eq!(closed["details"]["bufferedCalls"], 0);
}

#[tokio::test]
async fn case_5_judges_the_running_second_alone() {
    let library = Library::start();
    library.break_primary(reset()).await;
    // Fewer than five calls in a second say nothing, and are forgotten with it.
    library.reads(4, "g5", "fallback").await;
    let looking = async {
        loop {
            let breaker = library.breaker("g5").await;
            assert_eq!(breaker["details"]["state"], "CLOSED");
            if breaker["details"]["bufferedCalls"] == 0 {
                return breaker;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let forgotten = within("the second to pass", looking).await;
    assert_eq!(forgotten["details"]["failureRate"], "-1.0%");

    // A second has just begun, so five more are in it, whatever the machine does.
    let opening = async {
        while library.state("g5").await != "OPEN" {
            library.reads(1, "g5", "fallback").await;
        }
    };
    within("g5 to open", opening).await;
    assert_eq!(
        library.breaker("g5").await["details"]["failureRate"],
        "100.0%"
    );

    library.heal().await;
    library.until("g5", "HALF_OPEN").await;
    five_probes_close(&library, "g5").await;
}

#[tokio::test]
async fn probes_that_fail_open_it_again() {
    let library = Library::start();
    library.break_primary(reset()).await;
    library.reads(5, "g4", "fallback").await;
    assert_eq!(library.state("g4").await, "OPEN");
    library.until("g4", "HALF_OPEN").await;

    library.reads(2, "g4", "fallback").await;

    let open = library.breaker("g4").await;
    assert_eq!(open["details"]["state"], "OPEN");
    assert_eq!(open["details"]["failureRate"], "100.0%");
    assert_eq!(open["details"]["bufferedCalls"], 2);
}

#[tokio::test]
async fn books_are_made_during_an_outage_and_outlast_the_demo() {
    let library = Library::start();
    let book = json!({ "title": "Piranesi", "authors": ["Susanna Clarke"], "year": 2020, "publisher": "Bloomsbury" });
    library.break_primary(reset()).await;
    let made = ask(library.gate, "POST /api/almg/books/g1", &book.to_string()).await;
    assert_eq!(
        (made.status(), &json(&made)["source"]),
        (201, &json!("fallback"))
    );
    library.heal().await;
    let path = made.values("location")[0].to_owned();
    let read = async |gate| json(&ask(gate, &format!("GET {path}"), "").await);
    let mut wanted = book;
    wanted["id"] = json(&made)["id"].clone();
    wanted["source"] = json!("primary");
    assert_eq!(read(library.gate).await, wanted);

    let library = Library::on(library.stop().await);

    assert_eq!(read(library.gate).await, wanted);
}

#[tokio::test]
async fn with_both_gone_the_gate_says_what_became_of_each() {
    let library = Library::start();
    library.break_primary(reset()).await;
    let abort = json!({ "abort": { "status": 500 } });
    library.break_route("fallback", abort).await;

    let answer = ask(library.gate, "GET /api/almg/books/g1/1", "").await;

    assert_eq!(answer.status(), 503);
    assert_eq!(
        json(&answer)["detail"],
        "neither the primary nor the fallback answered: reset, 500"
    );
}

#[tokio::test]
async fn the_services_run_alone_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("books.db");
    let books = books.to_str().unwrap();
    let policy = folder.path().join("patient.toml");
    std::fs::write(
        &policy,
        "[breaker]\nsize = 2\nhealth = \"shown\"\n\n[fallback]\n",
    )
    .unwrap();
    let alone = |args: &[&str]| {
        let args = [&["demo-service"], args, &["--output", "json"]].concat();
        let server = Server::start(&args);
        let listen = server.ready["listen"].as_str().unwrap().to_owned();
        (server, listen)
    };
    let (_primary, primary) = alone(&["library-primary", "--database", books]);
    let (_fallback, fallback) = alone(&["library-fallback", "--database", books]);
    let (_gate, gate) = alone(&[
        "library-gate",
        "--upstream",
        &format!("library-primary=http://{primary}"),
        "--upstream",
        &format!("library-fallback=http://{fallback}"),
        "--gate-policy",
        &format!("g2={}", policy.display()),
    ]);
    let gate: SocketAddr = gate.parse().unwrap();

    let book = json(&ask(gate, "GET /api/almg/books/g2/1", "").await);
    let stats = json(&ask(gate, "GET /stats", "").await);

    assert_eq!(book["title"], "Wild");
    assert_eq!(book["source"], "primary");
    assert_eq!(stats["upstreams"]["g1"]["policy"], "library-gate-1");
    assert_eq!(stats["upstreams"]["g2"]["policy"], "patient");
    assert_eq!(stats["workers"], 64);
}

#[tokio::test]
async fn a_gate_takes_its_changed_policy_without_a_restart() {
    let library = Library::start();
    library.break_primary(reset()).await;
    library.reads(1, "g2", "fallback").await;

    let file = library.folder.path().join("gate-2.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (without_fallback, _) = text.split_once("\n[fallback]\n").unwrap();
    fs::write(&file, without_fallback).unwrap();

    let nobody_else_is_asked = async {
        while ask(library.gate, "GET /api/almg/books/g2/1", "")
            .await
            .status()
            != 503
        {
            sleep(Duration::from_millis(20)).await;
        }
    };
    within("the gate to take its policy", nobody_else_is_asked).await;
    library.reads(1, "g3", "fallback").await;
}
