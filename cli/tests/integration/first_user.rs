//! What people met who used it for the first time: each finding once.

use brownout_testkit::{TestAuthority, TestUpstream, TlsFront};

use crate::{Ran, Server, brownout, run};

fn check(text: &str, more: &[&str]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("brownout.toml");
    std::fs::write(&file, text).unwrap();
    run(&[&["check", file.to_str().unwrap()], more].concat())
}

#[test]
fn check_tells_every_mistake_of_a_table_of_tls_at_once() {
    let refused = check(
        r#"
        [[route]]
        name = "web"
        listen = "127.0.0.1:0"
        upstream = "https://127.0.0.1:1"
        [route.tls]
        certt = "a.pem"
        key = 7
        [route.upstream_tls]
        ca = "/nowhere/ca.pem"
        cert = "/nowhere/cert.pem"
        alpn = ["h2"]
        insekure = true
        "#,
        &[],
    );

    let told = refused.err();
    assert_eq!(refused.code(), 2);
    for mistake in ["`certt`", "`cert`", "`key`", "`insekure`"] {
        assert!(told.contains(mistake), "{mistake}: {told}");
    }
    let files = check(
        r#"
        [[route]]
        name = "web"
        listen = "127.0.0.1:0"
        upstream = "https://127.0.0.1:1"
        upstream_tls = { ca = "/nowhere/ca.pem", cert = "/nowhere/cert.pem", key = "/nowhere/key.pem", alpn = ["h2"] }
        "#,
        &[],
    );
    let told = files.err();
    for mistake in ["/nowhere/ca.pem", "/nowhere/cert.pem", "`h2`"] {
        assert!(told.contains(mistake), "{mistake}: {told}");
    }
}

#[tokio::test]
async fn check_connect_says_that_an_upstream_wants_a_client_certificate() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front =
        TlsFront::asking_for_certificates(upstream.address(), &certificate, &authority).await;
    let route = |more: &str| {
        format!(
            "[[route]]\nname = \"api\"\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n\
             upstream_tls = {{ ca = \"{}\"{more} }}\n",
            front.url(),
            authority.file().display()
        )
    };
    let ours = authority.issue(&["client.test"]);
    let shown = format!(
        ", cert = \"{}\", key = \"{}\"",
        ours.cert.display(),
        ours.key.display()
    );

    // Off the test's own thread, on which the front lives.
    let without = route("");
    let without = tokio::task::spawn_blocking(move || check(&without, &["--connect"]));
    let with = route(&shown);
    let with = tokio::task::spawn_blocking(move || check(&with, &["--connect"]));

    let without = without.await.unwrap();
    assert_eq!(without.code(), 69, "{}", without.out());
    let told = without.err();
    assert!(told.to_lowercase().contains("certificate"), "{told}");
    with.await.unwrap().ok();
}

#[test]
fn a_word_that_is_nearly_one_of_host_is_no_host() {
    let route = |host: &str| {
        format!(
            "[[route]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:1\"\nhost = \"{host}\"\n"
        )
    };

    let refused = check(&route("upsteam"), &[]);

    assert_eq!(refused.code(), 2);
    assert!(
        refused.err().contains("did you mean `upstream`?"),
        "{}",
        refused.err()
    );
    for host in ["upstream", "keep", "catalogue", "api.test", "upsteam:80"] {
        check(&route(host), &[]).ok();
    }
}

#[test]
fn printed_lines_of_curl_name_the_variable_of_the_token_and_never_the_token() {
    let secret = "a-secret-of-the-test-0123456789";
    let shown = |token: Option<&str>| {
        let mut command = brownout(&["fault", "add", "abort", "web", "503", "--show"]);
        if let Some(token) = token {
            command.env("BROWNOUT_TOKEN", token);
        }
        Ran(command.output().unwrap()).ok()
    };

    assert!(shown(Some(secret)).contains("-H \"Authorization: Bearer $BROWNOUT_TOKEN\""));
    assert!(!shown(Some(secret)).contains(secret));
    assert!(!shown(None).contains("Authorization"));
}

#[test]
fn show_checks_the_values_as_the_api_would() {
    let wrong = [
        "fault", "add", "latency", "web", "5", "--for", "soon", "--show",
    ];

    let refused = run(&wrong);

    assert_eq!(refused.code(), 1);
    let told = refused.err();
    assert!(told.contains("--for"), "{told}");
    assert!(told.contains("VALUE"), "{told}");
    assert_eq!(refused.out(), "");
}

#[tokio::test]
async fn events_of_what_is_no_control_api_are_an_error() {
    let upstream = TestUpstream::replying("hello").await;
    let address = upstream.address().to_string();

    let asked = move || run(&["events", "--control", &address]);
    let refused = tokio::task::spawn_blocking(asked).await.unwrap();

    assert_eq!(refused.code(), 69, "{}", refused.err());
    assert!(
        refused.err().contains("is no brownout"),
        "{}",
        refused.err()
    );
}

#[test]
fn explain_of_a_number_refuses_what_only_an_imagined_request_has() {
    for option in [
        &["--route", "web"][..],
        &["--header", "a: b"],
        &["--client", "10.0.0.1"],
        &["--connection-seq", "2"],
    ] {
        let refused = run(&[&["explain", "1"], option].concat());
        assert_eq!(refused.code(), 2, "{option:?}");
        assert!(refused.err().contains(option[0]), "{}", refused.err());
    }
}

#[tokio::test]
async fn a_dead_collector_is_named_once_with_the_cause() {
    // A port that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let collector = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let args = [
        "proxy",
        "--route",
        &route,
        "--otlp",
        &collector,
        "--control",
        "127.0.0.1:0",
        "--output",
        "json",
    ];
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = brownout(&args);
    command.stderr(log.reopen().unwrap());
    let server = Server::spawn(command).ready();

    for _ in 0..3 {
        let mut client = brownout_testkit::RawClient::connect(server.route("web")).await;
        client.get("/").await;
        assert_eq!(client.response().await.status(), 200);
    }
    server.signal("-TERM");
    let (_, status) = server.ended().await;

    assert!(status.success());
    let log = std::fs::read_to_string(log.path()).unwrap();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(&collector))
        .collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("Connection refused"), "{log}");
}

#[test]
fn mistakes_of_a_file_say_what_to_write() {
    let route =
        "[[route]]\nname = 'web'\nlisten = '127.0.0.1:0'\nupstream = 'http://127.0.0.1:9'\n";
    let cases: [(&str, &str, &[&str]); 5] = [
        (
            "reset = {}\nttl = none\n",
            "none",
            &["line 8", "ttl = \"none\""],
        ),
        ("", "[[fault]]", &["line 5", "no kind of fault", "latency"]),
        (
            "abort = '503'\n",
            "abort",
            &["line 7: `abort`", "without quotes: 503"],
        ),
        (
            "delay = '1s'\n",
            "delay",
            &["line 7: `delay`", "it is `latency`"],
        ),
        (
            "latency = 250\n",
            "latency",
            &["line 7: `latency`", "\"250ms\""],
        ),
    ];
    for (fault, under, wanted) in cases {
        let refused = check(&format!("{route}[[fault]]\nroute = 'web'\n{fault}"), &[]);
        let told = refused.err();
        assert_eq!(refused.code(), 2, "{fault}");
        for text in wanted {
            assert!(told.contains(text), "{text}\nis not in\n{told}");
        }
        // The line itself, and a caret under what is wrong in it.
        let lines: Vec<&str> = told.lines().collect();
        let caret = lines.iter().position(|line| line.trim() == "^").unwrap();
        let column = lines[caret].find('^').unwrap();
        assert!(lines[caret - 1][column..].starts_with(under), "{told}");
    }
}

#[tokio::test]
async fn a_route_of_a_port_alone_listens_on_every_address() {
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=:0={}", upstream.url());
    let server = Server::on_a_free_port(&["proxy", "--route", &route]);
    let port = server.route("web").port();
    let mut hosts = vec!["127.0.0.1"];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        hosts.push("[::1]");
    }
    for host in hosts {
        let address = format!("{host}:{port}").parse().unwrap();
        let mut client = brownout_testkit::RawClient::connect(address).await;
        client.get("/").await;
        assert_eq!(client.response().await.text(), "hello", "{host}");
    }
}

#[test]
fn a_control_address_of_a_port_alone_is_every_address_and_the_shell_calls_this_machine() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!(":{}", free.local_addr().unwrap().port());
    drop(free);

    let refused = run(&["proxy", "--control", &port]);
    assert_eq!(refused.code(), 2);
    assert!(refused.err().contains("--token-file"), "{}", refused.err());

    let server = Server::start(&[
        "proxy",
        "--control",
        &port,
        "--insecure",
        "--output",
        "json",
    ]);
    assert!(server.control().ends_with(&port), "{}", server.control());
    run(&["fault", "ls", "--control", &port]).ok();
}
