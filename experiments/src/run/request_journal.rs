//! The journal of a proxy, read over its control API.

use std::collections::HashSet;

use brownout_client::{Client, ClientError};
use brownout_wire::{RequestList, RequestQuery};

use super::{Journal, JournalError, JournalPage, Reading};
use crate::forensics::AttemptRecord;

/// `GET /requests` of a proxy, from a moment on.
#[derive(Debug)]
pub struct RequestJournal {
    client: Client,
    /// Requests that ended before this number are not told.
    begin: u64,
}

impl RequestJournal {
    /// The journal of the proxy that `client` calls, from now on.
    ///
    /// # Errors
    /// When the proxy keeps no journal, or it cannot be read.
    pub async fn from_now(client: Client) -> Result<Self, JournalError> {
        let last = RequestQuery {
            open: Some(false),
            limit: Some(1),
            ..RequestQuery::default()
        };
        let begin = client.requests(&last).await.map_err(unreadable)?.next;
        Ok(Self { client, begin })
    }

    /// All that ended since `after`, and what is in progress.
    async fn page(&self, after: u64) -> Result<JournalPage, JournalError> {
        // Read first: what ends meanwhile is among those that ended, and is then told as such.
        let in_progress = RequestQuery {
            open: Some(true),
            limit: Some(RequestList::LIMIT_MAX),
            ..RequestQuery::default()
        };
        let open = self.client.requests(&in_progress).await;
        let open = open.map_err(unreadable)?;
        let mut next = after.max(self.begin);
        let mut page = JournalPage::default();
        loop {
            let query = RequestQuery {
                open: Some(false),
                after: Some(next),
                ..in_progress.clone()
            };
            let list = self.client.requests(&query).await.map_err(unreadable)?;
            page.lost += list.lost;
            page.now = list.now_us;
            next = list.next;
            let ended = list.requests.into_iter().rev();
            page.attempts.extend(ended.map(AttemptRecord::from));
            if !list.more {
                break;
            }
        }
        page.next = next;
        let ended: HashSet<u64> = page.attempts.iter().map(|it| it.number).collect();
        let open_still = (open.requests.into_iter().rev()).filter(|it| !ended.contains(&it.number));
        page.attempts.extend(open_still.map(AttemptRecord::from));
        Ok(page)
    }
}

impl Journal for RequestJournal {
    fn read(&mut self, after: u64) -> Reading<'_> {
        Box::pin(self.page(after))
    }
}

fn unreadable(error: ClientError) -> JournalError {
    match error {
        ClientError::Refused(problem) if problem.status == 404 => JournalError::NotThere,
        error => JournalError::Unreadable(error.to_string()),
    }
}
