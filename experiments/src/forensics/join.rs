//! Which attempts belong to which page.

use serde::{Deserialize, Serialize};

use super::record::{AttemptRecord, PageRecord};

/// How attempts were joined to pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinedBy {
    /// A trace id or request id that the client passes on: exact.
    Id,
    /// One page at a time: everything between a page's start and the next one's is its own. Exact, but for background
    /// work.
    Serial,
    /// Not at all: only totals may be compared.
    Totals,
}

/// Attempts by page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined<'r> {
    /// How.
    pub by: JoinedBy,
    /// The attempts of each page, in the order of the pages; empty where only totals may be compared.
    pub pages: Vec<(&'r PageRecord, Vec<&'r AttemptRecord>)>,
    /// Attempts that belong to no page.
    pub strays: Vec<&'r AttemptRecord>,
}

/// Joins attempts to pages by what is exact: ids where most attempts carry one, else pages that came one at a time.
#[must_use]
pub fn join<'r>(pages: &'r [PageRecord], attempts: &'r [AttemptRecord]) -> Joined<'r> {
    let by_id = by_id(pages, attempts);
    if by_id.strays.len() * 2 <= attempts.len() && !attempts.is_empty() {
        return by_id;
    }
    let mut sorted: Vec<&PageRecord> = pages.iter().collect();
    sorted.sort_by_key(|it| it.sent);
    let overlap = sorted.windows(2).any(|pair| {
        pair[0]
            .ended
            .or(pair[0].left)
            .is_none_or(|ended| ended > pair[1].sent)
    });
    if overlap {
        return Joined {
            by: JoinedBy::Totals,
            pages: Vec::new(),
            strays: attempts.iter().collect(),
        };
    }
    by_time(&sorted, attempts)
}

fn by_id<'r>(pages: &'r [PageRecord], attempts: &'r [AttemptRecord]) -> Joined<'r> {
    let mut joined: Vec<(&PageRecord, Vec<&AttemptRecord>)> =
        pages.iter().map(|it| (it, Vec::new())).collect();
    let mut strays = Vec::new();
    let same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
    for attempt in attempts {
        let page = joined.iter_mut().find(|(page, _)| {
            same(&page.trace_id, &attempt.trace_id) || same(&page.request_id, &attempt.request_id)
        });
        match page {
            Some((_, own)) => own.push(attempt),
            None => strays.push(attempt),
        }
    }
    Joined {
        by: JoinedBy::Id,
        pages: joined,
        strays,
    }
}

fn by_time<'r>(pages: &[&'r PageRecord], attempts: &'r [AttemptRecord]) -> Joined<'r> {
    let mut joined: Vec<(&PageRecord, Vec<&AttemptRecord>)> =
        pages.iter().map(|it| (*it, Vec::new())).collect();
    let mut strays = Vec::new();
    for attempt in attempts {
        match pages.partition_point(|page| page.sent <= attempt.t_head) {
            0 => strays.push(attempt),
            after => joined[after - 1].1.push(attempt),
        }
    }
    Joined {
        by: JoinedBy::Serial,
        pages: joined,
        strays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forensics::record;

    fn page(number: u64, sent: u64, ended: Option<u64>, request_id: Option<&str>) -> PageRecord {
        PageRecord {
            number,
            intended: sent,
            sent,
            ended,
            status: ended.map(|_| 200),
            request_id: request_id.map(str::to_owned),
            ..PageRecord::default()
        }
    }

    fn attempt(number: u64, t_head: u64, request_id: Option<&str>) -> AttemptRecord {
        let mut attempt = record::tests::attempt(number, t_head, 5);
        attempt.request_id = request_id.map(str::to_owned);
        attempt
    }

    fn counts(joined: &Joined<'_>) -> Vec<usize> {
        joined
            .pages
            .iter()
            .map(|(_, attempts)| attempts.len())
            .collect()
    }

    #[test]
    fn ids_that_are_passed_on_join_pages_that_overlap() {
        let pages = [
            page(0, 0, Some(100), Some("a")),
            page(1, 10, Some(90), Some("b")),
        ];
        let attempts = [
            attempt(1, 20, Some("b")),
            attempt(2, 25, Some("a")),
            attempt(3, 60, Some("b")),
            attempt(4, 70, None),
        ];

        let joined = join(&pages, &attempts);

        assert_eq!((joined.by, counts(&joined)), (JoinedBy::Id, vec![1, 2]));
        assert_eq!(joined.strays.len(), 1);
    }

    #[test]
    fn without_ids_one_page_at_a_time_has_what_begins_before_the_next() {
        let pages = [
            page(0, 10, Some(50), Some("a")),
            page(1, 100, Some(150), Some("b")),
        ];
        let attempts = [
            attempt(1, 5, None),
            attempt(2, 20, None),
            attempt(3, 80, None),
            attempt(4, 120, None),
        ];

        let joined = join(&pages, &attempts);

        assert_eq!((joined.by, counts(&joined)), (JoinedBy::Serial, vec![2, 1]));
        assert_eq!(joined.strays.len(), 1);
    }

    #[test]
    fn pages_that_overlap_without_ids_have_totals_alone() {
        let pages = [page(0, 0, None, None), page(1, 10, Some(20), None)];
        let attempts = [attempt(1, 5, None), attempt(2, 15, None)];

        let joined = join(&pages, &attempts);

        assert_eq!(joined.by, JoinedBy::Totals);
        assert!(joined.pages.is_empty());
    }
}
