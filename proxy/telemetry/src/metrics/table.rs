//! Where all series are, and who needs them.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    mem,
};

use super::{Counter, Gauge, Histogram, Metrics, Sample, Value};
use crate::names::Metric;

/// All series by kind, each kind in the order in which its series came.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) counters: Family<Counter>,
    pub(crate) gauges: Family<Gauge>,
    pub(crate) histograms: Family<Histogram>,
    /// Whether somebody reads the table again and again and wants what ended meanwhile.
    pub(crate) is_followed: bool,
}

#[derive(Debug)]
pub(crate) struct Family<T> {
    /// By number. A series that is made anew gets another number.
    series: BTreeMap<u64, Series<T>>,
    numbers: HashMap<Id, u64>,
    next: u64,
    /// What ended since it was last taken.
    ended: Vec<(u64, Series<T>)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Series<T> {
    pub(crate) id: Id,
    pub(crate) instrument: T,
    owners: Owners,
}

/// Who needs a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// It stays.
    Process,
    /// So many groups; with the last one it ends.
    Groups(usize),
}

/// What tells series of one kind apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub(crate) name: Cow<'static, str>,
    tag_keys: &'static [&'static str],
    tag_values: Box<[Box<str>]>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.counters.series.len() + self.gauges.series.len() + self.histograms.series.len()
    }

    pub(super) fn samples(&self) -> Vec<Sample> {
        let counters = self.counters.samples(|it| Value::Counter(it.total()));
        let gauges = self.gauges.samples(|it| Value::Gauge(it.value()));
        let histograms = self
            .histograms
            .samples(|it| Value::Histogram(it.distribution()));
        counters.chain(gauges).chain(histograms).collect()
    }
}

impl<T: Clone + Default> Family<T> {
    pub(super) fn contains(&self, id: &Id) -> bool {
        self.numbers.contains_key(id)
    }

    /// The series `id` for one more owner.
    pub(super) fn get_or_insert(&mut self, id: Id, owner: Owners) -> T {
        let number = *self.numbers.entry(id.clone()).or_insert(self.next);
        if number == self.next {
            self.next += 1;
        }
        let series = self.series.entry(number).or_insert_with(|| Series {
            id,
            instrument: T::default(),
            owners: Owners::Groups(0),
        });
        series.owners = match (series.owners, owner) {
            (Owners::Groups(before), Owners::Groups(more)) => Owners::Groups(before + more),
            (Owners::Process, _) | (_, Owners::Process) => Owners::Process,
        };
        series.instrument.clone()
    }

    /// Takes one group from the owners of `id`. With the last one the series ends.
    pub(super) fn give_back(&mut self, id: &Id, is_followed: bool) {
        let Some(&number) = self.numbers.get(id) else {
            return;
        };
        let Some(Owners::Groups(groups)) = self.series.get_mut(&number).map(|it| &mut it.owners)
        else {
            return;
        };
        *groups = groups.saturating_sub(1);
        if *groups > 0 {
            return;
        }
        self.numbers.remove(id);
        let series = self.series.remove(&number);
        // Bounded also where the follower does not come round, as while its daemon is not found.
        if is_followed && self.ended.len() < Metrics::MAX_SERIES {
            self.ended.extend(series.map(|series| (number, series)));
        }
    }

    /// Series from the number `from` on.
    pub(crate) fn since(&self, from: u64) -> impl Iterator<Item = (u64, &Series<T>)> {
        self.series.range(from..).map(|(number, it)| (*number, it))
    }

    /// The number of the next series.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Those that ended since this was last called.
    pub(crate) fn take_ended(&mut self) -> Vec<(u64, Series<T>)> {
        mem::take(&mut self.ended)
    }

    fn samples(&self, read: impl Fn(&T) -> Value) -> impl Iterator<Item = Sample> {
        self.series.values().map(move |series| Sample {
            name: series.id.name.clone(),
            tags: series
                .id
                .tags()
                .map(|(key, value)| (key, value.into()))
                .collect(),
            value: read(&series.instrument),
        })
    }
}

impl<T> Default for Family<T> {
    fn default() -> Self {
        Self {
            series: BTreeMap::new(),
            numbers: HashMap::new(),
            next: 0,
            ended: Vec::new(),
        }
    }
}

impl Id {
    pub(crate) fn tagged(metric: &'static Metric, tag_values: &[&str]) -> Self {
        Self {
            name: Cow::Borrowed(metric.name),
            tag_keys: metric.tags,
            tag_values: tag_values.iter().map(|&value| value.into()).collect(),
        }
    }

    pub(super) fn untagged(name: String) -> Self {
        Self {
            name: Cow::Owned(name),
            tag_keys: &[],
            tag_values: Box::default(),
        }
    }

    /// Keys and values, in the order of the names table.
    pub(crate) fn tags(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let values = self.tag_values.iter().map(|value| &**value);
        self.tag_keys.iter().copied().zip(values)
    }

    /// Where a series goes that came too late. Names made at run time have no tags and share one.
    pub(super) fn other(self) -> Self {
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
