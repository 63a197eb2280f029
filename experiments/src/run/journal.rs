//! Where records of single attempts come from.

use std::{fmt, future::Future, pin::Pin};

use crate::forensics::AttemptRecord;

/// A source of records of single attempts: the proxy's journal.
///
/// The runner reads it after each phase, from where it read last. Records are on the source's own monotonic clock;
/// [`JournalPage::now`] relates it to the run's.
pub trait Journal: Send + fmt::Debug {
    /// Everything since `after`, a number that an earlier page gave as `next`; 0 for all.
    fn read(&mut self, after: u64) -> Reading<'_>;
}

/// What comes of reading a journal.
pub type Reading<'j> = Pin<Box<dyn Future<Output = Result<JournalPage, JournalError>> + Send + 'j>>;

/// Part of a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalPage {
    /// Attempts that ended, and those that are open, with their age.
    pub attempts: Vec<AttemptRecord>,
    /// Where to read on.
    pub next: u64,
    /// Records that were overwritten before they were read.
    pub lost: u64,
    /// The source's clock when it answered, in µs.
    pub now: u64,
}

/// Why there are no records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The proxy keeps no journal.
    #[error("needs GET /requests, which this proxy does not have")]
    NotThere,
    /// The journal could not be read.
    #[error("the journal could not be read: {0}")]
    Unreadable(String),
}

/// The journal of a proxy that keeps none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn read(&mut self, _after: u64) -> Reading<'_> {
        Box::pin(std::future::ready(Err(JournalError::NotThere)))
    }
}
