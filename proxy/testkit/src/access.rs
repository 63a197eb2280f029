//! The lines that requests leave in the log, caught before they become text.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, Once},
};

use brownout_proxy::ACCESS_LOG;
use serde_json::{Map, Value};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Lines of all proxies of this process, in the order in which they were logged.
static LINES: Mutex<Vec<Map<String, Value>>> = Mutex::new(Vec::new());

/// Catches the lines of this process from now on, those of all threads.
///
/// # Panics
/// When the process has another subscriber already.
pub(crate) fn catch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(Catcher)
            .expect("no test sets a subscriber of its own");
    });
}

/// The lines of one route.
pub(crate) fn of_route(route: &str) -> Vec<Map<String, Value>> {
    let lines = lines();
    let of_route = lines.iter().filter(|line| line["route"] == route);
    of_route.cloned().collect()
}

fn lines() -> MutexGuard<'static, Vec<Map<String, Value>>> {
    LINES.lock().expect("no test panicked in here")
}

/// Takes the events of the target of access lines and nothing else.
struct Catcher;

impl Subscriber for Catcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == ACCESS_LOG
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(Map::new());
        event.record(&mut line);
        // A line without a route belongs to no proxy of a test.
        if line.0.contains_key("route") {
            lines().push(line.0);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(Map<String, Value>);

impl Line {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
