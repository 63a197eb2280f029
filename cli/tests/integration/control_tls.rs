//! TLS of the control API as a user sets it up, and the shell that calls it.

use std::{fs, process::Command};

use brownout_testkit::TestAuthority;
use serde_json::Value;

use crate::{Server, brownout, run};

/// A proxy whose control API has certificates of the local authority.
fn with_own_authority() -> (tempfile::TempDir, Server) {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().to_str().unwrap();
    let route = "web=127.0.0.1:0=http://127.0.0.1:9";
    let args = [
        "proxy",
        "--route",
        route,
        "--control-tls",
        "self",
        "--state-dir",
        directory,
    ];
    let server = Server::on_a_free_port(&args);
    (state, server)
}

#[test]
fn the_shell_calls_it_by_https_with_the_file_of_the_authority() {
    let (_state, server) = with_own_authority();
    let url = server.ready["control_url"].as_str().unwrap();
    let ca = server.ready["control_ca"].as_str().unwrap();
    let asked = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        run(&[&words[..], &["--control", url, "--ca", ca]].concat())
    };

    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let armed = asked("fault add abort web 503 --id down").ok();
    assert!(armed.contains(&format!("curl --cacert {ca} -X POST {url}/faults")));
    assert!(armed.contains(&format!("fault rm down --control {url} --ca {ca}")));
    let listed = asked("fault ls").ok();
    assert!(listed.contains("down"), "{listed}");
    let event = asked("events --after 0 --limit 2 --output json").ok();
    assert!(event.contains("fault.created"), "{event}");
    assert!(asked("halt").ok().contains("removed 1 fault: down"));
    assert_eq!(run(&["health", url, "--ca", ca]).ok().trim(), "ok");
}

#[test]
fn without_the_file_it_says_what_is_missing_and_insecure_takes_anybody() {
    let (_state, server) = with_own_authority();
    let url = server.ready["control_url"].as_str().unwrap();

    let refused = run(&["fault", "ls", "--control", url]);

    assert_eq!(refused.code(), 69, "{}", refused.err());
    assert!(refused.err().contains("--ca FILE"), "{}", refused.err());
    run(&["fault", "ls", "--control", url, "--insecure"]).ok();
    let from_environment = brownout(&["fault", "ls"])
        .env("BROWNOUT_CONTROL", url)
        .env("BROWNOUT_CA", server.ready["control_ca"].as_str().unwrap())
        .output();
    assert!(from_environment.unwrap().status.success());
    let plain = run(&["fault", "ls", "--control", &server.control()]);
    assert!(
        plain.err().contains("call it by https://"),
        "{}",
        plain.err()
    );
    let nowhere = run(&["fault", "ls", "--control", url, "--ca", "/nowhere.pem"]);
    assert_eq!(nowhere.code(), 2);
    assert!(nowhere.err().contains("could not read `/nowhere.pem`"));
}

#[test]
fn what_is_printed_at_the_start_works_as_it_stands() {
    let state = tempfile::tempdir().unwrap();
    let mut command = brownout(&["proxy", "--control-tls", "self", "--control", "127.0.0.1:0"]);
    command.env("BROWNOUT_STATE_DIR", state.path());
    command.env("BROWNOUT_TOKEN", "a-secret-of-the-test-0123456789");
    let mut server = Server::spawn(command);
    let mut said = String::new();
    while !said.contains("Ctrl-C") {
        said.push_str(&server.line());
    }

    let line = said.lines().find(|line| line.trim().starts_with("curl"));
    let line = line.unwrap().trim();
    assert!(line.contains("--cacert /"), "{line}");
    assert!(line.contains("Bearer $BROWNOUT_TOKEN"), "{line}");
    assert!(!said.contains("a-secret"), "{said}");
    assert!(said.contains("export BROWNOUT_CONTROL=https://127.0.0.1:"));
    let called = Command::new("sh")
        .args(["-c", &format!("{line} -s -o /dev/null -w '%{{http_code}}'")])
        .env("BROWNOUT_TOKEN", "a-secret-of-the-test-0123456789")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&called.stdout), "201", "{line}");
}

#[test]
fn a_file_says_it_and_renewed_certificates_are_taken_when_it_is_read_again() {
    let (old, new) = (TestAuthority::new(), TestAuthority::new());
    let issued = old.issue(&["127.0.0.1"]);
    let config = old.file().with_file_name("brownout.toml");
    let text = format!(
        "[control]\nlisten = \"127.0.0.1:0\"\n[control.tls]\ncert = \"{}\"\nkey = \"{}\"\n",
        issued.cert.display(),
        issued.key.display()
    );
    fs::write(&config, text).unwrap();
    let file = config.to_str().unwrap();
    run(&["check", file]).ok();
    let mut server = Server::start(&["proxy", "--config", file, "--output", "json"]);
    let url = server.ready["control_url"].as_str().unwrap().to_owned();
    let asked = |authority: &TestAuthority| {
        let ca = authority.file();
        run(&[
            "fault",
            "ls",
            "--control",
            &url,
            "--ca",
            ca.to_str().unwrap(),
        ])
    };
    asked(&old).ok();

    let renewed = new.issue(&["127.0.0.1"]);
    fs::copy(&renewed.cert, &issued.cert).unwrap();
    let mut reload = || -> Value {
        server.signal("-HUP");
        serde_json::from_str(&server.line()).unwrap()
    };
    let refused = reload();
    let told = refused["error"].as_str().unwrap();
    assert!(told.contains("does not match the certificate"), "{told}");
    asked(&old).ok();

    fs::copy(&renewed.key, &issued.key).unwrap();
    assert_eq!(reload()["event"], "reloaded");
    asked(&new).ok();
    assert_eq!(asked(&old).code(), 69);
}

#[test]
fn files_that_cannot_be_used_are_refused_with_the_file_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("brownout.toml");
    let text = "[control.tls]\ncert = \"/nowhere.pem\"\nkey = \"/nowhere.key\"\n";
    fs::write(&config, text).unwrap();
    let file = config.to_str().unwrap();

    for refused in [
        run(&["check", file]),
        run(&["proxy", "--config", file]),
        run(&["proxy", "--control-tls", "/nowhere.pem,/nowhere.key"]),
    ] {
        assert_eq!(refused.code(), 2, "{}", refused.err());
        let told = refused.err();
        assert!(told.contains("could not read `/nowhere.pem`"), "{told}");
    }
    let form = run(&["proxy", "--control-tls", "selfish"]);
    assert_eq!(form.code(), 2);
    assert!(form.err().contains("CERT,KEY"), "{}", form.err());
}

#[test]
fn a_command_behind_the_proxy_finds_the_control_api_with_its_authority() {
    let state = tempfile::tempdir().unwrap();
    let brownout_itself = env!("CARGO_BIN_EXE_brownout");
    let args = [
        "proxy",
        "--control-tls",
        "self",
        "--control",
        "127.0.0.1:0",
        "--state-dir",
        state.path().to_str().unwrap(),
        "--",
        brownout_itself,
        "fault",
        "ls",
    ];

    run(&args).ok();
}
