//! Events that must happen in time.

use std::time::Duration;

use super::{Found, OPEN_SHARE, Told, View, counted, micros, shown};
use crate::{
    expectation::Unit,
    run::recording::{Page, SECOND},
};

impl View<'_> {
    /// Every page has a whole answer in time.
    pub(super) fn answered_within(&self, hop: &str, within: Duration) -> Result<Found, String> {
        let Some(pages) = self.pages_of(hop) else {
            return Err("is known of the load's own requests alone".to_owned());
        };
        let pages: Vec<&Page> = pages.pages_in(self.span).collect();
        let limit = micros(within);
        let late = pages
            .iter()
            .filter(|it| !it.is_answered() || it.latency() > limit)
            .count();
        let longest = pages.iter().map(|it| it.latency()).max().unwrap_or(0);
        let lacks = pages
            .is_empty()
            .then(|| "there was no page to measure".to_owned());
        let verdict = match (&lacks, late) {
            (Some(_), _) => Told::Inconclusive,
            (None, 0) => Told::Passed,
            (None, _) => Told::Failed,
        };
        let longest = Unit::Time.show(longest as f64 / SECOND as f64);
        Ok(Found {
            verdict,
            observed: match late {
                0 => format!("all {} within {longest}", pages.len()),
                late => format!(
                    "{late} of {} were not; the longest took {longest}",
                    pages.len()
                ),
            },
            expected: format!("within {}", shown(within)),
            baseline: None,
            margin: None,
            samples: pages.len() as u64,
            interval: None,
            proven: None,
            why: lacks,
        })
    }

    /// The rate falls below 5 % of the baseline for a second.
    pub(super) fn breaker_opens(&self, hop: &str, within: Duration) -> Result<Found, String> {
        let baseline = self.baseline.ok_or("there is no baseline")?;
        let usual = self.route(hop, baseline)?.requests / baseline.seconds().max(1e-6);
        let lacks = (usual < 1.0).then(|| {
            format!(
                "{} in the steady state are too few to see a breaker",
                Unit::Rate.show(usual)
            )
        });
        let mut opened = None;
        let mut least = f64::INFINITY;
        for window in self.windows(self.span) {
            let rate = self.route(hop, window)?.requests;
            least = least.min(rate);
            if rate < usual * OPEN_SHARE {
                opened = Some(window.from - self.span.from);
                break;
            }
        }
        let verdict = match (&lacks, opened) {
            (Some(_), _) => Told::Inconclusive,
            (None, Some(after)) if after <= micros(within) => Told::Passed,
            (None, _) => Told::Failed,
        };
        let observed = match opened {
            Some(after) => format!("after {}", Unit::Time.show(after as f64 / SECOND as f64)),
            None => format!("never: never fewer than {}", Unit::Rate.show(least)),
        };
        Ok(Found {
            verdict,
            observed,
            expected: format!("below 5% of the baseline within {}", shown(within)),
            baseline: Some(Unit::Rate.show(usual)),
            margin: None,
            samples: counted(self.route(hop, self.span)?.requests),
            interval: None,
            proven: None,
            why: lacks,
        })
    }
}
