//! Flags, their variables and their keys in the file: each says the same. What a change of the file does.

use std::{fs, io::Read, path::Path, process::Stdio};

use brownout_testkit::{RawClient, TestUpstream};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Server, brownout, run};

/// A folder with files.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file. Where it is.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

async fn call(control: &str, call: &str, fields: &str, body: &str) -> (u16, String) {
    let mut client = RawClient::connect(control.parse().unwrap()).await;
    let length = body.len();
    let head = format!("{call} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n");
    let answer = client.exchange(format!("{head}{body}")).await.0;
    (answer.status(), answer.text())
}

/// The control API on loopback, of one that listens on every address.
fn on_loopback(server: &Server) -> String {
    let control = server.control();
    format!("127.0.0.1:{}", control.rsplit_once(':').unwrap().1)
}

/// What a proxy says to people when it is ready.
fn said_at_the_start(server: &mut Server) -> String {
    let mut said = String::new();
    while !said.contains("Ctrl-C stops it.") {
        let line = server.line();
        assert!(!line.is_empty(), "it has ended: {said}");
        said.push_str(&line);
    }
    said
}

#[test]
fn every_option_of_the_proxy_has_a_variable() {
    let help = run(&["proxy", "--help"]).ok();
    let mut options: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        let line = line.trim_start();
        let name = line
            .trim_start_matches("-h, ")
            .split([' ', '['])
            .next()
            .unwrap();
        if line.starts_with('-') && name.starts_with("--") && line != "--" {
            options.push((name.to_owned(), line.to_owned()));
        } else if let Some((_, text)) = options.last_mut() {
            text.push_str(line);
        }
    }

    assert!(options.len() >= 20, "{options:?}");
    for (name, text) in options {
        let own = format!(
            "[env: BROWNOUT_{}",
            name[2..].replace('-', "_").to_uppercase()
        );
        let has_one = match name.as_str() {
            "--help" | "--version" => true,
            // `BROWNOUT_CONTROL` is where the shell's commands call.
            "--control" => text.contains("[env: BROWNOUT_CONTROL_LISTEN="),
            "--otlp" | "--statsd" | "--statsd-dialect" => text.contains("[env: "),
            _ => text.contains(&own),
        };
        assert!(has_one, "{name}: {text}");
    }
}

#[tokio::test]
async fn what_a_file_says_of_the_process_is_what_flags_say() {
    let upstream = TestUpstream::replying("hello").await;
    let folder = Folder::new();
    let config = folder.write(
        "brownout.toml",
        &format!(
            "seed = 7\ndrain = '2500ms'\nlog = 'debug'\nlog_format = 'text'\naccess_log = true\noutput = '${{OUT:-json}}'\n\
             state_dir = '{}'\n[control]\nlisten = '127.0.0.1:0'\n\
             [[route]]\nname = 'web'\nlisten = '127.0.0.1:0'\nupstream = '{}'\ntls = 'self'\n",
            folder.path("state"),
            upstream.url()
        ),
    );
    run(&["check", &config]).ok();

    let mut command = brownout(&["proxy", "--config", &config]);
    command.stderr(Stdio::piped());
    let mut server = Server::spawn(command).ready();
    let mut stderr = server.process.stderr.take().unwrap();
    assert_eq!(
        call(&server.control(), "GET /faults", "Host: localhost\r\n", "")
            .await
            .0,
        200
    );
    assert!(
        Path::new(&folder.path("state"))
            .join("local-ca.pem")
            .exists()
    );
    server.signal("-TERM");
    server.ended().await;
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    let call = log
        .lines()
        .find(|line| line.contains("a call of the control API"));
    let call = call.unwrap_or_else(|| panic!("nothing of level debug in {log}"));
    assert!(!call.starts_with('{'), "{call}");

    // A flag or a variable wins. What is printed for people says the seed and the time to drain.
    let mut command = brownout(&["proxy", "--config", &config, "--log", "error"]);
    command.env("OUT", "text").stderr(Stdio::piped());
    let mut server = Server::spawn(command);
    let mut stderr = server.process.stderr.take().unwrap();
    let begin = said_at_the_start(&mut server);
    assert!(begin.contains("  seed                   7\n"), "{begin}");
    server.signal("-TERM");
    let (end, _) = server.ended().await;
    assert!(end.contains("may take 2.5s to end"), "{end}");
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    assert!(!log.contains("DEBUG"), "{log}");
}

#[test]
fn which_callers_may_ask_for_faults_is_said_by_flags_and_by_keys() {
    let folder = Folder::new();
    let file = |allowed: &str| {
        let route =
            "[[route]]\nname = 'web'\nlisten = '127.0.0.1:0'\nupstream = 'http://127.0.0.1:9'\n";
        folder.write(
            "brownout.toml",
            &format!("{route}caller_faults = {allowed}\n"),
        )
    };
    let server = Server::on_a_free_port(&["proxy", "--config", &file("['10.0.0.0/8', '::1']")]);
    let control = server.control();
    let add = |name: &str, flags: &[&str]| {
        let route = ["route", "add", name, "127.0.0.1:0", "http://127.0.0.1:9"];
        run(&[&route[..], flags, &["--control", &control]].concat())
    };
    let from = [
        "--caller-faults-from",
        "10.0.0.0/8",
        "--caller-faults-from",
        "::1",
    ];
    add("some", &from).ok();
    add("all", &["--caller-faults"]).ok();
    add("few", &["--caller-faults-percent", "0.5"]).ok();
    let share = ["--caller-faults-percent", "1/1000"];
    add("part", &[&from[..2], &share].concat()).ok();
    add("none", &[]).ok();

    let listed = run(&["route", "ls", "--output", "json", "--control", &control]).ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let routes = listed["routes"].as_array().unwrap().iter();
    let allowed: Vec<_> = routes
        .map(|route| {
            (
                route["name"].as_str().unwrap(),
                route["caller_faults"].clone(),
            )
        })
        .collect();

    let some = json!(["10.0.0.0/8", "::1/128"]);
    let wanted = [
        ("all", json!(true)),
        ("few", json!({ "percent": 0.5 })),
        ("none", json!(false)),
        (
            "part",
            json!({ "percent": "1/1000", "from": ["10.0.0.0/8"] }),
        ),
        ("some", some.clone()),
        ("web", some),
    ];
    assert_eq!(allowed, wanted);
    let refused = add("wrong", &["--caller-faults-from", "nowhere"]);
    assert_eq!(refused.code(), 2);
    assert!(
        refused.err().contains("--caller-faults-from"),
        "{}",
        refused.err()
    );
    let refused = add("wrong", &["--caller-faults-percent", "101"]).err();
    assert!(
        refused.contains("--caller-faults-percent: 101 is outside 0 to 100"),
        "{refused}"
    );
    run(&["check", &file("{ percent = 20, from = ['10.0.0.0/8'] }")]).ok();
    let refused = run(&["check", &file("{ percnt = 20 }")]).err();
    assert!(
        refused.contains("line 5: ") && refused.contains("did you mean `percent`?"),
        "{refused}"
    );
    let refused = run(&["check", &file("['nowhere']")]);
    assert!(
        refused
            .err()
            .contains("line 5: `nowhere` is no range of addresses"),
        "{}",
        refused.err()
    );
}

#[test]
fn wrong_words_of_a_file_for_the_process_are_told_with_their_line() {
    let folder = Folder::new();
    let config = folder.write(
        "brownout.toml",
        "drain = 8\nlog = 'infos'\nlog_format = 'xml'\naccess_log = 'yes'\noutput = 'jsn'\ndrian = '8s'\n",
    );

    let told = run(&["check", &config]).err();

    for wanted in [
        "line 1: `drain`",
        "line 2: `log`",
        "line 3: `log_format`",
        "line 4: `access_log`",
        "line 5: `output` unknown word `jsn`; did you mean `json`?",
        "line 6: `drian` unknown key `drian`; did you mean `drain`?",
    ] {
        assert!(told.contains(wanted), "{wanted}\nis not in\n{told}");
    }
}

#[tokio::test]
async fn a_changed_file_is_read_again_without_a_signal() {
    let upstream = TestUpstream::replying("hello").await;
    let folder = Folder::new();
    let route = format!(
        "[[route]]\nname = 'web'\nlisten = '127.0.0.1:0'\nupstream = '{}'\n",
        upstream.url()
    );
    let fault = "[[fault]]\nid = 'x'\nroute = 'web'\nabort = 503\n";
    let config = folder.write("brownout.toml", &route);
    let mut server = Server::on_a_free_port(&["proxy", "--config", &config]);
    let status = async |server: &Server| {
        let mut client = RawClient::connect(server.route("web")).await;
        client.get("/").await;
        client.response().await.status()
    };
    // What a signal tells may be told a second time, where the proxy has looked at the file before the signal came.
    let until = |server: &mut Server, pointer: &str, wanted: Value| {
        loop {
            let line = server.line();
            assert!(!line.is_empty(), "it has ended");
            let told: Value = serde_json::from_str(&line).unwrap();
            if told.pointer(pointer) == Some(&wanted) {
                return;
            }
        }
    };

    folder.write("brownout.toml", &format!("{route}{fault}"));
    until(&mut server, "/faults/armed", json!(["x"]));
    assert_eq!(status(&server).await, 503);

    // Nothing of a file that is wrong is applied.
    folder.write("brownout.toml", &format!("{route}{fault}abort = 500\n"));
    until(&mut server, "/event", json!("reload_refused"));
    assert_eq!(status(&server).await, 503);

    // As editors do it: another file under the same name. What was read for a signal is not read once more.
    let other = folder.write("other", &route);
    fs::rename(other, &config).unwrap();
    until(&mut server, "/faults/removed", json!(["x"]));
    assert_eq!(status(&server).await, 200);
    folder.write("brownout.toml", &format!("{route}{fault}"));
    server.signal("-HUP");
    until(&mut server, "/faults/armed", json!(["x"]));
    folder.write("brownout.toml", &route);
    until(&mut server, "/faults/removed", json!(["x"]));
}

#[tokio::test]
async fn a_name_in_allow_host_may_call_and_others_are_told_the_flag() {
    let folder = Folder::new();
    let config = folder.write("brownout.toml", "[control]\nallow_hosts = ['brownout']\n");
    let fault = r#"{"id":"x","route":"*","abort":503}"#;
    let flag = Server::on_a_free_port(&["proxy", "--allow-host", "brownout"]);
    let variable = Server::with_environment(&["proxy"], &[("BROWNOUT_ALLOW_HOST", "a,Brownout")]);
    let key = Server::on_a_free_port(&["proxy", "--config", &config]);
    for server in [flag, variable, key] {
        let ours = "Host: brownout:8474\r\n";
        let (status, answer) = call(&server.control(), "POST /faults", ours, fault).await;
        assert_eq!(status, 201, "{answer}");
        let (status, told) = call(&server.control(), "POST /halt", "Host: other:1\r\n", "").await;
        assert_eq!(status, 403);
        assert!(told.contains("--allow-host other"), "{told}");
        let (_, armed) = call(&server.control(), "GET /faults", ours, "").await;
        assert!(armed.contains(r#""id":"x""#), "{armed}");
    }
}

#[tokio::test]
async fn an_open_api_may_be_called_by_any_address_and_says_at_the_start_by_which_name() {
    let mut server = Server::start_quietly(&[
        "proxy",
        "--control",
        "0.0.0.0:0",
        "--insecure",
        "--allow-host",
        "brownout",
    ]);
    let begin = said_at_the_start(&mut server);
    let port = begin
        .split("http://brownout:")
        .nth(1)
        .unwrap_or_else(|| panic!("{begin}"));
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    let control = format!("127.0.0.1:{port}");

    for (host, wanted) in [("192.0.2.7", 200), ("brownout", 200), ("other", 403)] {
        let host = format!("Host: {host}:{port}\r\n");
        assert_eq!(
            call(&control, "GET /faults", &host, "").await.0,
            wanted,
            "{host}"
        );
    }
    drop(server);

    let mut server = Server::start_quietly(&["proxy", "--control", "0.0.0.0:0", "--insecure"]);
    let begin = said_at_the_start(&mut server);
    assert!(begin.contains("--allow-host NAME"), "{begin}");
}

#[tokio::test]
async fn a_bound_address_besides_loopback_may_be_called_by_itself() {
    // Linux takes all of 127/8 as this machine; another address of it is not known here.
    let server = Server::start(&["proxy", "--control", "127.0.0.9:0", "--output", "json"]);
    let control = server.control();

    let by_itself = format!("Host: {control}\r\n");
    assert_eq!(call(&control, "GET /faults", &by_itself, "").await.0, 200);
    assert_eq!(
        call(&control, "GET /faults", "Host: 192.0.2.7\r\n", "")
            .await
            .0,
        403
    );
}

#[tokio::test]
async fn tokens_come_from_files_variables_and_keys() {
    let folder = Folder::new();
    let all = folder.write("all", "s3cret-of-all\n");
    let read = folder.write("read", "s3cret-to-read\n");
    let config = folder.write(
        "brownout.toml",
        &format!(
            "[control]\nlisten = '0.0.0.0:0'\ntoken_file = '{all}'\nread_token_file = '{read}'\n"
        ),
    );
    let open = ["proxy", "--output", "json", "--control", "0.0.0.0:0"];
    let flags = ["--token-file", &all, "--read-token-file", &read];
    let of_files = [
        ("BROWNOUT_TOKEN_FILE", all.as_str()),
        ("BROWNOUT_READ_TOKEN_FILE", &read),
    ];
    let secrets = [
        ("BROWNOUT_TOKEN", "s3cret-of-all"),
        ("BROWNOUT_READ_TOKEN", "s3cret-to-read"),
    ];
    let with = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = brownout(args);
        command.envs(variables.iter().copied());
        Server::spawn(command).ready()
    };
    for server in [
        with(&[&open[..], &flags].concat(), &[]),
        with(&open, &of_files),
        with(&open, &secrets),
        with(&["proxy", "--output", "json", "--config", &config], &[]),
    ] {
        let control = on_loopback(&server);
        for (token, get, post) in [
            ("", 401, 401),
            ("Authorization: Bearer s3cret-to-read\r\n", 200, 403),
            ("Authorization: Bearer s3cret-of-all\r\n", 200, 200),
        ] {
            let fields = format!("Host: localhost\r\n{token}");
            assert_eq!(
                call(&control, "GET /faults", &fields, "").await.0,
                get,
                "{token}"
            );
            assert_eq!(
                call(&control, "POST /halt", &fields, "").await.0,
                post,
                "{token}"
            );
        }
    }
}

#[tokio::test]
async fn the_audit_log_is_rotated_and_loses_nothing_of_its_last_files() {
    let folder = Folder::new();
    let audit = folder.path("audit.jsonl");
    let args = ["proxy", "--audit-log", &audit, "--audit-log-size", "1kB"];
    let server = Server::on_a_free_port(&args);
    let changes = 20;
    for number in 0..changes {
        let fault = json!({ "id": format!("f{number}"), "route": "*", "abort": 503 }).to_string();
        let (status, told) = call(
            &server.control(),
            "POST /faults",
            "Host: localhost\r\n",
            &fault,
        )
        .await;
        assert_eq!(status, 201, "{told}");
    }
    server.signal("-TERM");
    assert!(server.ended().await.1.success());

    let files: Vec<String> = (1..=5)
        .rev()
        .map(|number| format!("{audit}.{number}"))
        .collect();
    let mut armed = Vec::new();
    for path in files.iter().chain([&audit]) {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(text.len() <= 1_000, "{path} has {} bytes", text.len());
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["action"] == "fault.arm" {
                armed.push(line["subjects"][0].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(!Path::new(&format!("{audit}.6")).exists());
    let last: Vec<String> = (0..changes).map(|number| format!("f{number}")).collect();
    assert!(armed.len() >= 5 && last.ends_with(&armed), "{armed:?}");
}
