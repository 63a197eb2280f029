//! What an audit is told.

use std::{net::SocketAddr, time::Duration};

use http::Method;

use crate::{experiment::Predicate, forensics::FindingId};

/// What an audit is told. The proxy, its routes and the service under test are there already.
#[derive(Debug, Clone)]
pub struct Options {
    /// The page: what a caller of the service under test asks for.
    pub page: Endpoint,
    /// The dependencies to be audited: names of routes.
    pub routes: Vec<String>,
    /// The route that the service falls back to, where it has one.
    pub second_source: Option<String>,
    /// Another endpoint of the service, which needs no dependency.
    pub watch: Option<Endpoint>,
    /// A request that must not be repeated.
    pub order: Option<Endpoint>,
    /// How long a page may take.
    pub budget: Duration,
    /// How a page says that something is missing.
    pub degraded: Vec<Predicate>,
    /// The findings that are wanted; all without any.
    pub only: Vec<FindingId>,
    /// Whether to leave out what takes long: everything under load.
    pub fast: bool,
    /// How long a dependency is looked at, if not for as long as is usual. What does not fit is undetermined.
    pub deadline: Option<Duration>,
    /// The most pages a second; chosen by the calm page's time without one.
    pub rate: Option<f64>,
    /// Where all chance of faults comes from.
    pub seed: u64,
    /// How long the service may take until its page is served for the first time.
    pub ready_within: Duration,
    /// What does the same again, for reports.
    pub reproduce: String,
}

/// Something that the service under test serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address on which the service listens.
    pub address: SocketAddr,
    /// The value of `Host`.
    pub host: String,
    /// The path and the query of the page.
    pub path: String,
    /// How it is asked.
    pub method: Method,
    /// What is sent along, as JSON.
    pub body: Option<String>,
}

impl Options {
    /// How long a dependency is looked at: with `fast`, and without. What does not fit is undetermined.
    const FAST: Duration = Duration::from_millis(28_500);
    const WHOLE: Duration = Duration::from_secs(174);
    /// How long an outage and the return from it take where a breaker stays open for up to 5 s. Longer ones are waited for.
    const OUTAGE: Duration = Duration::from_secs(30);

    /// How long a dependency is looked at.
    pub(super) fn length(&self) -> Duration {
        let usual = if self.fast { Self::FAST } else { Self::WHOLE };
        self.deadline.unwrap_or(usual)
    }

    /// How much later the last experiment may end because an outage took so long. Zero where the user gave a deadline, and for an
    /// outage of up to 30 s. So a breaker that stays open for long leaves the other experiments their time.
    pub(super) fn longer_after(&self, outage: Duration) -> Duration {
        match self.deadline {
            Some(_) => Duration::ZERO,
            None => outage.saturating_sub(Self::OUTAGE),
        }
    }

    /// What is said of a finding whose experiments did not fit into that.
    pub(super) fn left_out(&self) -> String {
        match (self.deadline, self.fast) {
            (Some(deadline), _) => format!(
                "it did not fit into the {} of --deadline",
                brownout_fault::units::show_duration(deadline)
            ),
            (None, true) => "it did not fit into --fast's 30 s".to_owned(),
            (None, false) => {
                "it did not fit into the 3 min that a dependency is looked at (--deadline)"
                    .to_owned()
            }
        }
    }

    /// Whether a finding is wanted.
    #[must_use]
    pub fn wants(&self, id: FindingId) -> bool {
        self.only.is_empty() || self.only.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_that_stays_open_takes_no_time_of_other_experiments() {
        let endpoint = Endpoint {
            address: ([127, 0, 0, 1], 5000).into(),
            host: "127.0.0.1:5000".to_owned(),
            path: "/page".to_owned(),
            method: Method::GET,
            body: None,
        };
        let told = |deadline: Option<Duration>| Options {
            page: endpoint.clone(),
            routes: vec!["up".to_owned()],
            second_source: None,
            watch: None,
            order: None,
            budget: Duration::from_secs(1),
            degraded: Vec::new(),
            only: Vec::new(),
            fast: false,
            deadline,
            rate: None,
            seed: 1,
            ready_within: Duration::from_secs(10),
            reproduce: String::new(),
        };
        let longer = |deadline, outage| told(deadline).longer_after(Duration::from_secs(outage));

        assert_eq!(longer(None, 20), Duration::ZERO);
        assert_eq!(longer(None, 70), Duration::from_secs(40));
        // What a user has given holds.
        assert_eq!(longer(Some(Duration::from_secs(60)), 70), Duration::ZERO);
    }
}
