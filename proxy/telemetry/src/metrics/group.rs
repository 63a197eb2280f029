use std::sync::{Mutex, PoisonError};

use super::{
    Counter, Gauge, Histogram, Metrics,
    table::{Family, Id, Owners, Table},
};
use crate::names::{CounterName, GaugeName, HistogramName};

/// Series that are needed together and no longer than something else: a route's.
///
/// Made by [`Metrics::group`]. When it is dropped its series end, but for those that another group or [`Metrics`]
/// itself was asked for as well. A series that ends is sent to statsd a last time, is no longer shown to a scraper,
/// and makes room for another; asked for again it begins at 0. Handles of it stay good and count for nobody. So drop
/// the group when nothing counts any more.
#[derive(Debug)]
pub struct SeriesGroup {
    metrics: Metrics,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    counters: Vec<Id>,
    gauges: Vec<Id>,
    histograms: Vec<Id>,
}

impl SeriesGroup {
    pub(super) fn of(metrics: Metrics) -> Self {
        Self {
            metrics,
            held: Mutex::default(),
        }
    }

    /// As [`Metrics::counter`], for as long as the group lives.
    #[must_use]
    pub fn counter<const TAGS: usize>(
        &self,
        name: CounterName<TAGS>,
        tag_values: &[&str; TAGS],
    ) -> Counter {
        self.handle(
            Id::tagged(name.0, tag_values),
            |table| &mut table.counters,
            |held| &mut held.counters,
        )
    }

    /// As [`Metrics::gauge`], for as long as the group lives.
    #[must_use]
    pub fn gauge<const TAGS: usize>(
        &self,
        name: GaugeName<TAGS>,
        tag_values: &[&str; TAGS],
    ) -> Gauge {
        self.handle(
            Id::tagged(name.0, tag_values),
            |table| &mut table.gauges,
            |held| &mut held.gauges,
        )
    }

    /// As [`Metrics::histogram`], for as long as the group lives.
    #[must_use]
    pub fn histogram<const TAGS: usize>(
        &self,
        name: HistogramName<TAGS>,
        tag_values: &[&str; TAGS],
    ) -> Histogram {
        self.handle(
            Id::tagged(name.0, tag_values),
            |table| &mut table.histograms,
            |held| &mut held.histograms,
        )
    }

    fn handle<T: Clone + Default>(
        &self,
        id: Id,
        family: impl Fn(&mut Table) -> &mut Family<T>,
        held: impl Fn(&mut Held) -> &mut Vec<Id>,
    ) -> T {
        let (id, handle) = self.metrics.handle(id, Owners::Groups(1), family);
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held(&mut all).push(id);
        handle
    }
}

impl Drop for SeriesGroup {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.metrics.table();
        let is_followed = table.is_followed;
        for id in &held.counters {
            table.counters.give_back(id, is_followed);
        }
        for id in &held.gauges {
            table.gauges.give_back(id, is_followed);
        }
        for id in &held.histograms {
            table.histograms.give_back(id, is_followed);
        }
    }
}
