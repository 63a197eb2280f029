//! `fault add` says all that the API says: each flag is a field of the fault.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use brownout_testkit::RawClient;
use serde_json::{Value, json};

use crate::{Ran, Server, brownout, run};

/// A proxy with the routes `web` and `db`, to which nobody comes.
fn server() -> Server {
    Server::on_a_free_port(&[
        "proxy",
        "--route",
        "web=127.0.0.1:0=http://127.0.0.1:9",
        "--route",
        "db=127.0.0.1:0=tcp://127.0.0.1:9",
    ])
}

fn fault(server: &Server, args: &[&str]) -> Ran {
    run(&[&["fault"], args, &["--control", &server.control()]].concat())
}

#[tokio::test]
async fn every_field_of_a_fault_has_a_flag() {
    let server = server();
    let mut client = RawClient::connect(server.control().parse().unwrap()).await;
    let lease = "POST /leases HTTP/1.1\r\nHost: localhost\r\nContent-Length: 22\r\n\r\n{\"id\":\"ci\",\"ttl\":\"1h\"}";
    assert_eq!(client.exchange(lease).await.0.status(), 201);

    let reset = ["reset", "web"];
    let limit = ["limit_data", "db", "bytes=1000"];
    let cases: Vec<(&[&str], &[&str], &str, Value)> = vec![
        (&reset, &["--percent", "20"], "/percent", json!(20)),
        (
            &reset,
            &["--percent", "1/1000"],
            "/percent",
            json!("1/1000"),
        ),
        (&reset, &["--for", "2m"], "/ttl", json!("2m")),
        (&reset, &["--for", "none"], "/ttl", json!("none")),
        (&reset, &["--start", "30s"], "/start", json!("30s")),
        (
            &reset,
            &["--method", "GET", "--method", "HEAD"],
            "/match/method",
            json!(["GET", "HEAD"]),
        ),
        (&reset, &["--path", "/v1/*"], "/match/path", json!("/v1/*")),
        (
            &reset,
            &["--not-path", "/healthz"],
            "/match/not_path",
            json!("/healthz"),
        ),
        (
            &reset,
            &["--host", "*.test"],
            "/match/host",
            json!("*.test"),
        ),
        (
            &reset,
            &["--header", "x-user=7"],
            "/match/header",
            json!({ "x-user": "7" }),
        ),
        (
            &reset,
            &["--query", "debug=*"],
            "/match/query",
            json!({ "debug": "*" }),
        ),
        (
            &reset,
            &["--cookie", "sid=7"],
            "/match/cookie",
            json!({ "sid": "7" }),
        ),
        (
            &reset,
            &["--baggage", "tenant=blue"],
            "/match/baggage",
            json!({ "tenant": "blue" }),
        ),
        (
            &reset,
            &["--client", "10.0.0.0/8"],
            "/match/client",
            json!("10.0.0.0/8"),
        ),
        (
            &reset,
            &["--grpc-method", "shop.Cart/*"],
            "/match/grpc_method",
            json!("shop.Cart/*"),
        ),
        (
            &reset,
            &[
                "--match",
                r#"{"path":"/v1/*","header":{"x-user":"7"}}"#,
                "--method",
                "GET",
            ],
            "/match",
            json!({ "method": "GET", "path": "/v1/*", "header": { "x-user": "7" } }),
        ),
        (&reset, &["--layer", "stream"], "/layer", json!("stream")),
        (
            &limit,
            &["--direction", "upstream"],
            "/direction",
            json!("upstream"),
        ),
        (
            &reset,
            &["--per", "header:x-user", "--percent", "50"],
            "/per",
            json!("header:x-user"),
        ),
        (&reset, &["--skip-first", "5"], "/skip_first", json!(5)),
        (&reset, &["--every", "3"], "/every", json!(3)),
        (
            &reset,
            &["--every", "3", "--offset", "2"],
            "/offset",
            json!(2),
        ),
        (&reset, &["--limit", "9"], "/limit", json!(9)),
        (&reset, &["--priority", "-7"], "/priority", json!(-7)),
        (&reset, &["--max-active", "11"], "/max_active", json!(11)),
        (&reset, &["--seed", "42"], "/seed", json!(42)),
        (&reset, &["--group", "pair"], "/group", json!("pair")),
        (
            &reset,
            &["--ramp", "up=5m,down=1m"],
            "/ramp/up",
            json!("5m"),
        ),
        (
            &reset,
            &["--wave", "period=20s,duty=0.5"],
            "/wave/period",
            json!("20s"),
        ),
        (
            &reset,
            &["--pulse", "start=1m,for=30s", "--pulse", "start=3m,for=30s"],
            "/pulses/1/start",
            json!("3m"),
        ),
        (
            &reset,
            &["--nemesis", "every=10s,for=5s,jitter=2s"],
            "/nemesis/jitter",
            json!("2s"),
        ),
        (
            &reset,
            &["--burst", "p_bad=0.01,p_good=0.2"],
            "/burst/p_good",
            json!(0.2),
        ),
        (
            &["abort", "web", "503"],
            &["--stealth"],
            "/stealth",
            json!(true),
        ),
        (
            &reset,
            &["--label", "run-42", "--label", "ci"],
            "/labels",
            json!(["run-42", "ci"]),
        ),
        (
            &reset,
            &["--owner", "checkout"],
            "/owner",
            json!("checkout"),
        ),
        (&reset, &["--note", "a drill"], "/note", json!("a drill")),
        (&reset, &["--lease", "ci"], "/lease", json!("ci")),
    ];
    for (what, flags, pointer, wanted) in cases {
        fault(&server, &[&["add"], what, &["--id", "x"], flags].concat()).ok();
        let shown: Value = serde_json::from_str(&fault(&server, &["show", "x"]).ok()).unwrap();
        let said = shown.pointer(pointer);
        // One is as good as a list of one.
        let one = said
            .and_then(|said| said.as_array())
            .filter(|list| list.len() == 1);
        let said = one.map_or(said, |list| list.first());
        assert_eq!(said, Some(&wanted), "{flags:?}: {shown}");
        fault(&server, &["rm", "x"]).ok();
    }
}

#[test]
fn what_is_shown_is_what_a_file_and_curl_take() {
    let server = server();
    let adds: [&[&str]; 3] = [
        &[
            "abort",
            "web",
            "statuses.503=3",
            "statuses.429=1",
            "--for",
            "2m",
            "--note",
            "it's a \"drill\"",
        ],
        &[
            "latency",
            "web",
            "p50=120ms",
            "p99=900ms",
            "--header",
            "x-user=7*",
            "--wave",
            "period=20s",
        ],
        &[
            "limit_data",
            "db",
            "bytes=1000",
            "--direction",
            "upstream",
            "--label",
            "run-42",
        ],
    ];
    let directory = tempfile::tempdir().unwrap();
    for (number, add) in adds.into_iter().enumerate() {
        let id = format!("f{number}");
        let args = [&["add"], add, &["--id", &id]].concat();
        let shown = fault(&server, &[&args[..], &["--show"]].concat()).ok();
        let (curl, toml) = shown.split_once("in a file:\n").unwrap();

        // What it sends without `--show` is what curl is told to send.
        fault(&server, &args).ok();
        let sent = fault(&server, &["show", &id]).ok();
        fault(&server, &["rm", &id]).ok();
        let curl = curl.lines().nth(1).unwrap().trim();
        let mut shell = Command::new("sh");
        let ran = shell
            .args(["-c", curl])
            .stderr(Stdio::null())
            .output()
            .unwrap();
        // 127 is the shell's word for a command that is not there: the machine may have no curl.
        if ran.status.code() != Some(127) {
            let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
            let mut sent: Value = serde_json::from_str(&sent).unwrap();
            for moment in ["created_at", "expires_at", "revision", "times"] {
                sent[moment] = answer[moment].clone();
            }
            assert_eq!(answer, sent, "{curl}");
        }

        let path = directory.path().join("brownout.toml");
        let mut file = std::fs::File::create(&path).unwrap();
        for (name, scheme) in [("web", "http"), ("db", "tcp")] {
            writeln!(file, "[[route]]\nname = '{name}'\nlisten = '127.0.0.1:0'\nupstream = '{scheme}://127.0.0.1:9'").unwrap();
        }
        file.write_all(toml.as_bytes()).unwrap();
        let checked = run(&["check", path.to_str().unwrap()]).ok();
        assert!(checked.ends_with("2 routes, 1 fault\n"), "{checked}");
    }
}

#[test]
fn completions_are_scripts_that_their_shell_takes() {
    let script = run(&["completions", "bash"]).ok();
    let mut bash = Command::new("bash");
    let Ok(mut bash) = bash.arg("-n").stdin(Stdio::piped()).spawn() else {
        // The machine has no bash.
        return;
    };
    bash.stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(bash.wait().unwrap().success());
    assert!(script.contains("--rearm-after"));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(
            brownout(&["completions", shell])
                .output()
                .unwrap()
                .status
                .success(),
            "{shell}"
        );
    }
}
