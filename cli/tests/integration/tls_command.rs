//! TLS as a user sets it up: on the command line, in a file, read again; and the local authority.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use brownout_testkit::{RawClient, TestAuthority, TestUpstream, TlsFront, TlsTunnel};
use serde_json::Value;

use crate::{Server, brownout, run};

async fn get(address: std::net::SocketAddr) -> (u16, String) {
    let mut client = RawClient::connect(address).await;
    client.get("/").await;
    let answer = client.response().await;
    (answer.status(), answer.text())
}

#[tokio::test]
async fn a_route_of_the_command_line_leads_to_an_https_upstream_that_the_system_trusts() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue(&["localhost"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    let route = format!("api=127.0.0.1:0=https://localhost:{}", front.port());
    let ca = authority.file();
    let system = [("SSL_CERT_FILE", ca.to_str().unwrap())];

    let server = Server::with_environment(&["proxy", "--route", &route], &system);

    assert_eq!(get(server.route("api")).await, (200, "hello".to_owned()));
}

#[tokio::test]
async fn a_file_says_how_and_a_renewed_certificate_is_taken_when_it_is_read_again() {
    let upstream = TestUpstream::replying("hello").await;
    let (old, new) = (TestAuthority::new(), TestAuthority::new());
    let issued = old.issue(&["web.test"]);
    let behind = old.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &behind).await;
    let config = old.file().with_file_name("brownout.toml");
    let text = format!(
        r#"
        [[route]]
        name = "web"
        listen = "127.0.0.1:0"
        upstream = "{}"
        host = "upstream"
        [route.tls]
        cert = "{}"
        key = "{}"
        [route.upstream_tls]
        ca = "{}"
        "#,
        front.url(),
        issued.cert.display(),
        issued.key.display(),
        old.file().display(),
    );
    fs::write(&config, text).unwrap();
    let args = ["proxy", "--config", config.to_str().unwrap()];
    let mut server = Server::on_a_free_port(&args);
    let through = TlsTunnel::to(server.route("web"), "web.test", &old).await;
    assert_eq!(get(through.address()).await, (200, "hello".to_owned()));

    let reload = |server: &mut Server| -> Value {
        server.signal("-HUP");
        serde_json::from_str(&server.line()).unwrap()
    };
    assert_eq!(
        reload(&mut server)["routes"]["changed"],
        serde_json::json!([])
    );
    let renewed = new.issue(&["web.test"]);
    fs::copy(&renewed.cert, &issued.cert).unwrap();
    let refused = reload(&mut server);
    let told = refused["error"].as_str().unwrap();
    assert!(told.contains("does not match the certificate"), "{told}");
    assert_eq!(get(through.address()).await.0, 200, "it stays as it was");

    fs::copy(&renewed.key, &issued.key).unwrap();
    assert_eq!(
        reload(&mut server)["routes"]["changed"],
        serde_json::json!(["web"])
    );
    let through = TlsTunnel::to(server.route("web"), "web.test", &new).await;
    assert_eq!(get(through.address()).await, (200, "hello".to_owned()));
}

#[test]
fn check_and_start_tell_the_file_the_line_and_the_reason() {
    let authority = TestAuthority::new();
    let (one, other) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let config = authority.file().with_file_name("brownout.toml");
    let text = format!(
        "[[route]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:1\"\n\
         [route.tls]\ncert = \"{}\"\nkey = \"{}\"\n",
        one.cert.display(),
        other.key.display()
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();

    for args in [
        vec!["check", config],
        vec!["proxy", "--config", config, "--control", "127.0.0.1:0"],
    ] {
        let refused = run(&args);
        assert_eq!(refused.code(), 2);
        let told = refused.err();
        assert!(told.contains("line 7"), "{told}");
        assert!(told.contains("does not match the certificate in"), "{told}");
    }
}

#[tokio::test]
async fn check_tries_the_upstreams_when_asked() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let certificate = authority.issue(&["127.0.0.1"]);
    let front = TlsFront::before(upstream.address(), &certificate).await;
    let config = authority.file().with_file_name("brownout.toml");
    let route = |name: &str, ca: &Path| {
        format!(
            "[[route]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n\
             upstream_tls = {{ ca = \"{}\" }}\n",
            front.url(),
            ca.display()
        )
    };
    let check = async |text: String| {
        fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap().to_owned();
        let checking = move || run(&["check", &config, "--connect"]);
        tokio::task::spawn_blocking(checking).await.unwrap()
    };

    let good = check(route("good", &authority.file())).await;
    let other = TestAuthority::new();
    let bad = check(route("good", &authority.file()) + &route("bad", &other.file())).await;

    assert!(good.ok().contains("good: https://127.0.0.1"));
    assert_eq!(bad.code(), 69);
    assert!(
        bad.out().contains("good: https://127.0.0.1"),
        "{}",
        bad.out()
    );
    assert!(bad.err().contains("bad: https://"), "{}", bad.err());
    assert!(bad.err().contains("unknown issuer"), "{}", bad.err());
}

#[tokio::test]
async fn the_local_authority_is_made_once_and_what_is_printed_works() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("state");
    let state_dir = directory.to_str().unwrap();

    let printed = run(&["tls", "ca", "--state-dir", state_dir]).ok();
    let pem = run(&["tls", "ca", "--pem", "--state-dir", state_dir]).ok();

    let file = directory.join("local-ca.pem");
    assert_eq!(fs::read_to_string(&file).unwrap(), pem);
    for word in [
        "curl --cacert",
        "REQUESTS_CA_BUNDLE=",
        "NODE_EXTRA_CA_CERTS=",
        "SSL_CERT_FILE=",
        "keytool -importcert",
        file.to_str().unwrap(),
    ] {
        assert!(printed.contains(word), "{word}: {printed}");
    }
    let mode = fs::metadata(directory.join("local-ca.key")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);

    let upstream = TestUpstream::replying("hello").await;
    let config = state.path().join("brownout.toml");
    let text = format!(
        "[[route]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\ntls = \"self\"\n",
        upstream.url()
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let server = Server::on_a_free_port(&["proxy", "--config", config, "--state-dir", state_dir]);
    let url = format!("https://localhost:{}/", server.route("web").port());
    let asking = tokio::task::spawn_blocking(move || {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "15", "--cacert"])
            .arg(&file);
        curl.arg(url).output()
    });
    if let Ok(output) = asking.await.unwrap() {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.stdout, b"hello", "{err}");
    }
}

#[test]
fn a_command_behind_the_proxy_is_told_https() {
    let state = tempfile::tempdir().unwrap();
    let config = state.path().join("brownout.toml");
    let text = "[[route]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:1\"\ntls = \"self\"\n";
    fs::write(&config, text).unwrap();
    let mut command = brownout(&["proxy", "--control", "127.0.0.1:0", "--config"]);
    command.arg(&config).env("XDG_STATE_HOME", state.path());
    command.args(["--", "printenv", "BROWNOUT_ROUTE_WEB_URL"]);

    let output = command.output().unwrap();

    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("https://127.0.0.1:"), "{told}");
    assert!(state.path().join("brownout/local-ca.key").exists());
}
