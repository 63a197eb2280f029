//! A statsd daemon that adds up what it is sent.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

/// How often the thread looks whether it is to end.
const POLL: Duration = Duration::from_millis(50);

/// What the kernel is asked to keep while the thread is busy; it may give less.
const BUFFER_BYTES: usize = 8 << 20;

/// Takes statsd lines over UDP, on a port and thread of its own. Dropping it closes the port.
#[derive(Debug)]
pub struct StatsdReceiver {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    totals: Mutex<StatsdTotals>,
    changed: Condvar,
    is_stopped: AtomicBool,
}

/// What a daemon would know after the same packets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatsdTotals {
    /// Sums by name; a value with `@rate` counts 1/rate times.
    pub counters: BTreeMap<String, f64>,
    /// Last values by name; a value with a sign changes the one before.
    pub gauges: BTreeMap<String, f64>,
    /// All timer values by name, in milliseconds, without regard to rates.
    pub timers: BTreeMap<String, Vec<f64>>,
    /// Lines that are none of these.
    pub malformed: Vec<String>,
    /// How many packets came.
    pub packets: usize,
    /// Size of the largest.
    pub packet_bytes_max: usize,
}

impl StatsdReceiver {
    /// Listens.
    ///
    /// # Panics
    /// When the system has no port or thread left.
    #[must_use]
    pub fn start() -> Self {
        let socket = listen().expect("a free port");
        let address = socket.local_addr().expect("the port was bound");
        let state = Arc::new(State::default());
        let receiving = Arc::clone(&state);
        let thread = thread::spawn(move || receiving.receive(&socket));
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What came so far.
    #[must_use]
    pub fn totals(&self) -> StatsdTotals {
        self.state.totals().clone()
    }

    /// What came so far of one counter; 0 where nothing did.
    #[must_use]
    pub fn counter(&self, name: &str) -> f64 {
        let totals = self.state.totals();
        totals.counters.get(name).copied().unwrap_or_default()
    }

    /// Waits until what came satisfies `condition`, and gives it.
    ///
    /// # Panics
    /// When it does not within `timeout`; shows what came.
    pub fn wait_until(
        &self,
        timeout: Duration,
        condition: impl Fn(&StatsdTotals) -> bool,
    ) -> StatsdTotals {
        let totals = self.state.totals();
        let (totals, waited) = self
            .state
            .changed
            .wait_timeout_while(totals, timeout, |it| !condition(it))
            .expect("the receiver did not panic");
        assert!(!waited.timed_out(), "not within {timeout:?}: {totals:#?}");
        totals.clone()
    }
}

impl Drop for StatsdReceiver {
    fn drop(&mut self) {
        self.state.is_stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok(); // Its panic was shown when it happened.
        }
    }
}

impl State {
    fn totals(&self) -> MutexGuard<'_, StatsdTotals> {
        self.totals.lock().expect("the receiver did not panic")
    }

    fn receive(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; 65_536];
        while !self.is_stopped.load(Ordering::Relaxed) {
            let bytes = match socket.recv(&mut buffer) {
                Ok(bytes) => bytes,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    continue;
                }
                Err(error) => panic!("the socket cannot be read: {error}"),
            };
            self.totals().add_packet(&buffer[..bytes]);
            self.changed.notify_all();
        }
    }
}

impl StatsdTotals {
    fn add_packet(&mut self, packet: &[u8]) {
        self.packets += 1;
        self.packet_bytes_max = self.packet_bytes_max.max(packet.len());
        for line in String::from_utf8_lossy(packet).split('\n') {
            if self.add_line(line).is_none() {
                self.malformed.push(line.to_owned());
            }
        }
    }

    /// `name:value|type`, perhaps with `|@rate`.
    fn add_line(&mut self, line: &str) -> Option<()> {
        let (name, rest) = line.split_once(':')?;
        let mut parts = rest.split('|');
        let text = parts.next()?;
        let value: f64 = text.parse().ok()?;
        let kind = parts.next()?;
        let rate: f64 = match parts.next() {
            Some(rate) => rate.strip_prefix('@')?.parse().ok()?,
            None => 1.0,
        };
        if name.is_empty() || parts.next().is_some() {
            return None;
        }
        match kind {
            "c" => *self.counters.entry(name.to_owned()).or_default() += value / rate,
            "g" if text.starts_with(['+', '-']) => {
                *self.gauges.entry(name.to_owned()).or_default() += value;
            }
            "g" => {
                self.gauges.insert(name.to_owned(), value);
            }
            "ms" => self.timers.entry(name.to_owned()).or_default().push(value),
            _ => return None,
        }
        Some(())
    }
}

fn listen() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.set_read_timeout(Some(POLL))?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_add_up_as_in_a_daemon() {
        let mut totals = StatsdTotals::default();

        totals.add_packet(b"a:1|c\na:2|c|@0.5\nb:5|g\nb:-2|g\nb:+1|g");
        totals.add_packet(b"t:1.5|ms\nt:2|ms");

        assert_eq!(totals.counters["a"], 5.0);
        assert_eq!(totals.gauges["b"], 4.0);
        assert_eq!(totals.timers["t"], [1.5, 2.0]);
        assert_eq!(totals.packets, 2);
        assert_eq!(totals.packet_bytes_max, 36);
        assert!(totals.malformed.is_empty());
    }

    #[test]
    fn lines_that_are_not_statsd_are_kept_apart() {
        let mut totals = StatsdTotals::default();

        totals.add_packet(b"a|c\na:x|c\n:1|c\na:1\na:1|c|0.5\na:1|c|@1|#tag:v\n");

        assert_eq!(totals.malformed.len(), 7);
        assert!(totals.counters.is_empty());
    }
}
