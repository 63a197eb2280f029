//! `brownout audit`: what a service that is not ours does when its dependency fails.

mod kept;

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use brownout_testkit::eventually;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Ran, Server, brownout,
    command_behind::is_there,
    run,
    run_command::world::{Page, ask, ask_for, free_port},
};

/// A service, its upstream, and where the service finds it.
struct Audited {
    service: Page,
    upstream: Page,
    route: SocketAddr,
    directory: TempDir,
}

impl Audited {
    /// A service that waits so long for each call, and serves a degraded page where none comes.
    fn waiting(limit: Duration) -> Self {
        let route = free_port();
        let service = Page::serving(
            move || match ask(route, limit) {
                true => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
                false => {
                    "HTTP/1.1 200 OK\r\nx-degraded: up\r\ncontent-length: 4\r\n\r\nless".to_owned()
                }
            },
            route,
        );
        Self {
            service,
            upstream: Page::answering(),
            route,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A service whose calls end within 150 ms, body and all; but so often that is forgotten once a body has begun.
    fn forgetting(times: usize) -> Self {
        let route = free_port();
        let left = AtomicUsize::new(times);
        let service = Page::serving(
            move || match read_whole(route, Duration::from_millis(150), &left) {
                Ok(()) => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
                Err(_) => {
                    "HTTP/1.1 200 OK\r\nx-degraded: up\r\ncontent-length: 4\r\n\r\nless".to_owned()
                }
            },
            route,
        );
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {CONTENT}\r\n\r\n{}",
            "x".repeat(CONTENT)
        );
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            service,
            upstream: Page::serving(move || answer.clone(), nobody),
            route,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn arguments<'a>(&self, more: &[&'a str]) -> Vec<String> {
        let route = format!("up={}=http://{}", self.route, self.upstream.address);
        let page = format!("http://{}/page", self.service.address);
        let own = [
            "audit",
            "--route",
            &route,
            "--page",
            &page,
            "--json",
            &self.path("audit.json"),
        ];
        let own: Vec<String> = own.iter().map(|it| (*it).to_owned()).collect();
        [
            own,
            more.iter().map(|it: &&'a str| (*it).to_owned()).collect(),
        ]
        .concat()
    }

    fn audit(&self, more: &[&str]) -> (Ran, Value) {
        let arguments = self.arguments(more);
        let ran = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let text = fs::read_to_string(self.path("audit.json"))
            .unwrap_or_else(|error| panic!("{error}: {}{}", ran.out(), ran.err()));
        (ran, serde_json::from_str(&text).unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }
}

/// How long the answers are that are read whole.
const CONTENT: usize = 400;

/// Reads a whole answer within `limit`, which is forgotten where `left` says so.
fn read_whole(address: SocketAddr, limit: Duration, left: &AtomicUsize) -> io::Result<()> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: up\r\n\r\n")?;
    let (mut limit, mut answer, mut buffer) = (limit, Vec::new(), [0; 4096]);
    while answer.len() < CONTENT || !answer.ends_with(&[b'x'; CONTENT]) {
        let rest = limit
            .checked_sub(began.elapsed())
            .filter(|it| !it.is_zero());
        stream.set_read_timeout(Some(rest.ok_or(io::ErrorKind::TimedOut)?))?;
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&buffer[..read]);
        let has_begun = answer.starts_with(b"HTTP/1.1 200") && answer.len() < CONTENT;
        let forgets = |left: usize| left.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        if has_begun && limit < FORGOTTEN && left.fetch_update(set, get, forgets).is_ok() {
            limit = FORGOTTEN;
        }
    }
    Ok(())
}

/// How long a call takes at most whose limit is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(20);

fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    let all = report["findings"].as_array().unwrap();
    let found: Vec<&Value> = all.iter().filter(|it| it["id"] == id).collect();
    assert_eq!(found.len(), 1, "{id}: {report:#}");
    found[0]
}

/// What was wrapped at the terminal's width.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_service_with_a_time_out_passes() {
    let audited = Audited::waiting(Duration::from_millis(150));

    let (ran, report) = audited.audit(&[
        "--only",
        "no-timeout,timeout-over-budget,no-total-timeout",
        "--fast",
    ]);

    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());
    assert_eq!(report["verdict"], "pass");
    assert_eq!(report["joined_by"], "serial");
    assert_eq!(report["findings"].as_array().unwrap().len(), 33);
    assert_eq!(finding(&report, "no-timeout")["verdict"], "ok");
    let timeout = finding(&report, "no-timeout")["evidence"]["attempt_timeout_us"].as_u64();
    assert!(timeout.is_some_and(|it| it >= 150_000), "{report:#}");
    assert!(ran.out().contains("PASS"), "{}", ran.out());
    // What was not asked for is told as such.
    assert_eq!(finding(&report, "no-jitter")["verdict"], "undetermined");
    assert_eq!(
        finding(&report, "no-jitter")["why"],
        "it was not asked for with --only"
    );
}

#[test]
fn what_does_not_fit_before_the_deadline_is_undetermined_and_says_so() {
    let audited = Audited::waiting(Duration::from_millis(150));

    let (ran, report) = audited.audit(&["--fast", "--deadline", "3s"]);

    assert_eq!(ran.code(), 4, "{}{}", ran.out(), ran.err());
    assert_eq!(report["verdict"], "inconclusive");
    for id in ["retries-4xx", "accepts-truncated", "no-cancellation"] {
        let left_out = finding(&report, id);
        assert_eq!(left_out["verdict"], "undetermined", "{left_out:#}");
        assert_eq!(left_out["why"], "it did not fit into the 3s of --deadline");
    }
    // What --fast leaves out has that reason.
    let load = finding(&report, "no-bulkhead");
    assert_eq!(load["verdict"], "undetermined", "{load:#}");
    assert_eq!(load["why"], "it takes load, which --fast leaves out");
    let told = "it did not fit into the 3s of --deadline";
    assert!(in_one_line(&ran.out()).contains(told), "{}", ran.out());
}

#[test]
fn the_report_of_an_audit_is_as_its_published_schema_says() {
    let audited = Audited::waiting(Duration::from_millis(150));

    let (ran, report) = audited.audit(&["--only", "timeouts,retries-4xx", "--fast"]);
    let schema = run(&["schema", "audit"]);

    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());
    let schema: Value = serde_json::from_str(&schema.out()).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("audit.json", schema).unwrap();
    let compiled = compiler.compile("audit.json", &mut schemas).unwrap();
    schemas
        .validate(&report, compiled)
        .unwrap_or_else(|error| panic!("{error:#}"));
    // The report carries what its page shows: one page, and the attempt that the service gave up.
    let hang = &report["experiments"][0];
    let page = &hang["seen"]["exemplar"];
    assert_eq!(page["degraded"], true, "{hang:#}");
    assert_eq!(page["attempts"][0]["struck"], true, "{hang:#}");
    let took = page["attempts"][0]["to_ms"].as_f64().unwrap()
        - page["attempts"][0]["from_ms"].as_f64().unwrap();
    assert!(took >= 149.0, "{hang:#}");
    // No fault is told as its JSON.
    for experiment in report["experiments"].as_array().unwrap() {
        let told = experiment["fault"].as_str().unwrap();
        assert!(!told.contains('{') && told.contains(' '), "{told}");
    }
}

#[test]
fn a_service_that_waits_longer_than_its_page_may_take_fails_with_what_to_change() {
    let audited = Audited::waiting(Duration::from_millis(1_200));

    let (ran, report) = audited.audit(&[
        "--budget",
        "500ms",
        "--only",
        "timeout-over-budget",
        "--fast",
    ]);

    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    assert_eq!(report["verdict"], "fail");
    let found = finding(&report, "timeout-over-budget");
    assert_eq!(
        (&found["verdict"], &found["severity"], &found["route"]),
        (&"defect".into(), &"high".into(), &"up".into())
    );
    assert!(
        found["sentence"]
            .as_str()
            .unwrap()
            .contains("and the page has 500ms"),
        "{found:#}"
    );
    assert!(
        ran.out().contains("make the attempt's time-out shorter"),
        "{}",
        ran.out()
    );
    // It leaves nothing behind.
    TcpListener::bind(audited.route).expect("the route's port is free again");
}

#[test]
fn a_time_out_that_is_lost_once_is_no_defect_and_one_that_is_lost_each_time_is() {
    for (times, verdict) in [(1, "ok"), (usize::MAX, "defect")] {
        let audited = Audited::forgetting(times);

        let (ran, report) =
            audited.audit(&["--only", "per-read-timeout,head-only-timeout", "--fast"]);

        let found = finding(&report, "head-only-timeout");
        assert_eq!(
            found["verdict"],
            verdict,
            "{times}: {}{}",
            ran.out(),
            ran.err()
        );
        let all = report["experiments"].as_array().unwrap();
        let slow = all.iter().filter(|it| it["id"] == "S6");
        assert_eq!(slow.count(), 2, "{times}: {}", ran.out());
    }
}

#[test]
fn what_a_service_asks_for_beside_its_pages_is_no_retry_and_is_not_waited_for() {
    let audited = Audited::waiting(Duration::from_millis(150));
    let route = audited.route;
    let (over, is_over) = mpsc::channel::<()>();
    let poller = thread::spawn(move || {
        while is_over.recv_timeout(Duration::from_millis(60)) == Err(RecvTimeoutError::Timeout) {
            ask_for("/popular", route, Duration::from_millis(150));
        }
    });

    let (ran, report) = audited.audit(&["--only", "immediate-retries,permanent-hedge"]);

    drop(over);
    poller.join().unwrap();
    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());
    assert!(
        in_one_line(&ran.out()).contains("calls to /popular"),
        "{}",
        ran.out()
    );
    let pages = |id: &str| {
        let all = report["experiments"].as_array().unwrap();
        let own = all.iter().filter(|it| it["id"] == id);
        own.map(|it| it["pages"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    // Four failures that are not retried are enough to tell, each with two good pages behind it.
    assert_eq!(pages("S2"), [12, 12], "{}", ran.out());
    assert_eq!(pages("S1"), [15], "{}", ran.out());
}

#[test]
fn what_holds_can_be_kept_as_an_experiment_and_every_report_is_written() {
    let audited = Audited::waiting(Duration::from_millis(150));
    let (kept, html, junit, markdown) = (
        audited.path("kept.toml"),
        audited.path("a.html"),
        audited.path("a.xml"),
        audited.path("a.md"),
    );
    let summary = audited.path("summary.md");
    fs::write(&summary, "what was there before\n").unwrap();

    audited.audit(&[
        "--only",
        "timeouts,nested-retries",
        "--fast",
        "--write",
        &kept,
        "--html",
        &html,
        "--junit",
        &junit,
        "--markdown",
        &markdown,
        "--github-step-summary",
        &summary,
    ]);

    let plan = run(&["plan", &kept]).ok();
    assert!(plan.contains("phase up-does-not-answer"), "{plan}");
    assert!(
        fs::read_to_string(html)
            .unwrap()
            .contains("What /page does when up fails")
    );
    let junit = fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains("<testsuite name=\"up\" tests=\"33\" failures=\"0\""),
        "{junit}"
    );
    let markdown = fs::read_to_string(markdown).unwrap();
    assert!(
        markdown.starts_with("### ✅ brownout audit: no defect was found"),
        "{markdown}"
    );
    let summary = fs::read_to_string(summary).unwrap();
    assert_eq!(summary, format!("what was there before\n{markdown}"));
}

#[test]
fn a_service_that_never_serves_is_inconclusive_and_its_output_is_shown() {
    let upstream = Page::answering();
    let nobody = format!("http://{}/page", free_port());
    let route = format!("up=http://{}", upstream.address);
    let script = "echo got $BROWNOUT_ROUTE_UP_URL; exec sleep 60";

    let ran = run(&[
        "audit",
        "--route",
        &route,
        "--page",
        &nobody,
        "--ready-within",
        "2500ms",
        "--",
        "sh",
        "-c",
        script,
    ]);

    assert_eq!(ran.code(), 4, "{}{}", ran.out(), ran.err());
    let waiting = format!("Waiting for {nobody} to be served, at most 2.50s (--ready-within).");
    assert_eq!(in_one_line(&ran.out()), waiting);
    assert!(
        ran.err().contains("the page was not served within 2.50s"),
        "{}",
        ran.err()
    );
    assert!(ran.err().contains("got http://127.0.0.1:"), "{}", ran.err());

    let ran = run(&[
        "audit", "--route", &route, "--page", &nobody, "--", "sh", "-c", "exit 3",
    ]);
    assert_eq!(ran.code(), 4);
    assert!(
        ran.err().contains("has ended with the exit code 3"),
        "{}",
        ran.err()
    );
}

#[test]
fn what_serves_the_page_of_a_command_that_has_ended_is_not_audited_in_its_place() {
    let audited = Audited::waiting(Duration::from_millis(150));
    let script = "sleep 0.2; echo the address is taken; exit 1";

    let command = audited.arguments(&["--fast", "--", "sh", "-c", script]);
    let ran = run(&command.iter().map(String::as_str).collect::<Vec<_>>());

    assert_eq!(ran.code(), 4, "{}{}", ran.out(), ran.err());
    let told =
        "has ended with the exit code 1, though its page is served: something else listens there";
    assert!(ran.err().contains(told), "{}", ran.err());
    assert!(ran.err().contains("the address is taken"), "{}", ran.err());
}

#[test]
fn a_dependency_whose_calls_all_fail_in_calm_is_not_judged() {
    let audited = Audited::waiting(Duration::from_millis(150));
    let nobody = format!("up={}=http://{}", audited.route, free_port());
    let mut arguments = audited.arguments(&["--fast"]);
    arguments[2] = nobody;

    let ran = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());

    assert_eq!(ran.code(), 4, "{}{}", ran.out(), ran.err());
    let told = "its calls fail though nothing is broken: 20 got no answer; is the upstream's address right?";
    assert!(in_one_line(&ran.out()).contains(told), "{}", ran.out());
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_audit() {
    let audited = Audited::waiting(Duration::from_millis(150));
    let nowhere = audited.path("nowhere/audit.html");
    let directory = audited.path("");

    for (path, told) in [
        (nowhere, "its directory does not exist"),
        (directory, "it is a directory"),
    ] {
        let arguments = audited.arguments(&["--html", &path]);
        let ran = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());

        assert_eq!(ran.code(), 2, "{}{}", ran.out(), ran.err());
        assert!(ran.err().contains(told), "{}", ran.err());
        assert_eq!(ran.out(), "", "nothing was tried");
    }
}

/// Reads what an audit prints until a line begins so.
fn until_line(server: &mut Server, begin: &str) {
    loop {
        let line = server.line();
        assert!(!line.is_empty(), "it ended before it printed `{begin}`");
        if line.starts_with(begin) {
            return;
        }
    }
}

#[tokio::test]
async fn an_interrupted_audit_removes_its_faults_and_ends_its_command() {
    let audited = Audited::waiting(Duration::from_secs(30));
    let pid = audited.path("pid");
    let script = format!("echo $$ > {pid}; exec sleep 600");
    let mut arguments = audited.arguments(&["--", "sh", "-c"]);
    arguments.push(script);
    let command = brownout(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut server = Server::spawn_with(command, Stdio::null());
    // The first experiment hangs for seconds.
    until_line(&mut server, "up: a page makes 1 call to");

    server.signal("-INT");

    let (_, status) = server.ended().await;
    assert_eq!(status.code(), Some(130));
    let pid = fs::read_to_string(pid).unwrap();
    eventually("the command ends", || !is_there(pid.trim())).await;
    TcpListener::bind(audited.route).expect("the route's port is free again");
}

#[tokio::test]
async fn an_interrupted_audit_tells_what_it_has_found() {
    // Longer than a page may take.
    let audited = Audited::waiting(Duration::from_millis(1_200));
    let arguments = audited.arguments(&["--only", "timeouts,fallback"]);
    let command = brownout(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut server = Server::spawn_with(command, Stdio::null());
    // Hanging is over, and an experiment under load is the next.
    until_line(&mut server, "  S12");

    server.signal("-INT");

    let (told, status) = server.ended().await;
    assert_eq!(status.code(), Some(130), "{told}");
    assert!(told.contains("interrupted"), "{told}");
    let report: Value =
        serde_json::from_str(&fs::read_to_string(audited.path("audit.json")).unwrap()).unwrap();
    let verdict = |id| &finding(&report, id)["verdict"];
    assert_eq!(report["interrupted"], true);
    assert_eq!(verdict("timeout-over-budget"), "defect", "{report:#}");
    assert_eq!(verdict("slow-fallback"), "undetermined", "{report:#}");
}

#[test]
fn a_running_proxy_can_be_used() {
    let audited = Audited::waiting(Duration::from_millis(150));
    let route = format!("up={}=http://{}", audited.route, audited.upstream.address);
    let proxy = Server::start(&[
        "proxy",
        "--control",
        "127.0.0.1:0",
        "--route",
        &route,
        "--output",
        "json",
    ]);
    let control = proxy.ready["control"].as_str().unwrap();
    let page = format!("http://{}/page", audited.service.address);
    let audit = |route: &str| {
        run(&[
            "audit",
            "--control",
            control,
            "--route",
            route,
            "--page",
            &page,
            "--only",
            "no-timeout",
            "--fast",
        ])
    };

    let ran = audit("up");
    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());

    let ran = audit("upp");
    assert_eq!(ran.code(), 2);
    assert!(ran.err().contains("did you mean `up`?"), "{}", ran.err());

    run(&["fault", "add", "latency", "up", "5ms", "--control", control]).ok();
    let ran = audit("up");
    assert_eq!(ran.code(), 2);
    assert!(
        ran.err().contains("faults are armed already (latency-1)"),
        "{}",
        ran.err()
    );
}

#[test]
fn a_mistake_is_told_with_what_would_be_right() {
    let page = ["--page", "http://127.0.0.1:1/page"];
    for (arguments, told) in [
        (
            vec!["--route", "up", page[0], page[1]],
            "is not of the form NAME=UPSTREAM, such as rates=http://127.0.0.1:7000",
        ),
        (
            vec![page[0], page[1]],
            "no dependency is named; say one with --route NAME=UPSTREAM",
        ),
        (
            vec![
                "--route",
                "up=http://127.0.0.1:1",
                "--page",
                "127.0.0.1/page",
            ],
            "write it like http://127.0.0.1:5000/page",
        ),
        (
            vec![
                "--route",
                "up=http://127.0.0.1:1",
                "--only",
                "timeout",
                page[0],
                page[1],
            ],
            "did you mean `timeouts`?",
        ),
        (
            vec![
                "--route",
                "up=http://127.0.0.1:1",
                "--order",
                "order",
                page[0],
                page[1],
            ],
            "is not of the form METHOD:PATH, such as POST:/order",
        ),
        (
            vec![
                "--route",
                "up=http://127.0.0.1:1",
                "--second-source",
                "ap",
                page[0],
                page[1],
            ],
            "unknown route `ap`",
        ),
        (
            vec![
                "--route",
                "up=http://127.0.0.1:1",
                "--degraded-if",
                "heder:x",
                page[0],
                page[1],
            ],
            "did you mean `header`?",
        ),
    ] {
        let ran = run(&[vec!["audit"], arguments].concat());
        assert_eq!(ran.code(), 2, "{told}: {}{}", ran.out(), ran.err());
        assert!(ran.err().contains(told), "{told}: {}", ran.err());
    }
}
