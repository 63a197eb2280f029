//! The API seen from outside: real calls over real sockets, before a real proxy.

#![expect(clippy::unwrap_used, reason = "tests: a failure is a panic")]

mod attacks;
mod caller_faults;
mod calling;
mod control_tls;
mod counters;
mod ended;
mod events;
mod explaining;
mod faults;
mod guarding;
mod halting;
mod kinds;
mod limits;
mod matching;
mod openapi;
mod ops;
mod promise;
mod requests;
mod routes;
mod schedules;
mod servers;
mod sharing;
mod streams;
mod tls;
mod toxiproxy;
mod wrong_calls;

use std::net::SocketAddr;

use brownout_control_api::{Audit, ControlApi, ControlConfig, Ops, new_route};
use brownout_fault::store;
use brownout_proxy::{Gateway, GatewayConfig};
use brownout_telemetry::{Metrics, Tracer};
use brownout_testkit::{RawClient, RawMessage, TestUpstream, within};
use brownout_wire::RouteSpec;
use serde_json::{Value, json};

/// An upstream, a gateway with the route `web` before it, and the API.
struct World {
    upstream: TestUpstream,
    proxy: SocketAddr,
    api: ControlApi,
    metrics: Metrics,
    ops: Ops,
    /// Carries traffic as long as it is there.
    _gateway: Gateway,
}

impl World {
    async fn start() -> Self {
        Self::before(TestUpstream::replying("hello").await).await
    }

    /// The same before another upstream.
    async fn before(upstream: TestUpstream) -> Self {
        Self::keeping(upstream, GatewayConfig::JOURNAL_CAPACITY).await
    }

    /// The same, with so many records of requests.
    #[expect(clippy::unused_async, reason = "the API wants a runtime around it")]
    async fn keeping(upstream: TestUpstream, journal_capacity: usize) -> Self {
        let (writer, reader) = store(42);
        let metrics = Metrics::new();
        let gateway = Gateway::start(GatewayConfig {
            cores: 2,
            metrics: metrics.clone(),
            journal_capacity,
            ..GatewayConfig::new(reader)
        })
        .unwrap();
        let route = RouteSpec::read(&json!({
            "name": "web", "listen": "127.0.0.1:0", "upstream": upstream.url(),
        }));
        let route = gateway
            .handle()
            .add_route(new_route(&route.unwrap()).unwrap())
            .unwrap();
        let ops = Ops::new(writer, gateway.handle(), &metrics, Audit::log());
        let api = ControlApi::start(ControlConfig {
            listen: "127.0.0.1:0".to_owned(),
            insecure: false,
            token: None,
            read_token: None,
            allow_hosts: Vec::new(),
            tls: None,
            connections_max: ControlConfig::CONNECTIONS_MAX,
            ops: ops.clone(),
            metrics: metrics.clone(),
            tracer: Tracer::off(),
        })
        .unwrap();
        Self {
            upstream,
            proxy: route.listen.tcp().unwrap(),
            api,
            metrics,
            ops,
            _gateway: gateway,
        }
    }

    /// A call with a body as bytes.
    async fn raw(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> RawMessage {
        let body = body.as_ref();
        let mut client = RawClient::connect(self.api.address()).await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            self.api.address(),
            body.len()
        );
        client.send(head).await;
        client.send(body).await;
        client.response().await
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let response = self.raw(method, path, body).await;
        let value = match response.body.as_slice() {
            b"" => Value::Null,
            bytes => serde_json::from_slice(bytes).unwrap(),
        };
        (response.status(), value)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, Value::Null).await
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        self.call("DELETE", path, Value::Null).await
    }

    /// Arms a fault. How it was understood.
    async fn arm(&self, fault: Value) -> Value {
        let (status, armed) = self.call("POST", "/faults", fault).await;
        assert_eq!(status, 201, "{armed}");
        armed
    }

    /// The status of each of these requests, whole heads without the empty line, on a connection of its own.
    async fn statuses(&self, heads: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<u16> {
        let mut statuses = Vec::new();
        for head in heads {
            let mut client = RawClient::connect(self.proxy).await;
            let request = format!("{}\r\n\r\n", head.as_ref());
            statuses.push(client.exchange(request).await.0.status());
        }
        statuses
    }

    /// Waits until the fault holds one request.
    async fn until_held(&self, id: &str) {
        let held = async {
            while self.get(&format!("/faults/{id}")).await.1["counters"]["active"] != 1 {}
        };
        within("a request to be held", held).await;
    }

    /// Waits until so many requests have ended, as the record of them is written after a client has its answer, and gives the list.
    async fn ended(&self, count: usize) -> Value {
        let read = async {
            loop {
                let (_, list) = self.get("/requests?state=ended").await;
                if list["requests"].as_array().unwrap().len() == count {
                    return list;
                }
            }
        };
        within("the requests to end", read).await
    }

    /// The status of a request through the proxy.
    async fn through(&self, path: &str) -> u16 {
        let mut client = RawClient::connect(self.proxy).await;
        client.get(path).await;
        client.response().await.status()
    }
}
