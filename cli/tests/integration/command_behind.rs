//! `brownout proxy ... -- COMMAND`: the service under test behind the proxy, and nothing left of either.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use brownout_testkit::{TestUpstream, eventually, within};

use crate::{Server, brownout};

fn proxy(upstream: &TestUpstream, script: &str) -> Command {
    let routes = [
        format!("web=127.0.0.1:0={}", upstream.url()),
        format!(
            "the-db=0.0.0.0:0=tcp://{}",
            upstream.url().trim_start_matches("http://")
        ),
    ];
    brownout(&[
        "proxy",
        "--control",
        "127.0.0.1:0",
        "--route",
        &routes[0],
        "--route",
        &routes[1],
        "--",
        "sh",
        "-c",
        script,
    ])
}

pub(crate) fn is_there(pid: &str) -> bool {
    // A zombie is none.
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[tokio::test]
async fn the_command_is_told_where_its_upstreams_are() {
    let upstream = TestUpstream::replying("hello").await;
    let script =
        "echo $BROWNOUT_ROUTE_WEB_URL; echo $BROWNOUT_ROUTE_THE_DB_URL; echo $BROWNOUT_CONTROL";

    let ran = proxy(&upstream, script).output().unwrap();

    assert_eq!(ran.status.code(), Some(0));
    let out = String::from_utf8(ran.stdout).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("http://127.0.0.1:"), "{out}");
    assert!(lines[1].starts_with("tcp://127.0.0.1:"), "{out}");
    assert!(lines[2].starts_with("127.0.0.1:"), "{out}");
    assert_eq!(lines.len(), 3, "standard output is the command's: {out}");
}

#[tokio::test]
async fn its_exit_code_is_the_proxys() {
    let upstream = TestUpstream::replying("hello").await;
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let ran = proxy(&upstream, script).output().unwrap();
        assert_eq!(ran.status.code(), Some(code), "{script}");
    }
    let ran = brownout(&[
        "proxy",
        "--control",
        "127.0.0.1:0",
        "--",
        "/no/such/command",
    ])
    .output()
    .unwrap();
    assert_eq!(ran.status.code(), Some(2));
    let err = String::from_utf8(ran.stderr).unwrap();
    assert!(err.contains("could not start `/no/such/command`"), "{err}");
}

#[tokio::test]
async fn a_signal_is_passed_on_and_nothing_is_left_behind() {
    let upstream = TestUpstream::replying("hello").await;
    let script = "trap 'echo told; exit 3' TERM INT; sleep 1000 & echo $!; wait";
    for signal in ["-TERM", "-INT"] {
        let mut server = Server::spawn_with(proxy(&upstream, script), Stdio::null());
        let grandchild = server.line().trim().to_owned();
        assert!(is_there(&grandchild));

        server.signal(signal);

        let (out, status) = server.ended().await;
        assert_eq!(
            (out.as_str(), status.code()),
            ("told\n", Some(3)),
            "{signal}"
        );
        eventually("the command's own children end", || !is_there(&grandchild)).await;
    }
}

#[tokio::test]
async fn a_second_signal_takes_a_deaf_command_with_it() {
    let upstream = TestUpstream::replying("hello").await;
    let script = "trap '' TERM INT; echo $$; while true; do sleep 1; done";
    let mut process = proxy(&upstream, script)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let command = line.trim().to_owned();
    let pid = process.id().to_string();
    let ended = tokio::task::spawn_blocking(move || process.wait().unwrap());

    // The first is passed on in vain; each after it may be the second.
    let asking = async {
        while is_there(&pid) {
            Command::new("kill")
                .args(["-TERM", &pid])
                .stderr(Stdio::null())
                .status()
                .unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the proxy to end", asking).await;

    assert_eq!(ended.await.unwrap().code(), Some(130));
    eventually("the command ends", || !is_there(&command)).await;
}
