//! Programs nobody here wrote, before and behind routes with TLS: curl, openssl, Python, Node and nginx.

use std::{path::Path, process::Command};

use brownout_proxy::UpstreamTlsOptions;
use brownout_telemetry::names;
use brownout_testkit::{TestAuthority, TestProxy, TestUpstream, within};
use serde_json::json;

use crate::programs::{Nginx, installed};

const NAME: &str = "localhost";

/// Runs a program while the test's own servers go on. Its exit code and what it printed.
async fn run(
    program: &'static str,
    args: Vec<String>,
    input: &'static str,
) -> (Option<i32>, String) {
    let running = tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let mut child = Command::new(installed(program).expect("it is installed"))
            .args(args)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        // One that has ended does not take it.
        drop(stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            text.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        (output.status.code(), text)
    });
    within(program, running).await.unwrap()
}

pub(super) async fn curl(args: &[&str]) -> (Option<i32>, String) {
    let args = ["-sS", "--max-time", "15"].iter().chain(args);
    run("curl", args.map(ToString::to_string).collect(), "").await
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

struct World {
    authority: TestAuthority,
    proxy: TestProxy,
    _upstream: TestUpstream,
}

impl World {
    async fn start() -> Self {
        let authority = TestAuthority::new();
        let upstream = TestUpstream::serving(|request| async move {
            let text = format!("{} {}", request.method, request.body.len());
            hyper::Response::new(http_body_util::Full::new(text.into()))
        })
        .await;
        let certificate = authority.issue(&[NAME, "127.0.0.1"]);
        let proxy = TestProxy::to(&upstream)
            .with_tls(certificate.for_listener())
            .start();
        Self {
            authority,
            proxy,
            _upstream: upstream,
        }
    }

    fn ca(&self) -> String {
        shown(&self.authority.file())
    }

    fn port(&self) -> u16 {
        self.proxy.address().port()
    }
}

#[tokio::test]
async fn curl_speaks_with_a_listener_in_both_versions() {
    if installed("curl").is_none() {
        return;
    }
    let world = World::start().await;
    let url = format!("https://localhost:{}/", world.port());
    for version in ["--tlsv1.3", "--tls-max"] {
        let mut args = vec!["--cacert".to_owned(), world.ca(), version.to_owned()];
        if version == "--tls-max" {
            args.push("1.2".to_owned());
        }
        args.extend([
            "-d".to_owned(),
            "content".to_owned(),
            url.clone(),
            url.clone(),
        ]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();

        let (code, out) = curl(&args).await;

        assert_eq!((code, out.as_str()), (Some(0), "POST 7POST 7"), "{version}");
    }
    let (code, out) = curl(&[&url]).await;
    assert_eq!(code, Some(60), "it is not trusted: {out}");
}

#[tokio::test]
async fn curl_sees_the_faults_of_a_listener() {
    if installed("curl").is_none() {
        return;
    }
    let world = World::start().await;
    let url = format!("https://localhost:{}/", world.port());
    let ca = world.ca();
    let abort = json!({ "abort": 503 });
    let reset = json!({ "reset": {} });
    let cut = json!({ "truncate": { "fraction": 0.5, "ending": "fin" } });
    for (version, fault, wanted) in [
        ("--http1.1", &abort, (Some(0), "503")),
        ("--http1.1", &reset, (Some(56), "000")),
        ("--http1.1", &cut, (Some(18), "200")),
        ("--http2", &abort, (Some(0), "503")),
        ("--http2", &reset, (Some(92), "000")),
        ("--http2", &cut, (Some(92), "200")),
    ] {
        let id = world.proxy.arm(fault);
        let args = [
            version,
            "--cacert",
            &ca,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &url,
        ];
        let (code, out) = curl(&args).await;
        world.proxy.disarm(&id);
        assert_eq!((code, &out[..3]), wanted, "{version} {fault}: {out}");
    }
}

#[tokio::test]
async fn openssl_is_told_when_no_protocol_is_in_common_and_resumes_otherwise() {
    if installed("openssl").is_none() {
        return;
    }
    let world = World::start().await;
    let to = format!("127.0.0.1:{}", world.port());
    let ca = world.ca();
    let with = |more: &[&str]| {
        let args = [
            "s_client",
            "-connect",
            &to,
            "-CAfile",
            &ca,
            "-servername",
            NAME,
        ];
        args.iter().chain(more).map(ToString::to_string).collect()
    };

    let (_, refused) = run("openssl", with(&["-alpn", "spdy/3"]), "").await;
    let (_, spoken) = run("openssl", with(&["-alpn", "http/1.1,h2"]), "").await;
    let (_, silent) = run("openssl", with(&[]), "").await;

    assert!(refused.contains("no application protocol"), "{refused}");
    assert!(spoken.contains("ALPN protocol: h2"), "{spoken}");
    assert!(silent.contains("Verification: OK"), "{silent}");
}

#[tokio::test]
async fn pythons_ssl_keeps_a_connection_and_resumes_a_session() {
    if installed("python3").is_none() {
        return;
    }
    let world = World::start().await;
    let script = r#"
import http.client, socket, ssl, sys
port, ca = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=ca)
connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
for _ in range(3):
    connection.request("POST", "/", body=b"x" * 100000)
    print(connection.getresponse().read().decode())
session = connection.sock.session
again = context.wrap_socket(socket.create_connection(("localhost", port)), server_hostname="localhost", session=session)
print(again.version(), again.session_reused)
"#;

    let args = vec![
        "-c".to_owned(),
        script.to_owned(),
        world.port().to_string(),
        world.ca(),
    ];
    let (code, out) = run("python3", args, "").await;

    assert_eq!(code, Some(0), "{out}");
    assert_eq!(out, "POST 100000\nPOST 100000\nPOST 100000\nTLSv1.3 True\n");
}

#[tokio::test]
async fn node_speaks_with_a_listener_and_names_a_reset() {
    if installed("node").is_none() {
        return;
    }
    let world = World::start().await;
    world
        .proxy
        .arm(&json!({ "reset": {}, "match": { "path": "/reset" } }));
    let script = r#"
const https = require('https'), fs = require('fs');
const [port, ca] = process.argv.slice(1);
const agent = new https.Agent({ keepAlive: true, ca: fs.readFileSync(ca) });
const ask = (path) => new Promise((done) => {
  const request = https.request({ host: 'localhost', port, path, agent, method: 'POST' }, (answer) => {
    let text = ''; answer.on('data', (part) => text += part); answer.on('end', () => done(text));
  });
  request.on('error', (error) => done(error.code)); request.end('hello');
});
(async () => {
  console.log(await ask('/'), await ask('/'), await ask('/reset')); agent.destroy();
})();
"#;

    let args = vec![
        "-e".to_owned(),
        script.to_owned(),
        world.port().to_string(),
        world.ca(),
    ];
    let (code, out) = run("node", args, "").await;

    assert_eq!((code, out.trim()), (Some(0), "POST 5 POST 5 ECONNRESET"));
}

/// nginx that speaks TLS, in both versions, behind a route.
#[tokio::test]
async fn nginx_is_an_upstream_in_both_versions_and_its_closed_connections_are_not_used() {
    let authority = TestAuthority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    for version in ["TLSv1.2", "TLSv1.3"] {
        let (port, tls) = nginx_tls(&certificate, version);
        let server = format!("root {{folder}}; {tls}");
        let Some(_nginx) = Nginx::start(&server).await else {
            return;
        };
        let proxy = TestProxy::to_url(&format!("https://127.0.0.1:{port}"))
            .with_upstream_tls(UpstreamTlsOptions {
                ca: Some(authority.file()),
                ..UpstreamTlsOptions::default()
            })
            .with_cores(1)
            .start();

        let mut client = proxy.connect().await;
        for _ in 0..30 {
            // nginx closes each connection behind its tenth answer.
            client.get("/large").await;
            assert_eq!(client.response().await.body.len(), 200_000, "{version}");
        }
        let tags = [proxy.route(), "reset"];
        assert_eq!(
            proxy.metrics().counter(names::PROXY_ERRORS, &tags).total(),
            0
        );
    }
}

/// A second port of an nginx, and what makes it one of TLS.
fn nginx_tls(certificate: &brownout_testkit::TestCertificate, version: &str) -> (u16, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port.local_addr().unwrap().port();
    let (cert, key) = (certificate.cert.display(), certificate.key.display());
    let tls = format!(
        "listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key}; \
         ssl_protocols {version}; keepalive_requests 10;"
    );
    (port, tls)
}

#[tokio::test]
async fn plain_http_to_nginxs_port_of_tls_is_nginxs_answer_and_https_to_a_plain_one_is_named() {
    let authority = TestAuthority::new();
    let Some(nginx) = Nginx::start("root {folder};").await else {
        return;
    };
    let proxy = TestProxy::to_url(&format!("https://{}", nginx.address()))
        .with_upstream_tls(UpstreamTlsOptions {
            ca: Some(authority.file()),
            ..UpstreamTlsOptions::default()
        })
        .start();

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 502);
    assert!(
        answer
            .text()
            .contains("plain HTTP came instead of a TLS handshake"),
        "{}",
        answer.text()
    );
}
