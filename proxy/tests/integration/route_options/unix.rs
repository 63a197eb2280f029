use std::{
    os::unix::{fs::PermissionsExt, net::UnixListener as StdUnixListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use brownout_proxy::{AttemptEnd, ListenAddress, NewRoute, RouteChange, RouteError, Upstream};
use brownout_testkit::{TestProxy, TestUpstream, eventually};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::{endings, ends};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn socket(directory: &tempfile::TempDir, name: &str) -> PathBuf {
    directory.path().join(name)
}

fn listen(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Sends `request` and reads until the end.
async fn ask(path: &Path, request: &str) -> String {
    let mut client = UnixStream::connect(path).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";

/// A server on a Unix socket, which ends when it is dropped.
struct UnixServer {
    connections: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl UnixServer {
    /// Answers each request of a connection with `body`.
    fn start(path: &Path, body: String) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                open.spawn(answer_each(stream, body.clone()));
            }
        });
        Self {
            connections,
            _serving: serving,
        }
    }

    /// How many it got.
    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn answer_each(mut stream: UnixStream, body: String) {
    let mut read = Vec::new();
    let mut buf = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buf).await {
        read.extend_from_slice(&buf[..count]);
        if read.ends_with(b"\r\n\r\n") {
            read.clear();
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn requests_come_and_go_by_unix_sockets_and_connections_are_kept() {
    let files = directory();
    let (here, there) = (socket(&files, "here"), socket(&files, "there"));
    // Large enough to be moved inside the kernel.
    let body = "x".repeat(1024 * 1024);
    let server = UnixServer::start(&there, body.clone());
    let _proxy = TestProxy::to_url(&format!("unix:{}", there.display()))
        .with_cores(1)
        .with_listen(&listen(&here))
        .start();

    for _ in 0..3 {
        let answer = ask(&here, GET).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{}",
            &answer[..100]
        );
        assert!(answer.ends_with(&body));
    }

    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn every_core_serves_a_unix_socket() {
    let files = directory();
    let here = socket(&files, "here");
    let upstream = TestUpstream::replying("hello").await;
    let _proxy = TestProxy::to(&upstream).with_listen(&listen(&here)).start();

    let asking = (0..50).map(|_| ask(&here, GET));
    let answers = futures_util::future::join_all(asking).await;

    assert!(answers.iter().all(|answer| answer.ends_with("hello")));
}

#[tokio::test]
async fn curl_and_nginx_speak_through_unix_sockets() {
    let files = directory();
    let here = socket(&files, "here");
    let upstream = TestUpstream::replying("hello").await;
    let _proxy = TestProxy::to(&upstream).with_listen(&listen(&here)).start();

    let curl = tokio::task::spawn_blocking(move || {
        Command::new("curl")
            .args(["-sS", "--max-time", "10", "--unix-socket"])
            .arg(here)
            .args(["http://shop/a", "http://shop/b"])
            .stderr(Stdio::inherit())
            .output()
    });

    let answer = match curl.await.unwrap() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        answer => answer.unwrap(),
    };
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "hellohello");
}

#[tokio::test]
async fn bytes_of_a_tcp_route_pass_between_unix_sockets() {
    let files = directory();
    let (here, there) = (socket(&files, "here"), socket(&files, "there"));
    let listener = UnixListener::bind(&there).unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        stream.write_all(&read).await.unwrap();
    });
    let _proxy = TestProxy::to_url(&format!("tcp+unix:{}", there.display()))
        .with_listen(&listen(&here))
        .start();

    let mut client = UnixStream::connect(&here).await.unwrap();
    let sent = vec![7; 3 * 1024 * 1024];
    client.write_all(&sent).await.unwrap();
    client.shutdown().await.unwrap();
    let mut read = Vec::new();
    client.read_to_end(&mut read).await.unwrap();

    assert!(read == sent);
}

#[tokio::test]
async fn an_upstream_without_a_socket_is_a_502_that_says_so() {
    let files = directory();
    let there = socket(&files, "there");
    let proxy = TestProxy::to_url(&format!("unix:{}", there.display())).start();

    let answer = proxy.get("/").await;

    assert_eq!(answer.status(), 502);
    let told = answer.text();
    assert!(told.contains("could not connect: No such file"), "{told}");
}

#[tokio::test]
async fn a_client_that_closes_its_unix_socket_has_sent_no_reset() {
    let files = directory();
    let here = socket(&files, "here");
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_listen(&listen(&here))
        .with_fault(&json!({ "blackhole": {} }))
        .with_access_log()
        .start();
    let mut client = UnixStream::connect(&here).await.unwrap();
    client.write_all(GET.as_bytes()).await.unwrap();
    eventually("the request", || {
        proxy.handle().route(proxy.route()).unwrap().requests == 1
    })
    .await;

    drop(client);

    assert_eq!(ends(&proxy, 1).await, [AttemptEnd::ClientFin]);
    assert_eq!(endings(&proxy, 1).await, ["client_disconnect"]);
}

#[tokio::test]
async fn the_file_has_the_permissions_that_are_said_and_goes_with_the_route() {
    let files = directory();
    let here = socket(&files, "here");
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream)
        .with_listen(&format!("{}:0620", listen(&here)))
        .start();
    let mode = || std::fs::metadata(&here).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o620);

    // Other permissions alone: the socket stays.
    let kept = UnixStream::connect(&here).await.unwrap();
    let change = RouteChange {
        listen: Some(ListenAddress::parse(&format!("{}:0600", listen(&here))).unwrap()),
        ..RouteChange::default()
    };
    let changed = proxy.handle().change_route("web", change).unwrap();
    assert_eq!(
        changed.listen.to_string(),
        format!("{}:0600", listen(&here))
    );
    assert_eq!(mode(), 0o600);
    drop(kept);

    assert!(proxy.handle().remove_route("web"));
    assert!(!here.exists());
}

#[tokio::test]
async fn a_socket_that_a_killed_process_left_is_replaced_but_no_other_file() {
    let files = directory();
    let (abandoned, used, file) = (
        socket(&files, "a"),
        socket(&files, "b"),
        socket(&files, "c"),
    );
    drop(StdUnixListener::bind(&abandoned).unwrap());
    let _used = StdUnixListener::bind(&used).unwrap();
    std::fs::write(&file, "precious").unwrap();
    let upstream = TestUpstream::replying("hello").await;
    let proxy = TestProxy::to(&upstream).start();
    let add = |path: &Path, name: &str| {
        proxy.handle().add_route(NewRoute {
            name: name.to_owned(),
            listen: ListenAddress::parse(&listen(path)).unwrap(),
            upstream: Upstream::parse(&upstream.url()).unwrap(),
            tls: None,
            enabled: true,
            caller_faults: false.into(),
            accept_proxy: false,
        })
    };

    add(&abandoned, "one").unwrap();
    assert!(ask(&abandoned, GET).await.ends_with("hello"));
    for (path, name) in [(&used, "two"), (&file, "three"), (&abandoned, "four")] {
        let refused = add(path, name).unwrap_err();
        assert!(
            matches!(refused, RouteError::AddressTaken { .. }),
            "{refused}"
        );
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn a_route_that_leads_back_to_its_own_socket_is_refused() {
    let files = directory();
    let here = socket(&files, "here");
    let proxy = TestProxy::to_url("http://127.0.0.1:9").start();

    let refused = proxy.handle().add_route(NewRoute {
        name: "loop".to_owned(),
        listen: ListenAddress::parse(&listen(&here)).unwrap(),
        upstream: Upstream::parse(&listen(&here)).unwrap(),
        tls: None,
        enabled: true,
        caller_faults: false.into(),
        accept_proxy: false,
    });

    assert!(matches!(refused, Err(RouteError::Loop { .. })));
    assert!(!here.exists());
}

#[tokio::test]
async fn a_route_that_is_disabled_takes_its_file_away_until_it_is_enabled() {
    let files = directory();
    let here = socket(&files, "here");
    let upstream = TestUpstream::replying("hello").await;
    let mut proxy = TestProxy::to(&upstream).with_listen(&listen(&here)).start();
    let enable = |enabled| {
        let change = RouteChange {
            enabled: Some(enabled),
            ..RouteChange::default()
        };
        proxy.handle().change_route("web", change).unwrap();
    };

    enable(false);
    assert!(!here.exists());
    enable(true);
    assert!(ask(&here, GET).await.ends_with("hello"));

    proxy.drain(Duration::ZERO);
    assert!(!here.exists(), "the end of the process takes it away");
}
