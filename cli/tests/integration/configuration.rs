//! The file of a proxy: variables in it, checking it, reading it again; and who may call the control API.

use std::{fs, io::Write, path::Path};

use brownout_testkit::{RawClient, TestUpstream, within};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::{Server, brownout, run};

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn shown(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

fn proxy(config: &NamedTempFile) -> Server {
    Server::on_a_free_port(&["proxy", "--config", shown(config)])
}

async fn status(address: std::net::SocketAddr) -> u16 {
    let mut client = RawClient::connect(address).await;
    client.get("/").await;
    client.response().await.status()
}

fn faults(server: &Server) -> Vec<Value> {
    let listed = server.listed("fault");
    listed["faults"].as_array().unwrap().clone()
}

/// Writes the file anew, sends SIGHUP, and gives the line that says what came of it, which is known by `is_it`.
///
/// Where the machine stands still between the two, the proxy has looked at the file by itself, and tells the same twice.
fn reload(server: &mut Server, path: &Path, text: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    fs::write(path, text).unwrap();
    server.signal("-HUP");
    loop {
        let line = server.line();
        assert!(!line.is_empty(), "it has ended");
        let told = serde_json::from_str(&line).unwrap();
        if is_it(&told) {
            return told;
        }
    }
}

#[tokio::test]
async fn variables_of_the_environment_stand_in_a_file() {
    let upstream = TestUpstream::replying("hello").await;
    let config = file(
        r#"
        [[route]]
        name = "web"
        listen = "${LISTEN:-127.0.0.1:0}"
        upstream = "${UPSTREAM}"

        [[fault]]
        route = "web"
        abort = 503
        note = "$${UPSTREAM}"
        "#,
    );
    let missing = run(&["check", shown(&config)]);
    assert_eq!(missing.code(), 2);
    assert!(
        missing
            .err()
            .contains("line 5: `upstream` the variable `UPSTREAM` is not set"),
        "{}",
        missing.err()
    );

    let args = ["proxy", "--config", shown(&config)];
    let server = Server::with_environment(&args, &[("UPSTREAM", &upstream.url())]);
    assert_eq!(status(server.route("web")).await, 503);
    assert_eq!(faults(&server)[0]["note"], "${UPSTREAM}");
}

#[test]
fn check_reads_a_file_as_a_proxy_would() {
    let good = file(
        "[[route]]\nname = 'web'\nlisten = '127.0.0.1:0'\nupstream = 'http://127.0.0.1:1'\n\
         [[fault]]\nroute = ['web', 'other']\nreset = {}\nlabels = ['run-42']\n\
         [control]\ntoken_file = '/no/such/file'\naudit_log_size = '1MB'\n",
    );
    let other = "other=127.0.0.1:0=http://127.0.0.1:1";
    let checked = run(&["check", shown(&good), "--route", other]).ok();
    assert!(
        checked.ends_with("is good: 1 route, 1 fault\n"),
        "{checked}"
    );

    let ran = run(&["check", shown(&good)]);
    assert_eq!(ran.code(), 2);
    assert!(
        ran.err()
            .contains("line 6: `route` there is no route `other`"),
        "{}",
        ran.err()
    );

    let bad = file(
        "[[route]]\nname = 'db'\nlisten = '127.0.0.1:0'\nupstream = 'tcp://127.0.0.1:1'\n\
         [[fault]]\nid = 'x'\nroute = 'db'\nabort = 503\n\
         [[fault]]\nid = 'x'\nroute = '*'\nreset = {}\nlabel = 'run'\n\
         [control]\ntokn_file = 'x'\n",
    );
    let err = run(&["check", shown(&bad)]).err();
    for wanted in [
        "line 7: `route`",
        "line 13: `label` unknown key `label`; did you mean `labels`?",
        "  13 | label = 'run'",
        "`tokn_file` unknown key `tokn_file`; did you mean `token_file`?",
    ] {
        assert!(err.contains(wanted), "{wanted}\nis not in\n{err}");
    }
}

#[tokio::test]
async fn sighup_applies_what_has_changed_in_the_file_and_leaves_the_rest() {
    let first = TestUpstream::replying("first").await;
    let second = TestUpstream::replying("second").await;
    let route = |name: &str, upstream: &str| {
        format!("[[route]]\nname = '{name}'\nlisten = '127.0.0.1:0'\nupstream = '{upstream}'\n")
    };
    let fault = |id: &str, status: u16| {
        format!(
            "[[fault]]\nid = '{id}'\nroute = 'web'\nabort = {status}\npercent = 0\nttl = 'none'\n"
        )
    };
    let begin = route("web", &first.url())
        + &route("gone", &first.url())
        + &fault("kept", 500)
        + &fault("moved", 501)
        + &fault("gone", 502);
    let config = file(&begin);
    let mut server = proxy(&config);
    let web = server.route("web");
    let mut warm = RawClient::connect(web).await;
    warm.get("/").await;
    assert_eq!(warm.response().await.text(), "first");
    let kept = faults(&server)[0].clone();

    let now = route("web", &second.url())
        + &route("new", &first.url())
        + &fault("kept", 500)
        + &fault("moved", 599);
    let told = reload(&mut server, config.path(), &now, |_| true);

    assert_eq!(
        told,
        serde_json::json!({
            "event": "reloaded",
            "routes": { "added": ["new"], "changed": ["web"], "removed": ["gone"] },
            "faults": { "armed": [], "changed": ["moved"], "removed": ["gone"] },
        })
    );
    warm.get("/").await;
    assert_eq!(
        warm.response().await.text(),
        "second",
        "on the same connection"
    );
    let after = faults(&server);
    let of = |id: &str| after.iter().find(|fault| fault["id"] == id);
    assert_eq!(of("kept").unwrap()["revision"], kept["revision"]);
    assert_eq!(of("moved").unwrap()["abort"]["status"], 599);
    assert!(of("gone").is_none());
    assert!(std::net::TcpStream::connect(server.route("gone")).is_err());

    // What the API has done since stays as long as the file says the same.
    run(&["fault", "rm", "kept", "--control", &server.control()]).ok();
    let told = reload(&mut server, config.path(), &now, |_| true);
    assert_eq!(told["faults"]["armed"], serde_json::json!([]));
    assert_eq!(faults(&server).len(), 1);
}

#[tokio::test]
async fn sighup_applies_all_or_nothing() {
    let upstream = TestUpstream::replying("hello").await;
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let route = |name: &str, listen: &str| {
        let upstream = upstream.url();
        format!("[[route]]\nname = '{name}'\nlisten = '{listen}'\nupstream = '{upstream}'\n")
    };
    let begin = route("web", "127.0.0.1:0") + &route("gone", "127.0.0.1:0");
    let config = file(&begin);
    let mut server = proxy(&config);
    let armed = "[[fault]]\nid = 'x'\nroute = 'web'\nabort = 503\n";

    let bad = [
        ("[[route]]\nname = web\n".to_owned(), "line 2"),
        (
            begin.clone() + "[[fault]]\nroute = 'wbe'\nreset = {}\n",
            "did you mean `web`?",
        ),
        (
            route("web", "127.0.0.1:0") + &route("new", &taken.to_string()) + armed,
            "is taken",
        ),
    ];
    for (text, why) in bad {
        reload(&mut server, config.path(), &text, |told| {
            assert_eq!(told["event"], "reload_refused", "{told}");
            told["error"].as_str().unwrap().contains(why)
        });
        assert!(faults(&server).is_empty());
        let routes = server.listed("route");
        let names: Vec<&Value> = routes["routes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["name"])
            .collect();
        assert_eq!(names, ["gone", "web"]);
        assert_eq!(status(server.route("web")).await, 200);
        assert_eq!(status(server.route("gone")).await, 200, "where it was");
    }
    reload(&mut server, config.path(), &(begin + armed), |told| {
        told["faults"]["armed"] == serde_json::json!(["x"])
    });
    assert_eq!(status(server.route("web")).await, 503);
}

#[tokio::test]
async fn every_flag_has_a_variable() {
    let upstream = TestUpstream::replying("hello").await;
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let routes = format!("web=127.0.0.1:0={0},two=127.0.0.1:0={0}", upstream.url());
    let mut command = brownout(&["proxy"]);
    command
        .env("BROWNOUT_ROUTE", routes)
        .env("BROWNOUT_CONTROL_LISTEN", "0.0.0.0:0")
        .env("BROWNOUT_TOKEN", "s3cret-of-all")
        .env("BROWNOUT_AUDIT_LOG", &audit)
        .env("BROWNOUT_OUTPUT", "json");
    let server = Server::spawn(command).ready();
    let port = server.control().rsplit_once(':').unwrap().1.to_owned();
    let control = format!("127.0.0.1:{port}");
    assert_eq!(status(server.route("two")).await, 200);

    let arm = ["fault", "add", "abort", "web", "503", "--control", &control];
    assert_eq!(run(&arm).code(), 1);
    let armed = brownout(&arm)
        .env("BROWNOUT_TOKEN", "s3cret-of-all")
        .output()
        .unwrap();
    assert!(
        armed.status.success(),
        "{}",
        String::from_utf8_lossy(&armed.stderr)
    );
    assert_eq!(status(server.route("web")).await, 503);

    server.signal("-TERM");
    assert!(server.ended().await.1.success());
    // Written whole at the end.
    let lines = fs::read_to_string(audit).unwrap();
    let actions: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["action"].clone())
        .collect();
    assert_eq!(actions, ["route.add", "fault.arm", "fault.remove"]);
}

#[test]
fn tokens_that_cannot_be_used_are_refused_at_the_start() {
    let empty = file("\n");
    let good = file("s3cret-of-all\n");
    let cases: [(&[&str], &str); 4] = [
        (
            &["--token-file", "/no/such/file"],
            "could not read the token in `/no/such/file`",
        ),
        (
            &["--token-file", shown(&empty)],
            "a token has 8 to 1024 visible ASCII characters",
        ),
        (
            &["--read-token-file", shown(&good)],
            "needs one for everything beside it",
        ),
        (
            &["--audit-log", "/no/such/folder/audit"],
            "could not open the audit log",
        ),
    ];
    for (flags, wanted) in cases {
        let ran = run(&[&["proxy", "--control", "127.0.0.1:0"], flags].concat());
        assert_eq!(ran.code(), 2, "{flags:?}");
        assert!(ran.err().contains(wanted), "{}", ran.err());
    }
}

#[tokio::test]
async fn health_waits_for_a_proxy_that_is_still_to_come() {
    let not_yet = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = not_yet.local_addr().unwrap().to_string();
    let ask = address.clone();
    let asked = tokio::task::spawn_blocking(move || run(&["health", &ask, "--wait", "20s"]));
    // It has asked once, in vain.
    let first = within("the first question", not_yet.accept()).await;
    drop((first, not_yet));
    let server = Server::start(&["proxy", "--control", &address, "--output", "json"]);

    let asked = within("the proxy to be seen", asked).await.unwrap();
    assert_eq!(asked.ok(), "ok\n");
    drop(server);
    let nobody = run(&["health", &address, "--wait", "200ms"]);
    assert_eq!(nobody.code(), 69);
}
