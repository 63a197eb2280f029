//! A connection whose bytes hyper reads when a test says so.

use std::{future::poll_fn, time::SystemTime};

use brownout_fault::{FaultSpec, FaultWriter, Moment, store};
use brownout_telemetry::Metrics;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::*;
use crate::upstream::Upstream;

struct World {
    socket: std::sync::Arc<ClientSocket>,
    /// Keeps the faults armed.
    _writer: FaultWriter,
    _client: TcpStream,
}

impl World {
    async fn with(fault: Value) -> Self {
        let (mut writer, reader) = store(7);
        let now = Moment {
            instant: std::time::Instant::now(),
            wall: SystemTime::now(),
        };
        writer
            .arm(vec![FaultSpec::read(&fault).unwrap()], now)
            .unwrap();
        let upstream = Upstream::parse("http://127.0.0.1:1").unwrap();
        let route = Route::new("web", upstream, &Metrics::new(), false);
        route.follow(&reader.plan());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (tcp, peer) = listener.accept().await.unwrap();
        let places = std::sync::Arc::new(Semaphore::new(1));
        let permit = places.try_acquire_owned().unwrap();
        Self {
            socket: ClientSocket::new(tcp, peer, 0, &route, reader, permit),
            _writer: writer,
            _client: client,
        }
    }

    fn arrive(&self, bytes: &'static [u8]) {
        self.socket
            .beneath(|beneath| beneath.arrive(Bytes::from_static(bytes)));
    }

    /// Serves the connection for so long. How often its task was polled for that.
    async fn serve(&self, span: Duration) -> u32 {
        let mut polls = 0;
        let mut over = std::pin::pin!(self.socket.over());
        let counted = poll_fn(|cx| {
            polls += 1;
            over.as_mut().poll(cx)
        });
        assert!(timeout(span, counted).await.is_err(), "it goes on");
        polls
    }

    async fn read(&self) -> Vec<u8> {
        let mut space = [0; 64];
        let mut buf = ReadBuf::new(&mut space);
        let read = poll_fn(|cx| {
            // What is due is moved beside it, as in the task of a connection.
            let read = self.socket.poll_read(cx, &mut buf);
            if read.is_pending() {
                let driven = self
                    .socket
                    .beneath(|beneath| beneath.poll_drive(&self.socket, cx));
                assert!(driven.is_pending());
            }
            read
        });
        let read = timeout(Duration::from_secs(20), read).await;
        read.expect("bytes come").unwrap();
        buf.filled().to_vec()
    }
}

#[tokio::test]
async fn bytes_that_hyper_does_not_read_cost_no_time_and_come_when_it_does() {
    for mut fault in [
        json!({ "latency": "5ms" }),
        json!({ "slicer": { "size": "5B", "gap": "30ms" } }),
    ] {
        fault["route"] = "web".into();
        fault["layer"] = "stream".into();
        fault["direction"] = "upstream".into();
        let world = World::with(fault.clone()).await;
        world.arrive(b"first");
        world.serve(Duration::from_millis(20)).await;
        world.arrive(b"other");

        let polls = world.serve(Duration::from_millis(200)).await;

        assert!(polls < 50, "{fault}: polled {polls} times");
        assert_eq!(world.read().await, b"first", "{fault}");
        assert_eq!(world.read().await, b"other", "{fault}");
    }
}

#[tokio::test]
async fn a_connection_is_held_up_only_while_a_fault_holds_something_or_stops_it() {
    let upstream = |mut fault: Value| {
        fault["route"] = "web".into();
        fault["layer"] = "stream".into();
        fault["direction"] = "upstream".into();
        fault
    };
    for (fault, before, during, after) in [
        (json!({ "latency": "50ms" }), false, true, false),
        (
            json!({ "slicer": { "size": "3B", "gap": "50ms" } }),
            false,
            true,
            false,
        ),
        (
            json!({ "stall": { "after_bytes": "5B", "for": "1h" } }),
            false,
            true,
            true,
        ),
        (json!({ "blackhole": {} }), true, true, true),
        (json!({ "limit_data": "1MB" }), false, true, false),
    ] {
        let world = World::with(upstream(fault.clone())).await;
        world.serve(Duration::from_millis(10)).await;
        assert_eq!(world.socket.is_held_up(), before, "{fault}: nothing came");

        world.arrive(b"12345");
        assert_eq!(world.socket.is_held_up(), during, "{fault}: bytes came");
        if fault.get("blackhole").is_none() {
            let mut read = 0;
            while read < 5 {
                read += world.read().await.len();
            }
        }
        assert_eq!(world.socket.is_held_up(), after, "{fault}: they are read");
    }
}
