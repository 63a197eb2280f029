//! Who calls whom, from calls that lie within others for the same page.

use std::collections::{BTreeMap, HashMap};

use super::{Call, JoinedBy, RouteAccount, Seen};

/// Of each route so many calls are looked at.
const LOOKED_AT: usize = 2_000;

pub(super) fn routes(seen: &Seen<'_>) -> Vec<RouteAccount> {
    let mut by_page: HashMap<u64, Vec<&Call>> = HashMap::new();
    for call in seen.calls.calls.values() {
        if let Some(page) = call.page {
            by_page.entry(page).or_default().push(call);
        }
    }
    let names = seen.calls.routes.iter().enumerate();
    let told = names.map(|(index, name)| {
        let own = || seen.calls.calls.values().filter(|it| it.route == index);
        let mut votes: BTreeMap<Option<usize>, usize> = BTreeMap::new();
        for call in own().take(LOOKED_AT) {
            let Some(same) = call.page.and_then(|it| by_page.get(&it)) else {
                continue;
            };
            // The shortest call in which this one began is the one that made it.
            let around = same
                .iter()
                .filter(|it| it.route != index && it.start <= call.start && call.start <= it.end);
            // The load's own route is around everything; a sibling that runs at the same time is around by chance.
            let around = around.filter(|it| it.end >= call.end || it.failed);
            let caller = around.min_by_key(|it| it.end - it.start).map(|it| it.route);
            *votes.entry(caller).or_default() += 1;
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        RouteAccount {
            route: name.clone(),
            calls: own().count() as u64,
            of_pages: own().filter(|it| it.page.is_some()).count() as u64,
            of_cut_off: own().filter(|it| it.is_cut_off).count() as u64,
            joined_by: Some(seen.joined[index].unwrap_or(JoinedBy::Totals)),
            called_by: most
                .and_then(|(caller, _)| caller)
                .map(|it| seen.calls.routes[it].clone()),
        }
    });
    told.filter(|it| it.calls > 0).collect()
}
