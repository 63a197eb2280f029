//! What was counted during a run: the differences of what was counted before and after it.

use std::collections::BTreeMap;

use super::{Services, SimulationError, system::Counters};
use crate::{
    report::{ServiceReport, UpstreamReport},
    stats::{ServiceStats, UpstreamStats},
};

/// The counters of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) services: Services<ServiceReport>,
    /// The homepage's calls, by the called service's name in metrics.
    pub(crate) upstreams: BTreeMap<String, UpstreamReport>,
    /// Requests, by route.
    pub(crate) routes: BTreeMap<String, u64>,
}

/// A counter went back.
struct WentBack;

impl Counted {
    pub(super) fn between(before: &Counters, after: &Counters) -> Result<Self, SimulationError> {
        let restarted = |name: &str| SimulationError::Restarted(name.to_owned());
        let of = |name, before, after| service(before, after).map_err(|WentBack| restarted(name));
        let (b, a) = (&before.services, &after.services);
        let services = Services {
            homepage: of("homepage", &b.homepage, &a.homepage)?,
            authentication: of("authentication", &b.authentication, &a.authentication)?,
            recommendations: of("recommendations", &b.recommendations, &a.recommendations)?,
            popular_items: of("popular_items", &b.popular_items, &a.popular_items)?,
        };
        let upstreams = each(&b.homepage.upstreams, &a.homepage.upstreams, upstream);
        let routes = each(&before.routes, &after.routes, |b, a| since(*b, *a));
        Ok(Self {
            services,
            upstreams: upstreams.map_err(|_| restarted("homepage"))?,
            routes: routes
                .map_err(|name| SimulationError::Restarted(format!("the route `{name}`")))?,
        })
    }
}

/// The difference for each name; what was not there before has counted from zero. The name of what went back.
fn each<T: Default, D>(
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    difference: impl Fn(&T, &T) -> Result<D, WentBack>,
) -> Result<BTreeMap<String, D>, String> {
    let none = T::default();
    let differences = after.iter().map(|(name, after)| {
        let before = before.get(name).unwrap_or(&none);
        match difference(before, after) {
            Ok(difference) => Ok((name.clone(), difference)),
            Err(WentBack) => Err(name.clone()),
        }
    });
    differences.collect()
}

fn service(before: &ServiceStats, after: &ServiceStats) -> Result<ServiceReport, WentBack> {
    Ok(ServiceReport {
        received: since(before.received, after.received)?,
        answered: since(before.answered, after.answered)?,
        abandoned: since(before.abandoned, after.abandoned)?,
        shed: since(before.shed, after.shed)?,
    })
}

fn upstream(before: &UpstreamStats, after: &UpstreamStats) -> Result<UpstreamReport, WentBack> {
    let opened = |stats: &UpstreamStats| stats.breaker.as_ref().map_or(0, |it| it.opened);
    Ok(UpstreamReport {
        calls: since(before.calls, after.calls)?,
        attempts: since(before.attempts, after.attempts)?,
        retries: since(before.retries, after.retries)?,
        timeouts: since(before.timeouts, after.timeouts)?,
        rejected: since(before.rejected, after.rejected)?,
        fallbacks: since(before.fallbacks, after.fallbacks)?,
        breaker_opened: since(opened(before), opened(after))?,
    })
}

fn since(before: u64, after: u64) -> Result<u64, WentBack> {
    after.checked_sub(before).ok_or(WentBack)
}
