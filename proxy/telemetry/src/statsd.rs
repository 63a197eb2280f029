//! Sends every series to a statsd daemon, once an interval, from one thread.
//!
//! Counting never waits for this: the thread reads what the handles hold. A daemon that is not
//! there, or a network that swallows packets, loses values and slows nothing.

mod dialect;
mod labels;
mod packets;

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

pub use self::dialect::{Dialect, UnknownDialect};
use self::{
    dialect::Label,
    labels::Labels,
    packets::{Daemon, Packets},
};
use crate::{
    metrics::{Counter, Distribution, Family, Gauge, Histogram, Id, Metrics},
    names,
};

/// How often the daemon's name is looked up again, for daemons that move.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// The same while the name is not known. What is counted meanwhile is sent when it is.
const RESOLVE_UNKNOWN_EVERY: Duration = Duration::from_secs(5);

/// The flush thread, seen from outside. Dropping it ends the thread without a last flush.
#[derive(Debug)]
pub(crate) struct Flusher {
    commands: Sender<Command>,
}

enum Command {
    Flush { done: Sender<()> },
    Stop { done: Sender<()> },
}

impl Flusher {
    /// Starts the thread. The caller has looked `address` up, and found `daemon` or nothing.
    pub(crate) fn start(
        address: String,
        daemon: Option<SocketAddr>,
        dialect: Dialect,
        interval: Duration,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let daemon = match daemon {
            Some(at) => Some((at, Daemon::at(at, dialect)?)),
            None => None,
        };
        let (commands, received) = mpsc::channel();
        let flush = Flush::new(address, daemon, dialect, metrics);
        thread::Builder::new()
            .name("brownout-statsd".into())
            .spawn(move || flush.run(interval, &received))?;
        Ok(Self { commands })
    }

    /// Flushes now. Tells whether it was done within `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        self.ask(timeout, |done| Command::Flush { done })
    }

    /// Flushes a last time and ends the thread. Tells whether it was done within `timeout`, or
    /// before; if not it is done later.
    pub(crate) fn stop(&self, timeout: Duration) -> bool {
        self.ask(timeout, |done| Command::Stop { done })
    }

    fn ask(&self, timeout: Duration, command: impl FnOnce(Sender<()>) -> Command) -> bool {
        let (done, is_done) = mpsc::channel();
        // Neither arrives at a thread that has ended, which leaves nothing to wait for.
        self.commands.send(command(done)).ok();
        is_done.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout)
    }
}

/// The address to send to: the first of IPv4 if there is one, because that is where statsd daemons
/// listen by default, also where `localhost` means `::1` first.
pub(crate) fn resolve(address: &str) -> io::Result<SocketAddr> {
    let found: Vec<_> = address.to_socket_addrs()?.collect();
    found
        .iter()
        .find(|address| address.is_ipv4())
        .or_else(|| found.first())
        .copied()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// Looks the daemon up. A name that is not known is not wrong: it may be before long.
///
/// # Errors
/// When `address` is not host and port.
pub(crate) fn find(address: &str) -> io::Result<Option<SocketAddr>> {
    match resolve(address) {
        Ok(daemon) => Ok(Some(daemon)),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(error),
        Err(error) => {
            tracing::warn!(address, %error, "the statsd daemon is not found; it is looked up again every 5 s");
            Ok(None)
        }
    }
}

/// What the thread knows: where to send, and of each series its name there and what was sent.
struct Flush {
    /// Nothing while its name is not known.
    daemon: Option<(SocketAddr, Daemon)>,
    address: String,
    resolved_at: Instant,
    dialect: Dialect,
    metrics: Metrics,
    labels: Labels,
    counters: Known<Counter, Option<u64>>,
    gauges: Known<Gauge, ()>,
    histograms: Known<Histogram, Option<Distribution>>,
    lines: Counter,
    packets: Counter,
    errors: Counter,
}

/// The series of one kind, by their numbers in the registry, and what was sent of each: nothing before the first
/// flush, so that a zero is sent once and the series exists.
struct Known<T, S> {
    series: BTreeMap<u64, Sent<T, S>>,
    /// The first number that is not known.
    next: u64,
    /// Those that ended in the registry, to be sent once more.
    ended: Vec<u64>,
}

struct Sent<T, S> {
    id: Id,
    label: Label,
    instrument: T,
    sent: S,
}

impl<T: Clone + Default, S: Default> Known<T, S> {
    /// Takes note of what came and what ended since the last time.
    fn meet(&mut self, family: &mut Family<T>, labels: &mut Labels) {
        let mut add = |number, id: &Id, instrument: &T| {
            let sent = Sent {
                label: labels.take(id),
                id: id.clone(),
                instrument: instrument.clone(),
                sent: S::default(),
            };
            self.series.insert(number, sent);
        };
        for (number, series) in family.take_ended() {
            if number >= self.next {
                add(number, &series.id, &series.instrument);
            }
            self.ended.push(number);
        }
        for (number, series) in family.since(self.next) {
            add(number, &series.id, &series.instrument);
        }
        self.next = family.next();
    }

    /// Drops what has been sent for the last time.
    fn forget(&mut self, labels: &mut Labels) {
        for number in self.ended.drain(..) {
            if let Some(series) = self.series.remove(&number) {
                labels.give_back(&series.id);
            }
        }
    }
}

impl<T, S> Default for Known<T, S> {
    fn default() -> Self {
        Self {
            series: BTreeMap::new(),
            next: 0,
            ended: Vec::new(),
        }
    }
}

impl Flush {
    fn new(
        address: String,
        daemon: Option<(SocketAddr, Daemon)>,
        dialect: Dialect,
        metrics: Metrics,
    ) -> Self {
        metrics.table().is_followed = true;
        Self {
            daemon,
            address,
            resolved_at: Instant::now(),
            dialect,
            lines: metrics.counter(names::TELEMETRY_STATSD_LINES, &[]),
            packets: metrics.counter(names::TELEMETRY_STATSD_PACKETS, &[]),
            errors: metrics.counter(names::TELEMETRY_STATSD_SEND_ERRORS, &[]),
            labels: Labels::of(dialect),
            counters: Known::default(),
            gauges: Known::default(),
            histograms: Known::default(),
            metrics,
        }
    }

    fn run(mut self, interval: Duration, commands: &Receiver<Command>) {
        let mut flushed = Instant::now();
        loop {
            match commands.recv_timeout(interval.saturating_sub(flushed.elapsed())) {
                Err(RecvTimeoutError::Timeout) => {
                    flushed = Instant::now();
                    self.flush();
                }
                Ok(Command::Flush { done }) => {
                    self.flush();
                    done.send(()).ok(); // The asker may have stopped waiting.
                }
                Ok(Command::Stop { done }) => {
                    self.flush();
                    done.send(()).ok();
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn flush(&mut self) {
        self.follow_daemon();
        let Some((_, daemon)) = &self.daemon else {
            return;
        };
        {
            let table = &mut *self.metrics.table();
            self.counters.meet(&mut table.counters, &mut self.labels);
            self.gauges.meet(&mut table.gauges, &mut self.labels);
            self.histograms
                .meet(&mut table.histograms, &mut self.labels);
        }

        let mut packets = Packets::to(daemon);
        for it in self.counters.series.values_mut() {
            let total = it.instrument.total();
            let delta = total - it.sent.unwrap_or(0);
            if delta > 0 || it.sent.is_none() {
                packets.count(&it.label, delta);
            }
            it.sent = Some(total);
        }
        for it in self.gauges.series.values() {
            packets.gauge(&it.label, it.instrument.value() as f64);
        }
        for it in self.histograms.series.values_mut() {
            let now = it.instrument.distribution();
            let recorded = now.since(it.sent.as_ref().unwrap_or(&Distribution::EMPTY));
            if recorded.count() > 0 || it.sent.is_none() {
                packets.distribution(&it.label, &recorded);
            }
            it.sent = Some(now);
        }
        let sent = packets.finish();

        self.counters.forget(&mut self.labels);
        self.gauges.forget(&mut self.labels);
        self.histograms.forget(&mut self.labels);
        self.lines.add(sent.lines);
        self.packets.add(sent.packets);
        self.errors.add(sent.errors);
    }

    /// Looks the daemon's name up again from time to time. What fails here is tried again then.
    fn follow_daemon(&mut self) {
        let (known, every) = match &self.daemon {
            Some((address, _)) => (Some(*address), RESOLVE_EVERY),
            None => (None, RESOLVE_UNKNOWN_EVERY),
        };
        if self.resolved_at.elapsed() < every {
            return;
        }
        self.resolved_at = Instant::now();
        if let Ok(address) = resolve(&self.address)
            && Some(address) != known
            && let Ok(daemon) = Daemon::at(address, self.dialect)
        {
            self.daemon = Some((address, daemon));
        }
    }
}

/// What is sent of the series of `metrics`, each with the value 1, or 12.5 ms recorded twice.
pub(crate) fn example(dialect: Dialect, metrics: &Metrics) -> Vec<String> {
    let table = metrics.table();
    let line = |label: &Label, part: &str, value: &str| {
        let Label { name, tags, end } = label;
        format!("{name}{part}{tags}:{value}{end}")
    };
    let (mut lines, mut labels) = (Vec::new(), Labels::of(dialect));
    // The first is of every registry.
    for (_, series) in table.counters.since(1) {
        lines.push(line(&labels.take(&series.id), "", "1|c"));
    }
    for (_, series) in table.histograms.since(0) {
        let label = labels.take(&series.id);
        lines.push(line(&label, ".count", "2|c"));
        lines.push(line(&label, ".p50", "12.5|g"));
        if let Some(word) = dialect.takes_durations() {
            let value = format!("12.5|{word}|@0.500000000000000");
            lines.push(line(&label, "", &value));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn what_is_counted_before_the_daemon_is_known_is_sent_when_it_is() {
        let metrics = Metrics::new();
        let requests = metrics.counter(names::PROXY_REQUESTS, &["web"]);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut flush = Flush::new(
            socket.local_addr().unwrap().to_string(),
            None,
            Dialect::Etsy,
            metrics,
        );

        requests.add(2);
        flush.flush();
        requests.add(1);
        flush.resolved_at = Instant::now()
            .checked_sub(RESOLVE_UNKNOWN_EVERY)
            .expect("the machine has run for some seconds");
        flush.flush();

        let mut packet = [0; 2048];
        let bytes = socket.recv(&mut packet).unwrap();
        let lines = str::from_utf8(&packet[..bytes]).unwrap();
        assert!(
            lines.lines().any(|line| line == "proxy.requests.web:3|c"),
            "{lines}"
        );
    }
}
