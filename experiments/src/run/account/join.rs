//! Which page each call was for: by an id, or by time where pages come one at a time.

use std::collections::{HashMap, HashSet};

use super::{Seen, calls::id_of};
use crate::{
    forensics::join::JoinedBy,
    run::serial::{SerialPage, SerialPages},
};

/// Where fewer calls of a route are joined to a page, nothing is said of the calls of single pages.
const JOINED_MIN: f64 = 0.8;
/// A call that begins so long after the answer of the last page is not for that page, in µs: the clocks of proxy and run are
/// compared about as exactly.
const SLACK: u64 = 5_000;

/// How the calls of a route were joined to pages; or in words, why they were not.
pub(super) type RouteJoin = Result<JoinedBy, &'static str>;

impl Seen<'_> {
    /// Says of each call which page it was for.
    pub(super) fn join(&mut self) {
        self.pages.sort_unstable_by_key(|it| it.number);
        self.join_by_id();
        let serial = self.serial_pages();
        for route in 0..self.calls.routes.len() {
            let joined = match (self.is_joined(route), &serial) {
                (true, _) => Ok(JoinedBy::Id),
                (false, Ok(pages)) => self.join_by_time(route, pages),
                (false, Err(why)) => Err(*why),
            };
            self.joined.push(joined);
        }
    }

    fn join_by_id(&mut self) {
        let id = |number: u64| id_of(&(self.trace_id)(number));
        let pages: HashMap<u128, u64> = (0..)
            .zip(&self.pages)
            .filter_map(|(index, page)| Some((id(page.number)?, index)))
            .collect();
        let cut_off = self.cut_off.iter().filter_map(|(number, _)| id(*number));
        let cut_off: HashSet<u128> = cut_off.collect();
        let ids = std::mem::take(&mut self.calls.ids);
        for (number, call) in &mut self.calls.calls {
            let id = ids.get(number);
            call.page = id.and_then(|id| pages.get(id)).copied();
            call.is_cut_off = id.is_some_and(|id| cut_off.contains(id));
        }
    }

    fn serial_pages(&self) -> Result<SerialPages, &'static str> {
        if self.is_watched {
            return Err("the watched endpoint may cause calls as well");
        }
        let ended = self.pages.iter().map(SerialPage::from);
        let cut_off = self.cut_off.iter();
        SerialPages::of(ended.chain(cut_off.map(|&(number, at)| SerialPage::cut_off(number, at))))
    }

    /// Joins the calls of a route that begin while a page is waited for. Leaves them alone where others do as well.
    fn join_by_time(&mut self, route: usize, pages: &SerialPages) -> RouteJoin {
        let before = self.calls.calls.clone();
        for call in self.calls.calls.values_mut() {
            if call.route != route {
                continue;
            }
            let page = pages.at(call.start);
            let page = page.filter(|it| it.ended.is_none_or(|ended| call.start <= ended + SLACK));
            let place = page.map(|page| {
                self.pages
                    .binary_search_by_key(&page.number, |it| it.number)
            });
            call.page = place.and_then(Result::ok).map(|it| it as u64);
            call.is_cut_off = place.is_some_and(|it| it.is_err());
        }
        if self.is_joined(route) {
            return Ok(JoinedBy::Serial);
        }
        self.calls.calls = before;
        Err("calls come while no page is asked for")
    }

    /// Whether calls on a route are joined to pages.
    fn is_joined(&self, route: usize) -> bool {
        let own = self.calls.calls.values().filter(|it| it.route == route);
        let (mut all, mut joined) = (0, 0);
        for call in own {
            all += 1;
            joined += u32::from(call.page.is_some() || call.is_cut_off);
        }
        all > 0 && f64::from(joined) >= f64::from(all) * JOINED_MIN
    }

    /// Why nothing may be said of the calls of single pages on some routes; none where calls are joined to pages.
    pub(super) fn not_joined(&self, routes: &[String]) -> Option<String> {
        let names = self.calls.routes.iter().zip(&self.joined);
        let own = names.filter(|(name, _)| routes.contains(name));
        let mut unjoined = own.filter_map(|(name, joined)| Some((name, joined.err()?)));
        let (name, why) = unjoined.next()?;
        Some(format!(
            "calls to {name} do not carry the id of their page (traceparent or x-request-id), and {why}"
        ))
    }
}
