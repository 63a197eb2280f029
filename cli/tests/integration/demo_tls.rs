//! The demo with every hop on HTTP/2 in TLS: as its users paste it, and as one trace.

use std::process::Command;

use brownout_testkit::{OtlpReceiver, PATIENCE, ReceivedKind};

use crate::{Server, brownout};

const WHOLE: &str = r#""recommendations":[12,23,"#;
const DEGRADED: &str = r#""recommendations":[],"#;

/// What a pasted line prints.
fn pasted(line: &str) -> String {
    let ran = Command::new("sh").args(["-c", line]).output().unwrap();
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{line}: {out}{:?}", ran.stderr);
    out
}

#[tokio::test]
async fn the_pasted_commands_work_and_one_trace_has_all_hops_on_http2() {
    let state = tempfile::tempdir().unwrap();
    let collector = OtlpReceiver::start();
    let url = collector.url();
    let args = ["demo", "--tls", "--control", "127.0.0.1:0", "--otlp", &url];
    let mut command = brownout(&args);
    command.env("XDG_STATE_HOME", state.path());
    let mut server = Server::spawn(command);
    let mut commands = Vec::new();
    loop {
        let line = server.line();
        assert!(!line.is_empty(), "it ended");
        if line.trim_start().starts_with("curl ") {
            commands.push(line.trim().to_owned());
        }
        if line.contains("Ctrl-C") {
            break;
        }
    }
    let [ask, arm, clear] = commands.as_slice() else {
        panic!("three commands, not {commands:?}");
    };
    assert!(ask.contains(" https://"), "{ask}");

    let told = pasted(&format!("{ask} -w '%{{http_version}}'"));
    assert!(told.contains(WHOLE) && told.ends_with('2'), "{told}");
    pasted(arm);
    let degraded = pasted(ask);
    assert!(degraded.contains(DEGRADED), "{degraded}");
    pasted(clear);
    let whole = pasted(ask);
    assert!(whole.contains(WHOLE), "{whole}");

    server.signal("-TERM");
    server.ended().await;
    collector.wait_until(PATIENCE, |spans| !spans.is_empty());
    let spans = collector.spans();
    let deepest = spans
        .iter()
        .filter(|it| it.service == "recommendations" && it.kind == ReceivedKind::Server)
        .max_by_key(|it| it.start)
        .expect("the last page asked recommendations");
    let mut next = Some(deepest);
    let mut hops = Vec::new();
    while let Some(span) = next {
        if span.kind == ReceivedKind::Server {
            assert_eq!(span.text("network.protocol.version"), Some("2"), "{span:?}");
            assert_eq!(span.text("url.scheme"), Some("https"), "{span:?}");
            hops.push(span.service.as_str());
        }
        if span.kind == ReceivedKind::Client {
            let url = span.text("url.full").unwrap();
            assert!(url.starts_with("https://"), "{span:?}");
        }
        let parent = span.parent_id.as_deref();
        next = spans.iter().find(|it| Some(it.span_id.as_str()) == parent);
        assert!(next.is_none_or(|it| it.trace_id == span.trace_id));
    }
    assert_eq!(hops, ["recommendations", "brownout-proxy", "homepage"]);
    let services = |name: &str| {
        spans
            .iter()
            .any(|it| it.trace_id == deepest.trace_id && it.service == name)
    };
    assert!(services("authentication") && services("popular-items"));
}
