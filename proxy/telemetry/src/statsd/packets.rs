use std::time::Duration;

use statsd::client::{Client, Pipeline};

use crate::metrics::Distribution;

/// What passes every Ethernet without being split: 1500 bytes less headers and some for tunnels.
const BYTES_MAX: usize = 1432;

/// Gathers lines and sends them in packets of at most [`BYTES_MAX`].
pub(super) struct Packets<'a> {
    client: &'a Client,
    /// Holds at most one packet's lines, so that packets can be counted: the crate does not tell.
    pipeline: Pipeline,
    bytes: usize,
    sent: Sent,
}

#[derive(Default)]
pub(super) struct Sent {
    pub(super) lines: u64,
    pub(super) packets: u64,
}

impl<'a> Packets<'a> {
    pub(super) fn to(client: &'a Client) -> Self {
        let mut pipeline = client.pipeline();
        pipeline.set_max_udp_size(BYTES_MAX);
        Self {
            client,
            pipeline,
            bytes: 0,
            sent: Sent::default(),
        }
    }

    pub(super) fn count(&mut self, name: &str, delta: u64) {
        // Whole up to 2⁵³, and prints as an integer.
        let delta = delta as f64;
        self.make_room(name, delta);
        self.pipeline.count(name, delta);
    }

    pub(super) fn gauge(&mut self, name: &str, value: f64) {
        if value < 0.0 {
            // A sign means "change by" to the daemon.
            self.gauge(name, 0.0);
        }
        self.make_room(name, value);
        self.pipeline.gauge(name, value);
    }

    /// The number recorded as a counter, the rest as gauges: right in every daemon, where timers
    /// would be sampled. Of an empty distribution only the number.
    pub(super) fn distribution(&mut self, name: &str, recorded: &Distribution) {
        self.count(&format!("{name}.count"), recorded.count());
        for (part, duration) in [
            ("p50", recorded.quantile(0.50)),
            ("p95", recorded.quantile(0.95)),
            ("p99", recorded.quantile(0.99)),
            ("max", recorded.max()),
            ("mean", recorded.mean()),
        ] {
            if let Some(duration) = duration {
                self.gauge(&format!("{name}.{part}"), milliseconds(duration));
            }
        }
    }

    pub(super) fn finish(mut self) -> Sent {
        self.send();
        self.sent
    }

    fn make_room(&mut self, name: &str, value: f64) {
        let line = format!("{name}:{value}|c").len();
        if self.bytes + 1 + line > BYTES_MAX {
            self.send();
        }
        self.bytes += 1 + line;
        self.sent.lines += 1;
    }

    fn send(&mut self) {
        if self.bytes > 0 {
            self.pipeline.send(self.client);
            self.sent.packets += 1;
            self.bytes = 0;
        }
    }
}

/// With three decimals at most.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
