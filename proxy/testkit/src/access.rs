//! What the proxies of this process log, caught before it becomes text: access lines, and the rest from INFO up.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, Once},
};

use brownout_proxy::ACCESS_LOG;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Lines of all proxies of this process, in the order in which they were logged.
static LINES: Mutex<Vec<Logged>> = Mutex::new(Vec::new());

struct Logged {
    is_access: bool,
    fields: Map<String, Value>,
}

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

/// The access lines of one route.
pub(crate) fn of_route(route: &str) -> Vec<Map<String, Value>> {
    let lines = lines();
    let access = lines.iter().filter(|line| line.is_access);
    let of_route = access.filter(|line| line.fields.get("route").is_some_and(|of| of == route));
    of_route.map(|line| line.fields.clone()).collect()
}

/// The other lines in which the route is named as a word of its own, in whatever field.
pub(crate) fn about_route(route: &str) -> Vec<Map<String, Value>> {
    let is_word = |text: &str| {
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        words.any(|word| word == route)
    };
    let lines = lines();
    let others = lines.iter().filter(|line| !line.is_access);
    let about_route = others.filter(|line| {
        let mut values = line.fields.values();
        values.any(|value| value.as_str().is_some_and(is_word))
    });
    about_route.map(|line| line.fields.clone()).collect()
}

fn lines() -> MutexGuard<'static, Vec<Logged>> {
    LINES.lock().expect("no test panicked in here")
}

/// Takes events of our own crates.
struct Catcher;

impl Subscriber for Catcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("brownout")
            && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(Map::new());
        event.record(&mut line);
        lines().push(Logged {
            is_access: event.metadata().target() == ACCESS_LOG,
            fields: line.0,
        });
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
