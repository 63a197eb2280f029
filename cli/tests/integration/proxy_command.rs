use std::{fs, io::Write, net::TcpStream};

use brownout_testkit::{How, RawClient, StatsdReceiver, TestUpstream, eventually};
use serde_json::json;

use crate::{Ran, Server, brownout, run};

async fn get(server: &Server, route: &str, path: &str) -> u16 {
    let mut client = RawClient::connect(server.route(route)).await;
    client.get(path).await;
    client.response().await.status()
}

#[tokio::test]
async fn a_service_is_pointed_through_the_proxy_broken_and_healed() {
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let server = Server::on_a_free_port(&["proxy", "--route", &route]);
    assert_eq!(server.ready["event"], "ready");
    assert_eq!(get(&server, "web", "/").await, 200);

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
    assert_eq!(get(&server, "web", "/").await, 503);
    run(&["fault", "clear", "--control", &server.control()]).ok();
    assert_eq!(get(&server, "web", "/").await, 200);
}

#[tokio::test]
async fn a_file_gives_routes_faults_and_settings() {
    let upstream = TestUpstream::replying("hello").await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        r#"
        seed = 7

        [[route]]
        name = "web"
        listen = "127.0.0.1:0"
        upstream = "{0}"

        [[route]]
        name = "other"
        listen = "127.0.0.1:0"
        upstream = "{0}"

        [[fault]]
        route = "other"
        abort = {{ status = 418 }}
        ttl = "none"

        [control]
        listen = "127.0.0.1:0"
        "#,
        upstream.url()
    )
    .unwrap();

    let server = Server::start(&[
        "proxy",
        "--config",
        file.path().to_str().unwrap(),
        "--output",
        "json",
    ]);

    assert_eq!(get(&server, "web", "/").await, 200);
    assert_eq!(get(&server, "other", "/").await, 418);
}

#[test]
fn a_file_with_mistakes_is_refused_with_every_line() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(
        br#"[[route]]
name = "web"
listen = "127.0.0.1:0"
upstream = "ftp://shop.example"

[[fault]]
route = "wbe"
latencey = "1s"
percent = 150

[telemetry]
stasd = "127.0.0.1:8125"
"#,
    )
    .unwrap();

    let ran = run(&["proxy", "--config", file.path().to_str().unwrap()]);

    assert_eq!(ran.code(), 2);
    let err = ran.err();
    for wanted in [
        "line 4: `upstream` is not the URL of an upstream",
        "  4 | upstream = \"ftp://shop.example\"",
        "line 8: `latencey` unknown key `latencey`; did you mean `latency`?",
        "line 9: `percent` 150 is outside 0 to 100",
        "line 12: `stasd` unknown key `stasd`; did you mean `statsd`?",
    ] {
        assert!(err.contains(wanted), "{wanted}\nis not in\n{err}");
    }
}

#[test]
fn wrong_arguments_are_refused_with_a_reason() {
    let cases: [(&[&str], &str); 5] = [
        (
            &["proxy", "--route", "web"],
            "is not of the form NAME=LISTEN=UPSTREAM",
        ),
        (
            &["proxy", "--config", "/no/such/file.toml"],
            "could not read `/no/such/file.toml`",
        ),
        (
            &["proxy", "--control", "0.0.0.0:0"],
            "add --insecure if that is meant",
        ),
        (
            &["proxy", "--control", "127.0.0.1:0", "--otlp", "not a url"],
            "OTLP",
        ),
        (
            &["proxy", "--control", "127.0.0.1:0", "--statsd", "nowhere"],
            "statsd",
        ),
    ];
    for (args, wanted) in cases {
        let ran = run(args);
        assert_eq!(ran.code(), 2, "{args:?}: {}", ran.err());
        assert!(ran.err().contains(wanted), "{args:?}: {}", ran.err());
        assert!(ran.out().is_empty(), "{args:?}: {}", ran.out());
    }
}

#[test]
fn a_route_to_the_control_api_is_refused_unless_it_is_meant() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let control = free.local_addr().unwrap().to_string();
    drop(free);
    let route = format!("own=127.0.0.1:0=http://{control}");

    let ran = run(&["proxy", "--route", &route, "--control", &control]);

    assert_eq!(ran.code(), 2, "{}", ran.err());
    assert!(
        ran.err().contains("give --allow-control-upstream"),
        "{}",
        ran.err()
    );
}

#[tokio::test]
async fn a_route_on_a_taken_address_is_refused_by_its_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let route = format!("web={address}=http://127.0.0.1:1");

    let ran = run(&["proxy", "--route", &route, "--control", "127.0.0.1:0"]);

    assert_eq!(ran.code(), 2);
    assert!(
        ran.err()
            .contains(&format!("route `web`: the address {address} is taken")),
        "{}",
        ran.err()
    );
}

#[tokio::test]
async fn sigterm_lets_go_what_is_held_ends_requests_and_exits_with_0() {
    let release = tokio::sync::watch::Sender::new(false);
    let wait = release.subscribe();
    let upstream = TestUpstream::serving(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            hyper::Response::new(http_body_util::Full::new("late".into()))
        }
    })
    .await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let server = Server::on_a_free_port(&["proxy", "--route", &route]);
    let control = server.control();
    run(&[
        "fault",
        "add",
        "blackhole",
        "web",
        "--path",
        "/hole",
        "--control",
        &control,
    ])
    .ok();
    let mut held = RawClient::connect(server.route("web")).await;
    held.get("/hole").await;
    let mut busy = RawClient::connect(server.route("web")).await;
    busy.get("/").await;
    eventually("the upstream to be asked", || {
        upstream.received().len() == 1
    })
    .await;

    server.signal("-TERM");
    assert_eq!(held.ended().await.how, How::Reset);
    let address = server.route("web");
    eventually("new connections to be refused", || {
        TcpStream::connect(address).is_err()
    })
    .await;
    release.send_replace(true);

    assert_eq!(busy.response().await.text(), "late");
    let (_, status) = server.ended().await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let upstream = TestUpstream::raw(|stream| async move {
        RawClient::over(stream).ended().await;
    })
    .await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let server = Server::on_a_free_port(&["proxy", "--route", &route]);
    let mut busy = RawClient::connect(server.route("web")).await;
    busy.get("/").await;
    eventually("the upstream to be asked", || upstream.connections() == 1).await;

    server.signal("-INT");
    let address = server.route("web");
    eventually("new connections to be refused", || {
        TcpStream::connect(address).is_err()
    })
    .await;
    server.signal("-INT");

    let (_, status) = server.ended().await;
    assert_eq!(status.code(), Some(130));
}

#[tokio::test]
async fn after_sigterm_under_load_the_statsd_totals_are_what_clients_saw() {
    let upstream = TestUpstream::replying("hello").await;
    let statsd = StatsdReceiver::start();
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let server =
        Server::on_a_free_port(&["proxy", "--route", &route, "--statsd", &statsd.address()]);
    let address = server.route("web");

    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        clients.spawn(async move {
            let mut client = RawClient::connect(address).await;
            let mut seen = 0u64;
            loop {
                if client
                    .try_send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                    .await
                    .is_err()
                {
                    return seen;
                }
                match client.try_response().await {
                    Some(response) if response.status() == 200 => seen += 1,
                    _ => return seen,
                }
            }
        });
    }
    eventually("some load", || upstream.received().len() > 500).await;
    server.signal("-TERM");
    let (_, status) = server.ended().await;
    let seen: u64 = clients.join_all().await.into_iter().sum();

    assert_eq!(status.code(), Some(0));
    assert!(seen > 500);
    let counted = |name: &str| statsd.counter(name);
    eventually("the last packets", || {
        counted("proxy.responses.web.2xx") >= seen as f64
            && counted("proxy.requests.web") >= upstream.received().len() as f64
    })
    .await;
    assert_eq!(counted("proxy.responses.web.2xx"), seen as f64);
    assert_eq!(
        counted("proxy.requests.web"),
        upstream.received().len() as f64
    );
}

#[tokio::test]
async fn text_announces_addresses_and_commands_to_paste() {
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let mut process = crate::brownout(&["proxy", "--route", &route, "--control", "127.0.0.1:0"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = Vec::new();
    let mut stdout = std::io::BufReader::new(process.stdout.take().unwrap());
    while lines
        .last()
        .is_none_or(|line: &String| line.trim() != "Ctrl-C stops it.")
    {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        lines.push(line);
    }
    process.kill().unwrap();
    process.wait().unwrap();

    let text = lines.concat();
    assert!(text.contains("route web"), "{text}");
    assert!(
        text.contains("start an outage:\n  curl -X POST http://127.0.0.1:"),
        "{text}"
    );
    assert!(
        text.contains(r#"-d '{"route":"web","reset":{}}'"#),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colour in a pipe: {text:?}");
}

#[tokio::test]
async fn gibibytes_go_through_whole_and_without_being_held() {
    // A pattern by offset: what is lost, doubled or moved shows.
    const SIZE: u64 = 1 << 30;
    let upstream = TestUpstream::raw(|stream| async move {
        let mut upstream = RawClient::over(stream);
        while let Some(head) = upstream.try_head().await {
            if head.head.starts_with("GET") {
                upstream
                    .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"))
                    .await;
                upstream.send_pattern(SIZE).await;
            } else {
                upstream.expect_pattern(SIZE).await;
                upstream
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
            }
        }
    })
    .await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let server = Server::on_a_free_port(&["proxy", "--route", &route]);
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let idle = memory();

    let mut down = RawClient::connect(server.route("web")).await;
    down.get("/").await;
    down.head().await;
    down.expect_pattern(SIZE).await;
    let mut up = RawClient::connect(server.route("web")).await;
    up.send(format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n"
    ))
    .await;
    up.send_pattern(SIZE).await;
    assert_eq!(up.response().await.text(), "ok");

    let grown = memory() - idle;
    assert!(grown <= 32 * 1024, "{grown} KiB more than idle");
}

#[tokio::test]
async fn ready_is_the_first_line_and_the_only_one() {
    let server = Server::on_a_free_port(&["proxy"]);
    assert_eq!(server.ready["routes"], json!({}));
    assert!(server.ready["control"].is_string());

    server.signal("-TERM");
    let (rest, status) = server.ended().await;

    assert_eq!((rest.as_str(), status.code()), ("", Some(0)));
}

#[tokio::test]
async fn a_black_hole_for_traces_does_not_hold_up_the_end() {
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hole.local_addr().unwrap());
    let server = Server::on_a_free_port(&["proxy", "--otlp", &url]);

    server.signal("-TERM");
    let (_, status) = server.ended().await;

    assert_eq!(status.code(), Some(0));
}

#[test]
fn health_asks_a_proxy_or_a_service_and_tells_by_its_exit_code() {
    let proxy = Server::on_a_free_port(&["proxy"]);
    let service = Server::start(&["demo-service", "popular-items", "--output", "json"]);
    let listen = service.ready["listen"].as_str().unwrap().to_owned();

    assert_eq!(run(&["health", &proxy.control()]).ok(), "ok\n");
    assert_eq!(run(&["health", &listen]).ok(), "ok\n");
    let mut by_variable = brownout(&["health"]);
    by_variable.env("BROWNOUT_CONTROL", proxy.control());
    assert_eq!(Ran(by_variable.output().unwrap()).ok(), "ok\n");

    drop(service);
    let gone = run(&["health", &listen]);
    assert_eq!(gone.code(), 69);
    assert!(gone.err().contains(&listen), "{}", gone.err());
}
