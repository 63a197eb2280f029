//! Signals, and output that nobody takes.

use std::{fs::File, process::Stdio, time::Duration};

use brownout_testkit::{
    Ended, How, OtlpReceiver, RawClient, ReceivedKind, TestUpstream, eventually, within,
};
use serde_json::Value;

use crate::{Server, brownout, run};

fn proxy(upstream: &TestUpstream, more: &[&str]) -> Server {
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    Server::on_a_free_port(&[&["proxy", "--route", &route], more].concat())
}

async fn through(server: &Server) -> u16 {
    let mut client = RawClient::connect(server.route("web")).await;
    client.get("/").await;
    client.response().await.status()
}

fn faults(server: &Server) -> Value {
    server.listed("fault")["faults"].clone()
}

#[tokio::test]
async fn sigusr1_removes_every_fault() {
    let upstream = TestUpstream::replying("hello").await;
    let server = proxy(&upstream, &[]);
    run(&[
        "fault",
        "add",
        "abort",
        "web",
        "503",
        "--control",
        &server.control(),
    ])
    .ok();
    run(&[
        "fault",
        "add",
        "reset",
        "*",
        "--percent",
        "0",
        "--control",
        &server.control(),
    ])
    .ok();
    assert_eq!(through(&server).await, 503);

    server.signal("-USR1");

    let healed = async { while through(&server).await != 200 {} };
    within("the faults to be removed", healed).await;
    assert_eq!(faults(&server).as_array().unwrap().len(), 0);
    server.signal("-TERM");
    assert!(server.ended().await.1.success());
}

#[tokio::test]
async fn sighup_never_kills_a_server() {
    let upstream = TestUpstream::replying("hello").await;
    let server = proxy(&upstream, &[]);
    let service = Server::start(&["demo-service", "popular-items", "--output", "json"]);

    for _ in 0..3 {
        server.signal("-HUP");
        service.signal("-HUP");
        service.signal("-USR1");
        assert_eq!(through(&server).await, 200);
    }
    let listen = service.ready["listen"].as_str().unwrap().to_owned();
    run(&["health", &listen]).ok();

    for server in [server, service] {
        server.signal("-TERM");
        assert!(server.ended().await.1.success());
    }
}

#[tokio::test]
async fn a_request_that_hangs_is_cut_when_the_drain_is_over() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        // It never answers.
        while client.whole_request().await.is_some() {}
    })
    .await;
    let server = proxy(&upstream, &["--drain", "300ms"]);
    let mut client = RawClient::connect(server.route("web")).await;
    client.get("/").await;
    eventually("the request to reach the upstream", || {
        upstream.connections() > 0
    })
    .await;
    let began = std::time::Instant::now();

    server.signal("-TERM");

    assert!(server.ended().await.1.success());
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn an_upgraded_connection_gets_its_fin_at_once_and_holds_up_no_end() {
    const SWITCH: &str =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (told, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let upstream = TestUpstream::raw(move |stream| {
        let told = told.clone();
        async move {
            let mut upstream = RawClient::over(stream);
            upstream.head().await;
            upstream.send(SWITCH).await;
            let said = upstream.read_exact(4).await;
            upstream.send(said).await;
            told.send(upstream.ended().await).ok();
        }
    })
    .await;
    // It would take longer than anything is waited for here.
    let server = proxy(&upstream, &["--drain", "10m"]);
    let mut client = RawClient::connect(server.route("web")).await;
    client
        .send("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status(), 101);
    client.send("ping").await;
    assert_eq!(client.read_exact(4).await, b"ping");

    server.signal("-TERM");

    // An upgraded connection has no end of its own to wait for; both sides are told, and nobody is reset.
    let nothing = Ended {
        bytes: Vec::new(),
        how: How::Fin,
    };
    assert_eq!(client.ended().await, nothing);
    assert_eq!(
        within("the upstream to be told", ends.recv()).await,
        Some(nothing)
    );
    drop(client);
    assert!(server.ended().await.1.success());
}

#[tokio::test]
async fn a_request_that_hangs_is_cut_after_8_seconds_unless_told_otherwise() {
    let upstream = TestUpstream::raw(|stream| async move {
        let mut client = RawClient::over(stream);
        while client.whole_request().await.is_some() {}
    })
    .await;
    let server = proxy(&upstream, &[]);
    let mut client = RawClient::connect(server.route("web")).await;
    client.get("/").await;
    eventually("the request to reach the upstream", || {
        upstream.connections() == 1
    })
    .await;
    let began = std::time::Instant::now();

    server.signal("-TERM");

    assert!(server.ended().await.1.success());
    assert!(began.elapsed() >= Duration::from_secs(8));
}

#[test]
fn a_drain_that_is_too_long_is_refused() {
    let ran = run(&["proxy", "--drain", "2h"]);

    assert_eq!(ran.code(), 2);
    assert!(ran.err().contains("must be at most 1h"), "{}", ran.err());
}

#[tokio::test]
async fn a_full_disk_and_a_closed_pipe_cut_no_drain() {
    let upstream = TestUpstream::replying("hello").await;
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for is_full in [true, false] {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let route = format!("web={address}={}", upstream.url());
        let mut command = brownout(&["proxy", "--route", &route, "--control", "127.0.0.1:0"]);
        command.args(["--access-log", "--log", "debug"]);
        let mut process = match is_full {
            true => command.stdout(full()).stderr(full()).spawn(),
            false => command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn(),
        }
        .unwrap();
        // Nobody reads: from now on writing is an error.
        drop((process.stdout.take(), process.stderr.take()));
        eventually("the route to listen", || {
            std::net::TcpStream::connect(address).is_ok()
        })
        .await;
        let mut client = RawClient::connect(address).await;
        client.get("/").await;
        assert_eq!(client.response().await.status(), 200, "full: {is_full}");
        let mut held = RawClient::connect(address).await;
        held.send(
            "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        )
        .await;
        // The upstream has the head, so the proxy is at the request.
        assert_eq!(held.head().await.status(), 100, "full: {is_full}");
        held.send("12").await;

        let pid = process.id().to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        eventually("the route to stop listening", || {
            std::net::TcpStream::connect(address).is_err()
        })
        .await;
        held.send("345").await;

        assert_eq!(held.response().await.status(), 200, "full: {is_full}");
        drop((client, held));
        let ended = tokio::task::spawn_blocking(move || process.wait().unwrap());
        let ended = within("the proxy to end", ended).await.unwrap();
        assert_eq!(ended.code(), Some(0), "full: {is_full}");
    }
}

#[test]
fn a_command_whose_output_cannot_be_written_says_so() {
    let full = File::options().write(true).open("/dev/full").unwrap();

    let ran = brownout(&["fault", "kinds"]).stdout(full).output().unwrap();

    assert_eq!(ran.status.code(), Some(70));
    let err = String::from_utf8(ran.stderr).unwrap();
    assert!(
        err.contains("could not print: No space left on device"),
        "{err}"
    );
}

#[tokio::test]
async fn with_few_descriptors_data_flows_beside_idle_control_clients() {
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "ulimit -n 256; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_brownout"),
    ]);
    command.args([
        "proxy",
        "--route",
        &route,
        "--control",
        "127.0.0.1:0",
        "--output",
        "json",
    ]);
    let server = Server::spawn(command).ready();
    let control = server.control().parse().unwrap();
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(RawClient::connect(control).await);
    }

    for _ in 0..20 {
        assert_eq!(through(&server).await, 200);
        assert_eq!(faults(&server).as_array().unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_restart_begins_anew_with_what_the_file_says() {
    let upstream = TestUpstream::replying("hello").await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("brownout.toml");
    let text = format!(
        "[[route]]\nname = 'web'\nlisten = '127.0.0.1:0'\nupstream = '{}'\n[[fault]]\nid = 'own'\nroute = 'web'\nabort = 503\nlimit = 1\n",
        upstream.url()
    );
    std::fs::write(&config, text).unwrap();
    let start = || Server::on_a_free_port(&["proxy", "--config", config.to_str().unwrap()]);
    let server = start();
    let control = server.control();
    assert_eq!(through(&server).await, 503);
    let add = ["route", "add", "two", "127.0.0.1:0", "http://127.0.0.1:9"];
    run(&[&add[..], &["--control", &control]].concat()).ok();
    let add = ["fault", "add", "reset", "web", "--id", "late"];
    run(&[&add[..], &["--control", &control]].concat()).ok();
    run(&["halt", "--rearm-after", "1h", "--control", &control]).ok();
    server.signal("-TERM");
    assert!(server.ended().await.1.success());

    let server = start();

    let armed = faults(&server);
    assert_eq!(armed.as_array().unwrap().len(), 1, "{armed}");
    let own = (&armed[0]["id"], &armed[0]["state"]);
    assert_eq!(own, (&"own".into(), &"active".into()), "it is not spent");
    let routes = server.listed("route");
    assert_eq!(routes["routes"].as_array().unwrap().len(), 1, "{routes}");
    assert_eq!(through(&server).await, 503);
}

#[tokio::test]
async fn sigterm_sends_the_spans_that_wait_before_the_process_ends() {
    let collector = OtlpReceiver::start();
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let args = ["proxy", "--route", &route, "--otlp", &collector.url()];
    let server = Server::on_a_free_port(&args);
    assert_eq!(through(&server).await, 200);

    server.signal("-TERM");
    let (_, status) = server.ended().await;

    // The process is gone: what has not come by now never will.
    assert!(status.success());
    let spans = collector.spans();
    let of_proxy = spans
        .iter()
        .filter(|span| span.kind == ReceivedKind::Server);
    assert_eq!(of_proxy.count(), 1, "{spans:#?}");
}
