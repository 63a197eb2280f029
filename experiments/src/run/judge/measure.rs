//! What a measure is worth over a time: of pages, of a route, of callers.

use super::{Measured, View, counted, plain};
use crate::{
    expectation::{EvidenceMeasure, Measure},
    run::{
        CallerRecord,
        recording::{Page, PageLog, SECOND, Span, answered, ranked, share},
    },
};

impl View<'_> {
    /// The measure over a time.
    pub(super) fn measure(
        &self,
        hop: &str,
        measure: &Measure,
        span: Span,
    ) -> Result<Measured, String> {
        let pages = self.pages_of(hop);
        match measure {
            Measure::Evidence(EvidenceMeasure::Amplification) if self.caller(hop).is_some() => {
                let caller = self.caller(hop).ok_or_else(String::new)?;
                let value = caller.amplification().ok_or("there was no call")?;
                Ok(plain(value, caller.calls))
            }
            Measure::Evidence(evidence) => self.evidence(hop, *evidence),
            Measure::Tail | Measure::Caller(_) => {
                let phase = self.phases.last().ok_or("no phase is over")?;
                let value = phase.value(hop, measure);
                let value = value.ok_or_else(|| match measure {
                    Measure::Tail => format!("the tail of `{hop}` was not watched"),
                    _ => format!("no service told of calls to `{hop}`"),
                })?;
                Ok(plain(value, counted(value)))
            }
            Measure::CallsPerPage => {
                let counted = self.route(hop, span)?;
                let pages = self.recording.pages_in(span).count();
                if self.asked.is_empty() {
                    return Err("the pages are not known where others make the load".to_owned());
                }
                let value = if pages == 0 {
                    0.0
                } else {
                    counted.requests / pages as f64
                };
                Ok(plain(value, pages as u64))
            }
            Measure::BreakerOpens | Measure::Answered => Err("it is an event".to_owned()),
            Measure::PeakRate if let Some(pages) = pages => {
                let mut starts: Vec<u64> = pages.pages_in(span).map(|it| it.intended).collect();
                starts.sort_unstable();
                let in_second = |begin: &u64| {
                    let first = starts.partition_point(|it| it < begin);
                    starts.partition_point(|it| *it < begin + SECOND) - first
                };
                let peak = starts.iter().map(in_second).max().unwrap_or(0);
                Ok(plain(peak as f64, starts.len() as u64))
            }
            Measure::PeakRate => {
                let rates = self
                    .windows(span)
                    .map(|window| self.route(hop, window).map(|it| it.requests));
                let peak = rates.collect::<Result<Vec<f64>, String>>()?;
                let all = self.route(hop, span)?.requests;
                Ok(plain(peak.into_iter().fold(0.0, f64::max), counted(all)))
            }
            _ => match pages {
                Some(pages) => Ok(self.measure_pages(pages, measure, span)),
                None => self.measure_route(hop, measure, span),
            },
        }
    }

    /// What services counted of their calls to a hop in the phase that is judged.
    pub(super) fn caller(&self, hop: &str) -> Option<&CallerRecord> {
        self.phases.last()?.callers.iter().find(|it| it.hop == hop)
    }

    /// The pages of the load, or of the watched endpoint, if that is what a hop is.
    pub(super) fn pages_of(&self, hop: &str) -> Option<&PageLog> {
        let found = self.asked.iter().find(|(_, name)| *name == hop);
        found.map(|(asked, _)| self.recording.of(*asked))
    }

    fn measure_pages(&self, log: &PageLog, measure: &Measure, span: Span) -> Measured {
        let pages: Vec<&Page> = match self.by_end {
            true => log.pages_ended_since(span.from).collect(),
            false => log.pages_in(span).collect(),
        };
        let all = pages.len() as u64;
        let errors = || pages.iter().filter(|it| it.is_error()).count();
        let part = |hits: usize, of: usize| Measured {
            value: share(hits, of),
            samples: of as u64,
            hits: Some(hits as u64),
        };
        match measure {
            Measure::ErrorRate => part(errors(), pages.len()),
            Measure::SuccessRate => part(pages.len() - errors(), pages.len()),
            Measure::FallbackRate(predicate) => {
                let bit = self.predicates.iter().position(|it| it == predicate);
                let fits = |page: &&&Page| bit.is_some_and(|bit| page.fits >> bit & 1 == 1);
                let whole = pages.iter().filter(|it| it.is_answered());
                part(whole.clone().filter(fits).count(), whole.count())
            }
            Measure::Latency(_) | Measure::Mean | Measure::Max => {
                let mut latencies = answered(&pages);
                latencies.sort_unstable();
                let seconds = |micros: u64| micros as f64 / SECOND as f64;
                let value = match measure {
                    Measure::Latency(quantile) => ranked(&latencies, quantile.0).map(seconds),
                    Measure::Max => latencies.last().copied().map(seconds),
                    _ => {
                        let sum: u64 = latencies.iter().sum();
                        (!latencies.is_empty()).then(|| seconds(sum) / latencies.len() as f64)
                    }
                };
                plain(value.unwrap_or(f64::NAN), latencies.len() as u64)
            }
            Measure::Served => {
                let served = pages.iter().filter(|it| it.is_served()).count();
                plain(served as f64, all)
            }
            Measure::Unfinished => plain(log.unfinished_in(span) as f64, all),
            Measure::Rate => plain(all as f64 / span.seconds().max(1e-6), all),
            Measure::Requests
            | Measure::PeakRate
            | Measure::CallsPerPage
            | Measure::BreakerOpens
            | Measure::Answered
            | Measure::Tail
            | Measure::Caller(_)
            | Measure::Evidence(_) => plain(all as f64, all),
        }
    }

    fn measure_route(&self, hop: &str, measure: &Measure, span: Span) -> Result<Measured, String> {
        // What came after the load had left is in the record of the phase alone.
        if let (Measure::Requests, Some(phase)) = (measure, self.phases.last())
            && phase.tail.is_some()
            && span == self.span
            && let Some(value) = phase.value(hop, measure)
        {
            return Ok(plain(value, counted(value)));
        }
        let found = self.route(hop, span)?;
        let (ended, errors) = (counted(found.ended), counted(found.errors));
        let part = |hits: u64| Measured {
            value: share(
                usize::try_from(hits).unwrap_or(usize::MAX),
                usize::try_from(ended).unwrap_or(usize::MAX),
            ),
            samples: ended,
            hits: Some(hits),
        };
        Ok(match measure {
            Measure::ErrorRate => part(errors.min(ended)),
            Measure::SuccessRate => part(ended.saturating_sub(errors)),
            Measure::Mean => plain(
                found.latency_sum / found.latency_count.max(1.0),
                counted(found.latency_count),
            ),
            Measure::Rate => plain(
                found.requests / span.seconds().max(1e-6),
                counted(found.requests),
            ),
            Measure::Requests => plain(found.requests.round(), counted(found.requests)),
            Measure::FallbackRate(_)
            | Measure::Latency(_)
            | Measure::Max
            | Measure::PeakRate
            | Measure::CallsPerPage
            | Measure::BreakerOpens
            | Measure::Answered
            | Measure::Served
            | Measure::Unfinished
            | Measure::Tail
            | Measure::Caller(_)
            | Measure::Evidence(_) => return Err("is not known of a route".to_owned()),
        })
    }

    /// What was counted on a route: from single calls where these are known, as in the tables of reports; else from the
    /// counters of the proxy, which are read ten times a second.
    pub(super) fn route(
        &self,
        hop: &str,
        span: Span,
    ) -> Result<crate::run::scrape::HopCounters, String> {
        if let Some(count) = self.calls.and_then(|it| it.count(hop, span)) {
            return Ok(count.into());
        }
        let found = self.recording.hop_in(hop, span);
        found.ok_or_else(|| format!("the proxy told nothing of the route `{hop}`"))
    }
}
