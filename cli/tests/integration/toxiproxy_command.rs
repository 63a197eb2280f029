//! In the place of Toxiproxy: its server's flags, and its file.

use std::io::Write;

use brownout_testkit::{RawClient, TestUpstream};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{Server, brownout, run};

fn file(value: &Value) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(value.to_string().as_bytes()).unwrap();
    file
}

/// Of which nobody knows a moment later.
fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

#[tokio::test]
async fn the_server_takes_the_flags_and_the_file_of_the_original() {
    let upstream = TestUpstream::replying("hello").await;
    let to = upstream.address().to_string();
    let config = file(&json!([{ "name": "My Web", "listen": "127.0.0.1:0", "upstream": to }]));
    let free = free_port();
    let port = free.to_string();
    let path = config.path().to_str().unwrap();
    let args = [
        "toxiproxy-server",
        "-host=0.0.0.0",
        "-port",
        &port,
        "-config",
        path,
        "-seed",
        "7",
        "-proxy-metrics",
    ];
    let mut server = Server::start_quietly(&args);
    assert!(server.line().contains("the API of Toxiproxy is at"));

    // By whatever name, as among containers; but not from a page.
    let ask = async |fields: &str| {
        let mut client = RawClient::connect(([127, 0, 0, 1], free).into()).await;
        let request = format!("GET /proxies HTTP/1.1\r\nHost: toxiproxy:8474\r\n{fields}\r\n");
        client.exchange(request).await.0
    };
    let all: Value = serde_json::from_slice(&ask("").await.body).unwrap();
    assert_eq!(ask("Origin: http://evil.example\r\n").await.status(), 403);
    assert_eq!(all["My Web"]["upstream"], to);
    let listen = all["My Web"]["listen"].as_str().unwrap().parse().unwrap();
    let mut client = RawClient::connect(listen).await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hello");

    drop(client);
    server.signal("-TERM");
    assert!(server.ended().await.1.success());
}

/// Asks a server in the original's place, as a client in another container does. Its status.
async fn ask(port: u16, path: &str, fields: &str) -> u16 {
    let mut client = RawClient::connect(([127, 0, 0, 1], port).into()).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: toxiproxy:8474\r\n{fields}\r\n");
    client.exchange(request).await.0.status()
}

#[tokio::test]
async fn the_binary_takes_the_command_of_the_originals_image_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("toxiproxy.json");
    let proxies = json!([{ "name": "web", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1" }]);
    std::fs::write(&config, proxies.to_string()).unwrap();
    let config = format!("-config={}", config.display());
    let (port, named) = (free_port(), folder.path().join("toxiproxy-server"));
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_brownout"), &named).unwrap();
    let mut by_name = std::process::Command::new(named);
    let other = free_port();
    by_name.args(["--host", "0.0.0.0", "--port", &other.to_string()]);
    let bare = brownout(&["-host=0.0.0.0", &config, &format!("-port={port}")]);

    for (command, port, path) in [(bare, port, "/proxies/web"), (by_name, other, "/proxies")] {
        let mut server = Server::spawn(command);
        assert!(server.line().contains("the API of Toxiproxy is at"));
        assert_eq!(ask(port, path, "").await, 200);
        assert_eq!(
            ask(port, "/proxies", "User-Agent: Mozilla/5.0\r\n").await,
            403
        );
    }
}

#[tokio::test]
async fn the_server_logs_what_the_variable_of_the_original_says() {
    for (level, flags, logs_calls) in [
        ("trace", &["-runtime-metrics"][..], true),
        ("DEBUG", &[][..], true),
        ("error", &[][..], false),
        ("debug", &["--log", "error"][..], false),
        ("loud", &[][..], false),
    ] {
        let port = free_port();
        let port_flag = port.to_string();
        let mut command = brownout(&[&["toxiproxy-server", "--port", &port_flag], flags].concat());
        command
            .env("LOG_LEVEL", level)
            .stderr(std::process::Stdio::piped());
        let mut server = Server::spawn(command);
        server.line();
        let mut stderr = server.process.stderr.take().unwrap();
        assert_eq!(ask(port, "/proxies", "").await, 200);
        server.signal("-TERM");
        server.ended().await;
        let mut log = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut log).unwrap();
        let has_logged = log.contains("a call of the control API");
        assert_eq!(has_logged, logs_calls, "{level}: {log}");
        assert_eq!(
            log.contains("LOG_LEVEL: `loud` is no level"),
            level == "loud"
        );
    }
}

/// Which of the first connections a toxic of half of them closes.
async fn closed_by_half(seed: &str, upstream: &TestUpstream) -> Vec<bool> {
    let to = upstream.address().to_string();
    let config = file(&json!([{ "name": "web", "listen": "127.0.0.1:0", "upstream": to }]));
    let path = config.path().to_str().unwrap();
    let port = free_port();
    let flags = [
        "toxiproxy-server",
        "-port",
        &port.to_string(),
        "-config",
        path,
        "-seed",
        seed,
    ];
    let mut server = Server::start_quietly(&flags);
    server.line();
    let ask = async |call: &str, body: &Value| {
        let mut client = RawClient::connect(([127, 0, 0, 1], port).into()).await;
        let body = body.to_string();
        let length = body.len();
        let request =
            format!("{call} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
        let answer = client.exchange(request).await.0;
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let listen = ask("GET /proxies", &json!({})).await["web"]["listen"].clone();
    let toxic = json!({ "type": "limit_data", "toxicity": 0.5, "attributes": { "bytes": 0 } });
    ask("POST /proxies/web/toxics", &toxic).await;
    let mut closed = Vec::new();
    for _ in 0..24 {
        let mut client = RawClient::connect(listen.as_str().unwrap().parse().unwrap()).await;
        client
            .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await;
        closed.push(client.ended().await.bytes.is_empty());
    }
    closed
}

#[tokio::test]
async fn a_seed_repeats_which_connections_are_hit() {
    let upstream = TestUpstream::replying("hello").await;

    let first = closed_by_half("7", &upstream).await;

    assert!(first.contains(&true) && first.contains(&false), "{first:?}");
    assert_eq!(closed_by_half("7", &upstream).await, first);
    assert_ne!(closed_by_half("8", &upstream).await, first);
}

#[test]
fn what_cannot_be_used_ends_the_server() {
    assert_eq!(
        run(&["toxiproxy-server", "-version"]).ok(),
        "toxiproxy-server version 2.12.0\n"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let bad = file(&json!([{ "name": "a", "upstream": "b:1" }, { "name": "b" }]));
    let cases: [(&[&str], &str); 4] = [
        (
            &["-host", "127.0.0.1", "-port", &port],
            "could not listen on",
        ),
        (
            &["-config", bad.path().to_str().unwrap()],
            "proxy 2: missing required field: upstream",
        ),
        (&["-config", "/no/such/file"], "could not read"),
        (&["-unknown"], "unexpected argument"),
    ];
    for (flags, wanted) in cases {
        let ran = run(&[&["toxiproxy-server"], flags].concat());
        assert_eq!(ran.code(), 2, "{flags:?}");
        assert!(ran.err().contains(wanted), "{}", ran.err());
    }
}

#[test]
fn a_file_is_imported_into_ours() {
    let theirs = file(&json!([
        { "name": "Redis:6379", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:6379" },
        { "name": "redis 6379", "listen": "", "upstream": "redis:6379", "enabled": false },
    ]));

    let toml = run(&["import", theirs.path().to_str().unwrap()]).ok();

    assert!(
        toml.contains("name = \"redis-6379\"") && toml.contains("name = \"redis-6379-2\""),
        "{toml}"
    );
    assert!(
        toml.contains("upstream = \"tcp://redis:6379\"\nenabled = false"),
        "{toml}"
    );
    let mut ours = NamedTempFile::new().unwrap();
    ours.write_all(toml.as_bytes()).unwrap();
    let checked = brownout(&["check", ours.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}
