//! The PROXY protocol with haproxy, who made it, on both sides.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use brownout_proxy::ProxyVersion;
use brownout_testkit::{RawClient, TestProxy, eventually};
use tempfile::TempDir;

use super::options;
use crate::programs::installed;

/// haproxy until it is dropped.
struct Haproxy {
    process: Child,
    _folder: TempDir,
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn free() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

/// One that sends headers as `send` says to `to`, from one address, and takes headers at the other and answers with who the client is.
async fn haproxy(from: SocketAddr, at: SocketAddr, to: SocketAddr, send: &str) -> Option<Haproxy> {
    let program = installed("haproxy")?;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("haproxy.cfg");
    let config = format!(
        "defaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
         listen sends\n mode tcp\n bind {from}\n server s {to} {send}\n\
         frontend takes\n mode http\n bind {at} accept-proxy\n \
         http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port]\"\n"
    );
    fs::write(&file, config).unwrap();
    let process = Command::new(program)
        .args(["-db", "-f"])
        .arg(file)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let running = Haproxy {
        process,
        _folder: folder,
    };
    eventually("haproxy to listen", || TcpStream::connect(from).is_ok()).await;
    Some(running)
}

#[tokio::test]
async fn haproxy_tells_who_the_client_is_and_is_told() {
    for send in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c,authority",
    ] {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            let (from, at) = (free(), free());
            let proxy = TestProxy::to_url(&format!("http://{at}"))
                .with_accept_proxy()
                .with_options(options(|it| it.send_proxy = Some(version)))
                .start();
            let Some(_haproxy) = haproxy(from, at, proxy.address(), send).await else {
                return;
            };
            let mut client = RawClient::connect(from).await;

            for _ in 0..2 {
                client.get("/").await;
                let answer = client.response().await;
                assert_eq!(answer.text(), client.address().to_string(), "{send}");
            }
        }
    }
}
