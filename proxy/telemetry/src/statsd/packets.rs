use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use statsd::client::{Client, Pipeline, StatsdError};

use super::dialect::{Dialect, Label};
use crate::metrics::Distribution;

/// What passes every Ethernet without being split: 1500 bytes less headers and some for tunnels.
const BYTES_MAX: usize = 1432;

/// The most lines of single durations for one histogram and flush; neighbours are taken together above.
const DURATIONS_MAX: usize = 64;

/// Where packets go, in one dialect.
pub(super) struct Daemon {
    dialect: Dialect,
    way: Way,
}

enum Way {
    /// The statsd crate writes the original's lines. It does not tell what could not be sent.
    Crate(Client),
    /// Tags and rates it cannot write; a socket of our own, connected, so that it hears of a daemon that is not there.
    Socket(UdpSocket),
}

impl Daemon {
    pub(super) fn at(address: SocketAddr, dialect: Dialect) -> io::Result<Self> {
        let way = match dialect {
            Dialect::Etsy => Way::Crate(Client::new(address, "").map_err(|error| match error {
                StatsdError::IoError(error) => error,
                StatsdError::AddrParseError(text) => io::Error::other(text),
            })?),
            Dialect::Influx | Dialect::Datadog => {
                let any: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                // The thread has better to do than to wait for room; what does not fit is counted.
                socket.set_nonblocking(true)?;
                Way::Socket(socket)
            }
        };
        Ok(Self { dialect, way })
    }
}

/// Gathers lines and sends them in packets of at most [`BYTES_MAX`].
pub(super) struct Packets<'a> {
    daemon: &'a Daemon,
    /// Hold at most one packet's lines, the one or the other.
    pipeline: Pipeline,
    packet: String,
    bytes: usize,
    sent: Sent,
}

#[derive(Default)]
pub(super) struct Sent {
    pub(super) lines: u64,
    pub(super) packets: u64,
    pub(super) errors: u64,
}

/// A value and how it adds up.
#[derive(Clone, Copy)]
enum Value<'a> {
    Count(f64),
    Gauge(f64),
    /// Milliseconds, how many of them, and the daemon's word for durations.
    Duration(f64, u64, &'a str),
}

impl<'a> Packets<'a> {
    pub(super) fn to(daemon: &'a Daemon) -> Self {
        let mut pipeline = Pipeline::new();
        pipeline.set_max_udp_size(BYTES_MAX);
        Self {
            daemon,
            pipeline,
            packet: String::new(),
            bytes: 0,
            sent: Sent::default(),
        }
    }

    pub(super) fn count(&mut self, label: &Label, delta: u64) {
        // Whole up to 2⁵³, and prints as an integer.
        self.line(label, "", Value::Count(delta as f64));
    }

    pub(super) fn gauge(&mut self, label: &Label, value: f64) {
        self.gauge_part(label, "", value);
    }

    fn gauge_part(&mut self, label: &Label, part: &str, value: f64) {
        if value < 0.0 {
            // A sign means "change by" to the daemon.
            self.line(label, part, Value::Gauge(0.0));
        }
        self.line(label, part, Value::Gauge(value));
    }

    /// The number recorded as a counter, the rest as gauges: right in every daemon. Of an empty distribution only
    /// the number. Where the daemon can add up durations itself it gets them as well.
    pub(super) fn distribution(&mut self, label: &Label, recorded: &Distribution) {
        self.line(label, ".count", Value::Count(recorded.count() as f64));
        for (part, duration) in [
            (".p50", recorded.quantile(0.50)),
            (".p95", recorded.quantile(0.95)),
            (".p99", recorded.quantile(0.99)),
            (".max", recorded.max()),
            (".mean", recorded.mean()),
        ] {
            if let Some(duration) = duration {
                self.gauge_part(label, part, milliseconds(duration));
            }
        }
        if let Some(word) = self.daemon.dialect.takes_durations() {
            for (duration, count) in recorded.durations(DURATIONS_MAX) {
                let duration = milliseconds(duration);
                self.line(label, "", Value::Duration(duration, count, word));
            }
        }
    }

    pub(super) fn finish(mut self) -> Sent {
        self.send();
        self.sent
    }

    fn line(&mut self, label: &Label, part: &str, value: Value<'_>) {
        let Label { name, tags, end } = label;
        let (shown, rate) = match value {
            Value::Count(value) => (format!("{value}|c"), String::new()),
            Value::Gauge(value) => (format!("{value}|g"), String::new()),
            Value::Duration(value, 1, word) => (format!("{value}|{word}"), String::new()),
            Value::Duration(value, count, word) => (format!("{value}|{word}"), rate(count)),
        };
        let line = format!("{name}{part}{tags}:{shown}{rate}{end}");
        if self.bytes + 1 + line.len() > BYTES_MAX {
            self.send();
        }
        self.bytes += 1 + line.len();
        self.sent.lines += 1;
        match (&self.daemon.way, value) {
            (Way::Crate(_), Value::Count(value)) => {
                self.pipeline.count(&format!("{name}{part}"), value);
            }
            (Way::Crate(_), Value::Gauge(value)) => {
                self.pipeline.gauge(&format!("{name}{part}"), value);
            }
            (Way::Crate(_), Value::Duration(value, ..)) => {
                self.pipeline.timer(&format!("{name}{part}"), value);
            }
            (Way::Socket(_), _) => {
                if !self.packet.is_empty() {
                    self.packet.push('\n');
                }
                self.packet.push_str(&line);
            }
        }
    }

    fn send(&mut self) {
        if self.bytes == 0 {
            return;
        }
        match &self.daemon.way {
            Way::Crate(client) => self.pipeline.send(client),
            Way::Socket(socket) => {
                // An error of a connected socket is mostly that of the packet before; this one is still to go.
                if socket.send(self.packet.as_bytes()).is_err() {
                    self.sent.errors += 1;
                    if socket.send(self.packet.as_bytes()).is_err() {
                        self.sent.errors += 1;
                    }
                }
                self.packet.clear();
            }
        }
        self.sent.packets += 1;
        self.bytes = 0;
    }
}

/// `|@1/count`. Rounded down, because Telegraf takes a value as often as the whole part of 1/rate says.
fn rate(count: u64) -> String {
    const DIGITS: u64 = 1_000_000_000_000_000;
    format!("|@0.{:015}", DIGITS / count)
}

/// With three decimals at most.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_takes_the_whole_part_of_a_rate_gets_the_number() {
        for count in (2..2_000).chain([99_999, 1_000_000, 7_777_777]) {
            let rate = rate(count);
            let rate: f64 = rate.strip_prefix("|@").unwrap().parse().unwrap();

            assert_eq!((1.0 / rate).trunc(), count as f64, "{count}");
        }
    }
}
