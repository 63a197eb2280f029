//! Counters, gauges and histograms, and the registry that knows them all.

mod counter;
mod gauge;
mod group;
mod histogram;
mod table;

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard},
};

use self::table::Owners;
pub(crate) use self::table::{Family, Id, Table};
pub use self::{
    counter::Counter,
    gauge::Gauge,
    group::SeriesGroup,
    histogram::{Distribution, Histogram},
};
use crate::names::{self, CounterName, GaugeName, HistogramName};

/// Every series of the process.
///
/// Ask once for each handle, when routes, faults or configuration change, and keep it: asking
/// takes a lock, counting does not. Asking again for the same name and tag values gives the same
/// series. Cloning gives another handle to the same registry.
///
/// At most [`Metrics::MAX_SERIES`] series are kept apart at a time. Beyond that, what is asked for is
/// counted under the same name with `other` for every tag value. What is asked for here stays;
/// what comes and goes is asked for from a [group](Metrics::group), which gives it back.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    table: Mutex<Table>,
    overflow: Counter,
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
    /// How many series are kept apart at a time: those of some 150 routes.
    pub const MAX_SERIES: usize = 4000;

    /// An empty registry, good by itself where nothing is to be sent.
    #[must_use]
    pub fn new() -> Self {
        let mut table = Table::default();
        let overflow = table.counters.get_or_insert(
            Id::tagged(names::TELEMETRY_SERIES_OVERFLOW.0, &[]),
            Owners::Process,
        );
        Self(Arc::new(Registry {
            table: Mutex::new(table),
            overflow,
        }))
    }

    /// A group of series that end with it. See [`SeriesGroup`].
    #[must_use]
    pub fn group(&self) -> SeriesGroup {
        SeriesGroup::of(self.clone())
    }

    /// The counter `name` with these tag values, in the order of its keys.
    #[must_use]
    pub fn counter<const TAGS: usize>(
        &self,
        name: CounterName<TAGS>,
        tag_values: &[&str; TAGS],
    ) -> Counter {
        self.keep(Id::tagged(name.0, tag_values), |table| &mut table.counters)
    }

    /// The gauge `name` with these tag values, in the order of its keys.
    #[must_use]
    pub fn gauge<const TAGS: usize>(
        &self,
        name: GaugeName<TAGS>,
        tag_values: &[&str; TAGS],
    ) -> Gauge {
        self.keep(Id::tagged(name.0, tag_values), |table| &mut table.gauges)
    }

    /// The histogram `name` with these tag values, in the order of its keys.
    #[must_use]
    pub fn histogram<const TAGS: usize>(
        &self,
        name: HistogramName<TAGS>,
        tag_values: &[&str; TAGS],
    ) -> Histogram {
        self.keep(Id::tagged(name.0, tag_values), |table| {
            &mut table.histograms
        })
    }

    /// A counter outside the table, without tags, whose name is made at run time because a service
    /// or a path is part of it: `homepage.get`, `/recommendations.timeout`.
    #[must_use]
    pub fn counter_named(&self, name: impl Into<String>) -> Counter {
        self.keep(Id::untagged(name.into()), |table| &mut table.counters)
    }

    /// As [`counter_named`](Self::counter_named), a histogram: `homepage.latency`.
    #[must_use]
    pub fn histogram_named(&self, name: impl Into<String>) -> Histogram {
        self.keep(Id::untagged(name.into()), |table| &mut table.histograms)
    }

    /// Reads every series, sorted by name and tag values.
    ///
    /// Each value is exact; together they are of nearly, not exactly, the same moment.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Sample> {
        let mut samples = self.table().samples();
        samples.sort_by(|a, b| (&a.name, &a.tags).cmp(&(&b.name, &b.tags)));
        samples
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.0
            .table
            .lock()
            .expect("nothing panics while it holds the table")
    }

    /// A handle of a series that stays.
    fn keep<T: Clone + Default>(&self, id: Id, family: impl Fn(&mut Table) -> &mut Family<T>) -> T {
        self.handle(id, Owners::Process, family).1
    }

    /// A handle of a series for one more owner, and which series it became.
    fn handle<T: Clone + Default>(
        &self,
        id: Id,
        owner: Owners,
        family: impl Fn(&mut Table) -> &mut Family<T>,
    ) -> (Id, T) {
        let mut table = self.table();
        let room = table.len() < Self::MAX_SERIES;
        let family = family(&mut table);
        let id = match room || family.contains(&id) {
            true => id,
            false => {
                self.0.overflow.add(1);
                id.other()
            }
        };
        let handle = family.get_or_insert(id.clone(), owner);
        (id, handle)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
