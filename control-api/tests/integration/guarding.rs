//! Who may call, by token, and what is kept of who did what.

use std::{fs, time::Duration};

use brownout_control_api::{Audit, ControlApi, ControlConfig, Ops, Token};
use brownout_fault::store;
use brownout_proxy::{Gateway, GatewayConfig};
use brownout_telemetry::{Metrics, Tracer};
use brownout_testkit::{RawClient, TestUpstream, within};
use serde_json::{Value, json};

use crate::World;

/// The API beside another one, with tokens and an audit log.
fn guarded(world: &World, audit: Audit) -> (ControlApi, Ops, Gateway) {
    let (writer, reader) = store(1);
    let gateway = Gateway::start(GatewayConfig::new(reader)).unwrap();
    let ops = Ops::new(writer, gateway.handle(), &world.metrics, audit);
    let api = ControlApi::start(ControlConfig {
        listen: "0.0.0.0:0".to_owned(),
        insecure: false,
        token: Some(Token::new("s3cret-of-all").unwrap()),
        read_token: Some(Token::new("s3cret-to-read").unwrap()),
        allow_hosts: Vec::new(),
        tls: None,
        connections_max: ControlConfig::CONNECTIONS_MAX,
        ops: ops.clone(),
        metrics: Metrics::new(),
        tracer: Tracer::off(),
    });
    (api.unwrap(), ops, gateway)
}

#[tokio::test]
async fn a_token_is_asked_for_and_one_that_reads_changes_nothing() {
    let world = World::start().await;
    let (api, ops, _gateway) = guarded(&world, Audit::log());
    let port = api.address().port();
    let status = async |call: &str, fields: &str, body: &str| {
        let mut client = RawClient::connect(([127, 0, 0, 1], port).into()).await;
        let length = body.len();
        let head = format!(
            "{call} HTTP/1.1\r\nHost: localhost:{port}\r\n{fields}Content-Length: {length}\r\n\r\n"
        );
        let answer = client.exchange(format!("{head}{body}")).await.0;
        if answer.status() == 401 {
            assert_eq!(
                answer.values("www-authenticate"),
                ["Bearer realm=\"brownout\""]
            );
        }
        answer.status()
    };
    let all = "Authorization: Bearer s3cret-of-all\r\n";
    let read = "Authorization: bearer s3cret-to-read\r\n";
    let fault = r#"{"route":"*","abort":503}"#;

    assert_eq!(status("GET /healthz", "", "").await, 200);
    assert_eq!(status("GET /readyz", "", "").await, 200);
    let mut client = RawClient::connect(([127, 0, 0, 1], port).into()).await;
    for (fields, told) in [
        ("", r#"{"status":"ready"}"#),
        (read, r#"{"status":"ready","routes":[]}"#),
    ] {
        let ask = format!("GET /readyz HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        assert_eq!(client.exchange(ask).await.0.text().trim(), told);
    }
    for wrong in [
        "",
        "Authorization: Bearer wrong-token\r\n",
        "Authorization: Basic s3cret-of-all\r\n",
        "Authorization: Bearer s3cret-of-all-\r\n",
        "Authorization: Bearer s3cret-of-all\r\nAuthorization: Bearer s3cret-of-all\r\n",
    ] {
        for call in [
            "GET /faults",
            "POST /faults",
            "POST /halt",
            "GET /metrics",
            "GET /nothing",
        ] {
            assert_eq!(status(call, wrong, fault).await, 401, "{call} {wrong}");
        }
    }
    assert_eq!(status("GET /faults", read, "").await, 200);
    assert_eq!(status("GET /metrics", read, "").await, 200);
    for call in [
        "POST /faults",
        "POST /halt",
        "DELETE /faults",
        "PUT /faults/x",
        "POST /leases",
    ] {
        assert_eq!(status(call, read, fault).await, 403, "{call}");
    }
    assert!(
        ops.faults(&brownout_control_api::Filter::default())
            .is_empty()
    );
    assert_eq!(status("POST /faults", all, fault).await, 201);
    assert_eq!(status("POST /halt", all, "").await, 200);
}

#[tokio::test]
async fn every_change_is_a_line_of_the_audit_log() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let audit = Audit::file(path.clone(), 1_000_000).unwrap();
    let (api, ops, _gateway) = guarded(&world, audit);
    let upstream = TestUpstream::replying("hello").await;
    let route = json!({ "name": "web", "listen": "127.0.0.1:0", "upstream": upstream.url() });
    let mut client = RawClient::connect(([127, 0, 0, 1], api.address().port()).into()).await;
    let peer = client.address().to_string();
    let mut call = async |call: &str, body: &Value| {
        let body = body.to_string();
        let length = body.len();
        let head = format!(
            "{call} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret-of-all\r\nContent-Length: {length}\r\n\r\n"
        );
        client.exchange(format!("{head}{body}")).await.0.status()
    };

    assert_eq!(call("POST /routes", &route).await, 201);
    let fault = json!({ "id": "x", "route": "web", "abort": 503, "note": "INC-1", "owner": "me" });
    assert_eq!(call("POST /faults", &fault).await, 201);
    assert_eq!(call("POST /faults", &fault).await, 409);
    assert_eq!(call("PATCH /faults/x", &json!({ "percent": 5 })).await, 200);
    assert_eq!(call("POST /halt", &json!({})).await, 200);
    assert_eq!(call("POST /leases", &json!({ "ttl": "2s" })).await, 201);
    let leased = json!({ "id": "y", "route": "web", "abort": 503, "lease": "lease-1" });
    assert_eq!(call("POST /faults", &leased).await, 201);
    let gone = async {
        while ops.fault("y").is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the lease to end", gone).await;
    ops.flush_audit();

    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<(&str, &str, &Value)> = lines
        .iter()
        .map(|line| {
            (
                line["by"].as_str().unwrap(),
                line["action"].as_str().unwrap(),
                &line["subjects"][0],
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("api", "route.add", &json!("web")),
            ("api", "fault.arm", &json!("x")),
            ("api", "fault.patch", &json!("x")),
            ("api", "halt", &json!("x")),
            ("api", "lease.add", &json!("lease-1")),
            ("api", "fault.arm", &json!("y")),
            ("clock", "lease.expire", &json!("lease-1")),
            ("clock", "fault.remove", &json!("y")),
        ]
    );
    assert_eq!(lines[1]["peer"], peer);
    assert_eq!(lines[1]["change"][0]["note"], "INC-1");
    assert_eq!(lines[1]["change"][0]["owner"], "me");
    assert_eq!(lines[2]["change"], json!({ "percent": 5 }));
    let at: jiff::Timestamp = lines[0]["at"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(at).as_secs() < 3_600);
    assert!(!text.contains("s3cret"), "{text}");
}
