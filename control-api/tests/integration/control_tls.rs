//! The control API over TLS: the same calls, clients that are not trusted or stall, and other certificates.

use std::time::{Duration, Instant};

use brownout_client::{Client, ClientError, Trust};
use brownout_control_api::{ControlApi, ControlConfig, control_tls};
use brownout_proxy::ListenerTls;
use brownout_telemetry::Tracer;
use brownout_testkit::{RawClient, TestAuthority, TestCertificate, within};
use brownout_wire::ListenerTlsSpec;
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::World;

fn tls(certificate: &TestCertificate) -> ListenerTls {
    let spec = json!({ "cert": certificate.cert, "key": certificate.key });
    let spec = ListenerTlsSpec::read(&spec).unwrap();
    control_tls(&spec).unwrap().unwrap()
}

/// A second control API of the world, which speaks TLS.
fn api(world: &World, certificate: &TestCertificate, connections_max: usize) -> ControlApi {
    ControlApi::start(ControlConfig {
        listen: "127.0.0.1:0".to_owned(),
        insecure: false,
        token: None,
        read_token: None,
        allow_hosts: Vec::new(),
        tls: Some(tls(certificate)),
        connections_max,
        ops: world.ops.clone(),
        metrics: world.metrics.clone(),
        tracer: Tracer::off(),
    })
    .unwrap()
}

fn client(api: &ControlApi, trust: &Trust) -> Client {
    let client = Client::new(&format!("https://{}", api.address())).unwrap();
    client.with_trust(trust).unwrap()
}

#[tokio::test]
async fn every_call_works_over_tls_the_red_button_and_the_events_too() {
    let world = World::start().await;
    let authority = TestAuthority::new();
    let api = api(&world, &authority.issue(&["127.0.0.1"]), 16);
    let client = client(&api, &Trust::File(authority.file()));

    assert_eq!(client.health().await.unwrap().status, "ok");
    let mut events = client.events(None).await.unwrap();
    let fault = json!({ "id": "down", "route": "web", "abort": 503 });
    client.arm(&fault).await.unwrap();
    assert_eq!(world.through("/").await, 503);
    assert_eq!(client.halt(None).await.unwrap().removed, ["down"]);
    assert_eq!(world.through("/").await, 200);

    let told = async {
        loop {
            let event = events.next().await.unwrap().unwrap();
            if event.event == "fault.halted" {
                return event;
            }
        }
    };
    within("the event of the halt", told).await;
    assert_eq!(api.scheme(), "https");
    assert!(api.trust_file().is_some());
}

#[tokio::test]
async fn who_is_not_trusted_is_told_so_in_words() {
    let world = World::start().await;
    let (authority, other) = (TestAuthority::new(), TestAuthority::new());
    let api = api(&world, &authority.issue(&["127.0.0.1"]), 16);

    let stranger = client(&api, &Trust::File(other.file())).health().await;

    let Err(ClientError::Tls { why, .. }) = &stranger else {
        panic!("{stranger:?}");
    };
    assert!(why.contains("of no authority that is trusted"), "{why}");
    let anybody = client(&api, &Trust::Anybody).health().await;
    assert_eq!(anybody.unwrap().status, "ok");
    let plain = Client::new(&format!("https://{}", world.api.address())).unwrap();
    let told = plain.health().await.unwrap_err().to_string();
    assert!(told.contains("does not speak TLS"), "{told}");
}

#[tokio::test]
async fn a_call_without_tls_is_answered_that_there_is_tls() {
    let world = World::start().await;
    let api = api(&world, &TestAuthority::new().issue(&["127.0.0.1"]), 16);

    let mut plain = RawClient::connect(api.address()).await;
    plain.get("/healthz").await;
    let answer = plain.response().await;

    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("call it by https://"));
}

#[tokio::test]
async fn pages_of_its_own_may_call_it_and_those_of_plain_http_may_not() {
    let world = World::start().await;
    let authority = TestAuthority::new();
    let api = api(&world, &authority.issue(&["127.0.0.1"]), 16);
    let tunnel = brownout_testkit::TlsTunnel::to(api.address(), "127.0.0.1", &authority).await;
    let host = api.address();

    for (scheme, status) in [("https", 200), ("http", 403)] {
        let mut client = RawClient::connect(tunnel.address()).await;
        client
            .send(format!(
                "GET /faults HTTP/1.1\r\nHost: {host}\r\nOrigin: {scheme}://{host}\r\n\r\n"
            ))
            .await;
        assert_eq!(client.response().await.status(), status, "{scheme}");
    }
}

#[tokio::test]
async fn clients_that_stall_in_the_handshake_do_not_keep_anybody_from_the_red_button() {
    let world = World::start().await;
    let authority = TestAuthority::new();
    let api = api(&world, &authority.issue(&["127.0.0.1"]), 16);
    let client = client(&api, &Trust::File(authority.file()));
    let fault = json!({ "id": "down", "route": "web", "abort": 503 });
    client.arm(&fault).await.unwrap();
    let mut stalled = Vec::new();
    for number in 0..200 {
        let mut tcp = TcpStream::connect(api.address()).await.unwrap();
        if number % 2 == 0 {
            // The beginning of a record, and nothing behind it.
            let begun = tokio::io::AsyncWriteExt::write_all(&mut tcp, b"\x16\x03\x01\x02\x00\x01");
            begun.await.unwrap();
        }
        stalled.push(tcp);
    }

    // On a connection of its own, as the shell has it: the one before was idle, and had to make room.
    let client = self::client(&api, &Trust::File(authority.file()));
    let halted = within("the halt", client.halt(None)).await;

    assert_eq!(halted.unwrap().removed, ["down"]);
}

#[tokio::test]
async fn a_handshake_that_stalls_is_over_after_five_seconds() {
    let world = World::start().await;
    let api = api(&world, &TestAuthority::new().issue(&["127.0.0.1"]), 16);
    let began = Instant::now();
    let mut silent = TcpStream::connect(api.address()).await.unwrap();

    let mut scratch = [0];
    let ended = within("the end of the connection", silent.read(&mut scratch)).await;

    assert!(matches!(ended, Ok(0) | Err(_)));
    assert!(began.elapsed() >= Duration::from_millis(4_900));
}

#[tokio::test]
async fn other_certificates_are_shown_to_those_who_connect_from_then_on() {
    let world = World::start().await;
    let (old, new) = (TestAuthority::new(), TestAuthority::new());
    let api = api(&world, &old.issue(&["127.0.0.1"]), 16);
    let before = client(&api, &Trust::File(old.file()));
    before.health().await.unwrap();

    let renewed = tls(&new.issue(&["127.0.0.1"]));
    let served = api.prepare_tls(Some(renewed.clone())).unwrap();
    api.renew(served.unwrap());

    let after = client(&api, &Trust::File(new.file()));
    after.health().await.unwrap();
    before.health().await.unwrap();
    assert!(api.prepare_tls(Some(renewed)).unwrap().is_none());
}
