//! What the tests are told in: services, upstreams that misbehave, and questions to both.

use std::{net::SocketAddr, time::Duration};

use brownout_resilience::Policy;
use brownout_telemetry::{Metrics, Value};
use brownout_testkit::{RawClient, RawMessage, TestUpstream};
use bytes::Bytes;
use demo_services::{Running, Service, ServiceConfig, Stats, start};
use http_body_util::Full;
use hyper::Response;
use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream},
    sync::watch,
};

/// What the authentication service says of a user who may see everything.
pub(crate) const USER: &str = r#"{"uuid":"f180f501-2378-4292-b364-d4a0d1b52c51","permissions":["can_view_recommendations","can_view_homepage"]}"#;

pub(crate) const WHOLE_PAGE: &str = r#"{"recommendations":[12,23,100,122,220,333,340,400,555,654],"popular_items":[1,2,3,4,5,6,7,8,9,10]}"#;
pub(crate) const PAGE_WITHOUT_RECOMMENDATIONS: &str =
    r#"{"recommendations":[],"popular_items":[1,2,3,4,5,6,7,8,9,10]}"#;

/// A service that loses no time.
pub(crate) fn quick(service: Service) -> ServiceConfig {
    ServiceConfig {
        work: Duration::ZERO,
        ..ServiceConfig::new(service)
    }
}

fn url(running: &Running) -> String {
    format!("http://{}", running.address())
}

/// All four services, or the homepage with other upstreams than it thinks.
pub(crate) struct System {
    pub(crate) homepage: Running,
    pub(crate) recommendations: Running,
    pub(crate) authentication: Running,
    pub(crate) popular_items: Running,
}

impl System {
    pub(crate) async fn start() -> Self {
        Self::with(|homepage| homepage).await
    }

    /// With another set-up of the homepage.
    pub(crate) async fn with(set_up: impl FnOnce(ServiceConfig) -> ServiceConfig) -> Self {
        Self::of(quick, set_up).await
    }

    /// Of services that begin as `config` says.
    pub(crate) async fn of(
        config: impl Fn(Service) -> ServiceConfig,
        set_up: impl FnOnce(ServiceConfig) -> ServiceConfig,
    ) -> Self {
        let authentication = start(config(Service::Authentication)).await.unwrap();
        let popular_items = start(config(Service::PopularItems)).await.unwrap();
        let recommendations =
            config(Service::Recommendations).calling(Service::Authentication, url(&authentication));
        let recommendations = start(recommendations).await.unwrap();
        let homepage = config(Service::Homepage)
            .calling(Service::Authentication, url(&authentication))
            .calling(Service::Recommendations, url(&recommendations))
            .calling(Service::PopularItems, url(&popular_items));
        Self {
            homepage: start(set_up(homepage)).await.unwrap(),
            recommendations,
            authentication,
            popular_items,
        }
    }

    /// A page for a user who may see it.
    pub(crate) async fn page(&self) -> RawMessage {
        get(self.homepage.address(), "/").await
    }
}

/// The policy that a file says.
pub(crate) fn policy(text: &str) -> Policy {
    Policy::from_toml("test", text).unwrap()
}

/// Asks with a token, on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> RawMessage {
    ask(address, &format!("GET {path}"), Some("Token 0x132")).await
}

/// Asks on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, what: &str, token: Option<&str>) -> RawMessage {
    let mut client = RawClient::connect(address).await;
    client.send(request(what, token)).await;
    client.response().await
}

pub(crate) fn request(what: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("Authorization: {token}\r\n"));
    format!(
        "{what} HTTP/1.1\r\nHost: test\r\n{}\r\n",
        token.unwrap_or_default()
    )
}

pub(crate) async fn stats(service: &Running) -> Stats {
    let answer = ask(service.address(), "GET /stats", None).await;
    assert_eq!(answer.status(), 200);
    serde_json::from_slice(&answer.body).unwrap()
}

/// Asks for `stats` until they satisfy `condition`.
pub(crate) async fn stats_until(
    what: &str,
    service: &Running,
    condition: impl Fn(&Stats) -> bool,
) -> Stats {
    brownout_testkit::within(what, async {
        loop {
            let stats = stats(service).await;
            if condition(&stats) {
                return stats;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// What a counter holds; 0 if there is none of this name. Of several with tags, the sum.
pub(crate) fn count(metrics: &Metrics, name: &str) -> u64 {
    let samples = metrics.snapshot();
    let named = samples.iter().filter(|sample| sample.name == name);
    named
        .map(|sample| match sample.value {
            Value::Counter(total) => total,
            Value::Gauge(_) | Value::Histogram(_) => panic!("{name} is no counter"),
        })
        .sum()
}

/// An upstream that answers with `status` and `body`.
pub(crate) async fn answering(status: u16, body: &'static str) -> TestUpstream {
    TestUpstream::serving(move |_| async move { reply(status, body) }).await
}

fn reply(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status.try_into().unwrap();
    answer
}

/// A plain TCP server that waits for a request and resets the connection.
pub(crate) async fn resetting() -> TestUpstream {
    TestUpstream::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await
}

/// A plain TCP server that answers every request with these bytes and closes.
pub(crate) async fn saying(bytes: &'static str) -> TestUpstream {
    TestUpstream::raw(move |stream| async move {
        let mut connection = RawClient::over(stream);
        connection.request().await;
        connection.send(bytes).await;
    })
    .await
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

/// A URL where connections are refused. The port stays taken for as long as the socket lives.
pub(crate) fn refusing() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

/// An upstream that answers nobody until it is released, and everybody from then on.
pub(crate) struct Held {
    pub(crate) upstream: TestUpstream,
    released: watch::Sender<bool>,
}

impl Held {
    pub(crate) async fn answering(body: &'static str) -> Self {
        let released = watch::Sender::new(false);
        let wait = released.subscribe();
        let upstream = TestUpstream::serving(move |_| {
            let mut wait = wait.clone();
            async move {
                wait.wait_for(|released| *released).await.unwrap();
                reply(200, body)
            }
        })
        .await;
        Self { upstream, released }
    }

    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}
