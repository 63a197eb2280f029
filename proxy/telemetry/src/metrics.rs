//! Counters, gauges and histograms, and the registry that knows them all.

mod counter;
mod gauge;
mod histogram;

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

pub use self::{
    counter::Counter,
    gauge::Gauge,
    histogram::{Distribution, Histogram},
};
use crate::names::{self, CounterName, GaugeName, HistogramName, Metric};

/// Every series of the process.
///
/// Ask once for each handle, when routes, faults or configuration change, and keep it: asking
/// takes a lock, counting does not. Asking again for the same name and tag values gives the same
/// series. Cloning gives another handle to the same registry.
///
/// At most [`Metrics::MAX_SERIES`] series are kept apart. Beyond that, what is asked for is
/// counted under the same name with `other` for every tag value.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    table: Mutex<Table>,
    overflow: Counter,
}

/// All series by kind, each kind in the order in which its series came.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) counters: Family<Counter>,
    pub(crate) gauges: Family<Gauge>,
    pub(crate) histograms: Family<Histogram>,
}

#[derive(Debug)]
pub(crate) struct Family<T> {
    pub(crate) series: Vec<(Id, T)>,
    places: HashMap<Id, usize>,
}

/// What tells series of one kind apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub(crate) name: Cow<'static, str>,
    tag_keys: &'static [&'static str],
    pub(crate) tag_values: Box<[Box<str>]>,
}

/// One series as it was when [`Metrics::snapshot`] read it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// For example `proxy.requests`.
    pub name: Cow<'static, str>,
    /// Keys and values, in the order of the names table.
    pub tags: Vec<(&'static str, Box<str>)>,
    /// What it held.
    pub value: Value,
}

/// What a series held.
#[derive(Debug, Clone)]
pub enum Value {
    /// The sum since the start.
    Counter(u64),
    /// The value now.
    Gauge(i64),
    /// All durations since the start.
    Histogram(Distribution),
}

impl Metrics {
    /// How many series are kept apart.
    pub const MAX_SERIES: usize = 1000;

    /// An empty registry, good by itself where nothing is to be sent.
    #[must_use]
    pub fn new() -> Self {
        let mut table = Table::default();
        let overflow = table
            .counters
            .get_or_insert(Id::tagged(names::TELEMETRY_SERIES_OVERFLOW.0, &[]));
        Self(Arc::new(Registry {
            table: Mutex::new(table),
            overflow,
        }))
    }

    /// The counter `name` with these tag values, in the order of its keys.
    #[must_use]
    pub fn counter<const TAGS: usize>(
        &self,
        name: CounterName<TAGS>,
        tag_values: &[&str; TAGS],
    ) -> Counter {
        self.handle(Id::tagged(name.0, tag_values), |table| &mut table.counters)
    }

    /// The gauge `name` with these tag values, in the order of its keys.
    #[must_use]
    pub fn gauge<const TAGS: usize>(
        &self,
        name: GaugeName<TAGS>,
        tag_values: &[&str; TAGS],
    ) -> Gauge {
        self.handle(Id::tagged(name.0, tag_values), |table| &mut table.gauges)
    }

    /// The histogram `name` with these tag values, in the order of its keys.
    #[must_use]
    pub fn histogram<const TAGS: usize>(
        &self,
        name: HistogramName<TAGS>,
        tag_values: &[&str; TAGS],
    ) -> Histogram {
        self.handle(Id::tagged(name.0, tag_values), |table| {
            &mut table.histograms
        })
    }

    /// A counter outside the table, without tags, whose name is made at run time because a service
    /// or a path is part of it: `homepage.get`, `/recommendations.timeout`.
    #[must_use]
    pub fn counter_named(&self, name: impl Into<String>) -> Counter {
        self.handle(Id::untagged(name.into()), |table| &mut table.counters)
    }

    /// As [`counter_named`](Self::counter_named), a histogram: `homepage.latency`.
    #[must_use]
    pub fn histogram_named(&self, name: impl Into<String>) -> Histogram {
        self.handle(Id::untagged(name.into()), |table| &mut table.histograms)
    }

    /// Reads every series, sorted by name and tag values.
    ///
    /// Each value is exact; together they are of nearly, not exactly, the same moment.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        {
            let table = self.table();
            samples.extend(table.counters.samples(|it| Value::Counter(it.total())));
            samples.extend(table.gauges.samples(|it| Value::Gauge(it.value())));
            samples.extend(
                table
                    .histograms
                    .samples(|it| Value::Histogram(it.distribution())),
            );
        }
        samples.sort_by(|a, b| (&a.name, &a.tags).cmp(&(&b.name, &b.tags)));
        samples
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.0
            .table
            .lock()
            .expect("nothing panics while it holds the table")
    }

    fn handle<T: Clone + Default>(
        &self,
        id: Id,
        family: impl Fn(&mut Table) -> &mut Family<T>,
    ) -> T {
        let mut table = self.table();
        let room = table.len() < Self::MAX_SERIES;
        let family = family(&mut table);
        if room || family.places.contains_key(&id) {
            return family.get_or_insert(id);
        }
        self.0.overflow.add(1);
        family.get_or_insert(id.other())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    fn len(&self) -> usize {
        self.counters.series.len() + self.gauges.series.len() + self.histograms.series.len()
    }
}

impl<T: Clone + Default> Family<T> {
    fn get_or_insert(&mut self, id: Id) -> T {
        let next = self.series.len();
        let place = *self.places.entry(id.clone()).or_insert(next);
        if place == next {
            self.series.push((id, T::default()));
        }
        self.series[place].1.clone()
    }

    fn samples(&self, read: impl Fn(&T) -> Value) -> impl Iterator<Item = Sample> {
        self.series.iter().map(move |(id, instrument)| Sample {
            name: id.name.clone(),
            tags: id.tags().collect(),
            value: read(instrument),
        })
    }
}

impl<T> Default for Family<T> {
    fn default() -> Self {
        Self {
            series: Vec::new(),
            places: HashMap::new(),
        }
    }
}

impl Id {
    fn tagged(metric: &'static Metric, tag_values: &[&str]) -> Self {
        Self {
            name: Cow::Borrowed(metric.name),
            tag_keys: metric.tags,
            tag_values: tag_values.iter().map(|&value| value.into()).collect(),
        }
    }

    fn untagged(name: String) -> Self {
        Self {
            name: Cow::Owned(name),
            tag_keys: &[],
            tag_values: Box::default(),
        }
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = (&'static str, Box<str>)> {
        self.tag_keys
            .iter()
            .copied()
            .zip(self.tag_values.iter().cloned())
    }

    /// Where a series goes that came too late. Names made at run time have no tags and share one.
    fn other(self) -> Self {
        let name = match self.name {
            Cow::Borrowed(_) => self.name,
            Cow::Owned(_) => Cow::Borrowed("other"),
        };
        let tag_values = self.tag_values.iter().map(|_| "other".into()).collect();
        Self {
            name,
            tag_values,
            ..self
        }
    }
}
