//! Sockets that were used before, with the bytes that are left of that.

use std::time::{Duration, Instant, SystemTime};

use brownout_fault::{FaultSpec, FaultWriter, Moment, store};
use brownout_telemetry::Metrics;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    time::timeout,
};

use super::*;
use crate::upstream::Upstream;

/// A relay between two sockets, and the other ends of both.
struct World {
    route: Arc<Route>,
    reader: FaultReader,
    _writer: FaultWriter,
    timer: Timer,
    counts: Counts,
    /// The proxy's ends.
    client: TcpStream,
    upstream: TcpStream,
}

impl World {
    async fn with(faults: &[Value]) -> (Self, TcpStream, TcpStream) {
        let (mut writer, reader) = store(7);
        let now = Moment {
            instant: Instant::now(),
            wall: SystemTime::now(),
        };
        for fault in faults {
            let mut fault = fault.clone();
            fault["route"] = "db".into();
            let spec = FaultSpec::read(&fault).unwrap();
            writer.arm(vec![spec], now).unwrap();
        }
        let upstream = Upstream::parse("tcp://127.0.0.1:1").unwrap();
        let timer = Timer::new();
        tokio::task::spawn_local(timer.clone().run());
        let (client, far_client) = pair().await;
        let (upstream_socket, far_upstream) = pair().await;
        let world = Self {
            route: Route::new(
                "db",
                upstream,
                &Metrics::new(),
                false,
                reader.caller_faults("db"),
            ),
            reader,
            _writer: writer,
            timer,
            counts: Counts::default(),
            client,
            upstream: upstream_socket,
        };
        (world, far_client, far_upstream)
    }

    fn shaper(&self, direction: Direction) -> StreamShaper {
        let peer = ([127, 0, 0, 1], 40_000).into();
        let mut shaper = StreamShaper::new(&self.route, peer, 0, direction);
        shaper.refresh(&self.reader);
        shaper
    }

    fn start(&self, direction: Direction) -> Start {
        Start::new(self.shaper(direction))
    }

    async fn run(&self, from_client: Start, from_upstream: Start) -> Outcome {
        let relay = Relay {
            client: &self.client,
            upstream: &self.upstream,
            route: &self.route,
            faults: &self.reader,
            timer: &self.timer,
            counts: &self.counts,
        };
        relay.run(from_client, from_upstream).await
    }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (far, near) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap().0, far.unwrap())
}

/// Carries out a test on a core of its own, within bounds.
fn on_a_core(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    let patience = Duration::from_secs(20);
    let done = runtime.block_on(async { timeout(patience, test).await });
    assert!(done.is_ok(), "it did not end");
}

#[test]
fn bytes_that_were_read_before_come_first_and_all_are_counted() {
    on_a_core(async {
        let (world, mut client, mut upstream) = World::with(&[]).await;
        let mut from_client = world.start(Direction::Upstream);
        from_client.unwritten = Bytes::from_static(b"first ");
        from_client.shaper.push(Bytes::from_static(b"second "));
        client.write_all(b"third").await.unwrap();
        client.shutdown().await.unwrap();
        upstream.write_all(b"answer").await.unwrap();

        let both = async {
            let mut asked = Vec::new();
            upstream.read_to_end(&mut asked).await.unwrap();
            upstream.shutdown().await.unwrap();
            asked
        };
        let from_upstream = world.start(Direction::Downstream);
        let (outcome, asked) = tokio::join!(world.run(from_client, from_upstream), both);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();

        assert_eq!(asked, b"first second third");
        assert_eq!(answer, b"answer");
        assert!(
            matches!(outcome.ending, RelayEnding::Complete),
            "{outcome:?}"
        );
        assert_eq!((outcome.bytes_in, outcome.bytes_out), (18, 6));
        assert_eq!(world.route.bytes_in.total(), 18);
    });
}

#[test]
fn an_end_that_was_read_before_still_comes_behind_what_a_fault_holds() {
    on_a_core(async {
        let fault = json!({ "latency": "30ms", "direction": "upstream" });
        let (world, mut client, mut upstream) = World::with(&[fault]).await;
        let mut from_client = world.start(Direction::Upstream);
        from_client.shaper.push(Bytes::from_static(b"held"));
        from_client.shaper.end();
        from_client.has_ended = true;
        let began = Instant::now();

        let both = async {
            let mut asked = Vec::new();
            upstream.read_to_end(&mut asked).await.unwrap();
            upstream.shutdown().await.unwrap();
            asked
        };
        let from_upstream = world.start(Direction::Downstream);
        let (outcome, asked) = tokio::join!(world.run(from_client, from_upstream), both);

        assert_eq!(asked, b"held");
        assert!(began.elapsed() >= Duration::from_millis(30));
        assert!(
            matches!(outcome.ending, RelayEnding::Complete),
            "{outcome:?}"
        );
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn the_ending_says_what_ended_it() {
    on_a_core(async {
        for (fault, expected) in [
            (
                json!({ "reset": { "after_bytes": "4B" }, "direction": "upstream" }),
                "a fault reset it",
            ),
            (
                json!({ "limit_data": { "bytes": "4B" }, "direction": "upstream" }),
                "a fault closed it",
            ),
        ] {
            let (world, mut client, mut upstream) = World::with(&[fault]).await;
            client.write_all(b"12345678").await.unwrap();

            let read = async {
                let mut four = [0; 4];
                upstream.read_exact(&mut four).await.unwrap();
                drop(upstream);
                drop(client);
            };
            let starts = [Direction::Upstream, Direction::Downstream];
            let [from_client, from_upstream] = starts.map(|direction| world.start(direction));
            let (outcome, ()) = tokio::join!(world.run(from_client, from_upstream), read);

            assert_eq!(outcome.ending.to_string(), expected);
            assert_eq!((outcome.bytes_in, outcome.bytes_out), (4, 0));
        }
    });
}

#[test]
fn a_side_that_breaks_breaks_the_other() {
    on_a_core(async {
        let (world, mut client, upstream) = World::with(&[]).await;
        upstream.set_zero_linger().unwrap();
        drop(upstream);

        let starts = [Direction::Upstream, Direction::Downstream];
        let [from_client, from_upstream] = starts.map(|direction| world.start(direction));
        let outcome = world.run(from_client, from_upstream).await;
        drop(world);

        assert!(
            matches!(outcome.ending, RelayEnding::Broken(_)),
            "{outcome:?}"
        );
        let broken = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_relay_that_is_dropped_has_counted_what_it_wrote() {
    on_a_core(async {
        let (world, mut client, mut upstream) = World::with(&[]).await;
        client.write_all(b"12345").await.unwrap();
        let mut five = [0; 5];
        let starts = [Direction::Upstream, Direction::Downstream];
        let [from_client, from_upstream] = starts.map(|direction| world.start(direction));

        tokio::select! {
            _ = world.run(from_client, from_upstream) => panic!("nobody has ended it"),
            read = upstream.read_exact(&mut five) => assert_eq!(read.unwrap(), 5),
        }

        assert_eq!(world.counts.bytes_in.get(), 5);
    });
}
