//! The commands of docs/toxiproxy.md, as they stand there: a shell runs them, with other ports than the page's.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Output},
};

use brownout_testkit::{RawClient, TestUpstream};
use serde_json::Value;

use crate::{Server, brownout, run};

const PAGE: &str = include_str!("../../../docs/toxiproxy.md");

/// The blocks of a language in the page.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let each = PAGE.split(begin.as_str()).skip(1);
    each.map(|rest| rest.split("```").next().unwrap()).collect()
}

/// What the shell makes of a line; `None` on a machine without curl.
#[expect(clippy::print_stdout, reason = "a test that could not run says so")]
async fn pasted(line: &str) -> Option<Value> {
    let script = line.replacen("curl ", "curl -sS ", 1);
    let shell = move || -> Output { Command::new("sh").args(["-c", &script]).output().unwrap() };
    let ran = tokio::task::spawn_blocking(shell).await.unwrap();
    if ran.status.code() == Some(127) && std::env::var_os("BROWNOUT_REQUIRE_TOOLS").is_none() {
        println!("skipped: curl is not installed");
        return None;
    }
    assert!(ran.status.success(), "{line}: {ran:?}");
    let value = match ran.stdout.as_slice() {
        b"" => Value::Null,
        answer => serde_json::from_slice(answer).unwrap(),
    };
    assert!(
        value.get("error").is_none() && value.get("errors").is_none(),
        "{line}: {value}"
    );
    Some(value)
}

/// The lines of a block that call a proxy, with the ports of this one and of its upstream.
fn calls(block: &str, proxy: &Server, upstream: &TestUpstream) -> Vec<String> {
    let lines = block.lines().filter(|line| line.starts_with("curl "));
    let with_ports = lines.map(|line| {
        assert!(line.contains("localhost:8474"), "{line}");
        line.replace("localhost:8474", &proxy.control())
            .replace("127.0.0.1:26379", "127.0.0.1:0")
            .replace("127.0.0.1:6379", &upstream.address().to_string())
    });
    with_ports.collect()
}

async fn echo() -> TestUpstream {
    TestUpstream::raw(|mut stream| async move {
        let (mut read, mut write) = stream.split();
        drop(tokio::io::copy(&mut read, &mut write).await);
    })
    .await
}

async fn said_back(listen: &Value) -> std::time::Duration {
    let listen: SocketAddr = listen.as_str().unwrap().parse().unwrap();
    let mut client = RawClient::connect(listen).await;
    let began = std::time::Instant::now();
    client.send("ping").await;
    assert_eq!(client.read_exact(4).await, b"ping");
    began.elapsed()
}

#[tokio::test]
async fn the_outage_with_the_calls_of_the_original_is_seen_and_ended() {
    const SECOND: std::time::Duration = std::time::Duration::from_secs(1);
    let upstream = echo().await;
    let block = blocks("sh")[0];
    assert_eq!(block.lines().next(), Some("brownout proxy &"));
    let proxy = Server::on_a_free_port(&["proxy"]);
    let calls = calls(block, &proxy, &upstream);
    let [create, toxic, faults, reset] = &calls[..] else {
        panic!("{calls:?}");
    };

    let Some(made) = pasted(create).await else {
        return;
    };
    assert_eq!(pasted(toxic).await.unwrap()["name"], "latency_downstream");
    assert!(said_back(&made["listen"]).await >= SECOND);
    let shown = pasted(faults).await.unwrap();
    assert_eq!(shown["faults"][0]["id"], "redis.latency_downstream");
    assert_eq!(shown["faults"][0]["counters"]["injected"], 1);
    pasted(reset).await;

    assert_eq!(
        pasted(faults).await.unwrap()["faults"],
        Value::Array(Vec::new())
    );
    said_back(&made["listen"]).await;
}

#[tokio::test]
async fn the_same_outage_with_our_own_calls_is_the_same() {
    let upstream = echo().await;
    let proxy = Server::on_a_free_port(&["proxy"]);
    let calls = calls(blocks("sh")[1], &proxy, &upstream);
    let [create, fault, clear] = &calls[..] else {
        panic!("{calls:?}");
    };

    let Some(made) = pasted(create).await else {
        return;
    };
    assert_eq!(pasted(fault).await.unwrap()["id"], "latency-1");
    assert!(said_back(&made["listen"]).await >= std::time::Duration::from_secs(1));
    let cleared = pasted(clear).await.unwrap();

    assert_eq!(cleared["faults"][0]["counters"]["injected"], 1);
    said_back(&made["listen"]).await;
}

#[tokio::test]
async fn the_commands_that_take_the_originals_place_start_a_server_with_its_file() {
    let upstream = echo().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("toxiproxy.json");
    let proxies = serde_json::json!([
        { "name": "redis", "listen": "127.0.0.1:0", "upstream": upstream.address().to_string() },
    ]);
    fs::write(&file, proxies.to_string()).unwrap();
    let shell = blocks("sh")[2].trim();
    let shell = shell.strip_prefix("brownout ").unwrap();
    let compose = blocks("yaml")[0].lines();
    let mut compose = compose.filter_map(|line| line.trim().strip_prefix("command: "));
    let compose = format!("{} -port 8474", compose.next().unwrap());

    for command in [shell, &compose] {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let path = file.to_str().unwrap();
        let args: Vec<String> = command
            .split_whitespace()
            .map(|arg| {
                arg.replace("/config/toxiproxy.json", path)
                    .replace("8474", &port)
            })
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = brownout(&args);
        command.current_dir(folder.path());

        let mut server = Server::spawn(command);

        assert!(
            server.line().contains("the API of Toxiproxy is at"),
            "{args:?}"
        );
        let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
        let mut client = RawClient::connect(address).await;
        let ask = "GET /proxies HTTP/1.1\r\nHost: toxiproxy\r\n\r\n";
        let all: Value = serde_json::from_slice(&client.exchange(ask).await.0.body).unwrap();
        said_back(&all["redis"]["listen"]).await;
    }

    // And the last line of the page.
    assert!(PAGE.contains("`brownout import toxiproxy.json` prints"));
    let imported = run(&["import", file.to_str().unwrap()]).ok();
    assert!(imported.contains("name = \"redis\""), "{imported}");
}
