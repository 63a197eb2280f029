//! Pages that were asked for one at a time: a call belongs to the page that was sent last before it.

use super::recording::{Page, PageOutcome};
use crate::sample::ErrorKind;

/// A page among such that came one at a time. Times in µs since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SerialPage {
    pub(crate) number: u64,
    pub(crate) sent: u64,
    /// None where it had not ended when the load did.
    pub(crate) ended: Option<u64>,
    /// Whether its caller stopped waiting for it, so that work for it may go on.
    was_given_up: bool,
}

/// All pages of a time in the order in which they were sent, where none was sent before the one before it was over.
#[derive(Debug)]
pub(crate) struct SerialPages(Vec<SerialPage>);

impl From<&Page> for SerialPage {
    fn from(page: &Page) -> Self {
        Self {
            number: page.number,
            sent: page.sent,
            ended: Some(page.ended),
            was_given_up: matches!(
                page.outcome,
                PageOutcome::Left | PageOutcome::Failed(ErrorKind::Timeout)
            ),
        }
    }
}

impl SerialPage {
    /// A page that had not ended when the load did.
    pub(crate) fn cut_off(number: u64, sent: u64) -> Self {
        Self {
            number,
            sent,
            ended: None,
            was_given_up: true,
        }
    }
}

impl SerialPages {
    /// Sorts pages.
    ///
    /// # Errors
    /// In words, why they cannot be told apart by time.
    pub(crate) fn of(pages: impl IntoIterator<Item = SerialPage>) -> Result<Self, &'static str> {
        let mut pages: Vec<SerialPage> = pages.into_iter().collect();
        pages.sort_unstable_by_key(|it| (it.sent, it.number));
        if pages.is_empty() {
            return Err("no page of a load is known");
        }
        let pairs = || pages.iter().zip(&pages[1..]);
        if pairs().any(|(page, next)| page.ended.is_none_or(|ended| ended > next.sent)) {
            return Err("pages overlap in time");
        }
        if pairs().any(|(page, _)| page.was_given_up) {
            return Err("calls may go on for a page that was given up while the next is asked for");
        }
        Ok(Self(pages))
    }

    /// The page that was sent last before `moment`.
    pub(crate) fn at(&self, moment: u64) -> Option<&SerialPage> {
        let after = self.0.partition_point(|it| it.sent <= moment);
        self.0.get(after.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::recording::tests::page;

    fn pages(times: [(u64, u64); 2]) -> Result<SerialPages, &'static str> {
        let pages = (0..).zip(times);
        SerialPages::of(pages.map(|(number, (at, took))| (&page(number, at, took, 200)).into()))
    }

    #[test]
    fn a_call_is_of_the_page_that_was_sent_last() {
        let pages = pages([(10, 20), (30, 5)]).unwrap();

        let number = |ms: u64| pages.at(ms * 1_000).map(|it| it.number);
        assert_eq!(
            [9, 10, 29, 30, 90].map(number),
            [None, Some(0), Some(0), Some(1), Some(1)]
        );
    }

    #[test]
    fn pages_that_overlap_are_not_told_apart_by_time() {
        assert_eq!(
            pages([(10, 21), (30, 5)]).unwrap_err(),
            "pages overlap in time"
        );
        let open = [SerialPage::cut_off(0, 10), SerialPage::cut_off(1, 20)];
        assert!(SerialPages::of(open).is_err());
        assert!(SerialPages::of(open.into_iter().take(1)).is_ok());
    }

    #[test]
    fn after_a_page_that_was_given_up_its_calls_may_go_on() {
        let mut left = page(0, 10, 10, 200);
        left.outcome = PageOutcome::Left;
        let next = page(1, 30, 10, 200);

        let told = SerialPages::of([(&left).into(), (&next).into()]);

        assert!(told.unwrap_err().contains("given up"));
    }
}
