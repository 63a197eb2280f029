//! The journal of a proxy, read over its control API.

use std::collections::HashSet;

use brownout_client::{Client, ClientError};
use brownout_wire::{
    ConnectionEnd, ConnectionQuery, RequestEnd, RequestList, RequestPhase, RequestQuery,
    RequestRecord,
};

use super::{Journal, JournalError, JournalPage, Reading};
use crate::forensics::{AttemptEnd, AttemptRecord, ConnectionRecord, EndPhase, path_pattern};

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
            page.attempts
                .extend(ended.map(|it| attempt(it, list.now_us)));
            if !list.more {
                break;
            }
        }
        page.next = next;
        let ended: HashSet<u64> = page.attempts.iter().map(|it| it.number).collect();
        let open_still = (open.requests.into_iter().rev()).filter(|it| !ended.contains(&it.number));
        let open_still = open_still.map(|it| attempt(it, open.now_us));
        page.attempts.extend(open_still);
        page.connections = self.connections().await?;
        Ok(page)
    }

    /// The connections that are open, and the last ones that ended.
    async fn connections(&self) -> Result<Vec<ConnectionRecord>, JournalError> {
        let query = ConnectionQuery {
            limit: Some(RequestList::LIMIT_MAX),
            ..ConnectionQuery::default()
        };
        let list = self.client.connections(&query).await.map_err(unreadable)?;
        Ok(list.connections.into_iter().rev().map(connection).collect())
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

fn attempt(told: RequestRecord, now: u64) -> AttemptRecord {
    AttemptRecord {
        number: told.number,
        route: told.route,
        conn: told.conn,
        conn_seq: u32::try_from(told.conn_seq).unwrap_or(u32::MAX),
        client: told.peer,
        t_head: told.t_head,
        t_req_end: None,
        t_first_out: told.t_first_out,
        t_last_out: told.t_last_out,
        t_end: told.t_end.unwrap_or(now),
        end: match told.end {
            RequestEnd::StillOpen => AttemptEnd::StillOpen,
            // A client whose content is malformed is told so: that is an answer.
            RequestEnd::Answered | RequestEnd::BadRequest => AttemptEnd::Answered,
            RequestEnd::UpstreamError => AttemptEnd::UpstreamError,
            RequestEnd::Fault => {
                AttemptEnd::Fault(told.ended_by.unwrap_or_else(|| "stream".to_owned()))
            }
            RequestEnd::ClientFin | RequestEnd::ClientLeft => AttemptEnd::ClientFin,
            RequestEnd::ClientRst => AttemptEnd::ClientRst,
        },
        end_phase: match told.end_phase {
            RequestPhase::BeforeHead => EndPhase::BeforeHead,
            RequestPhase::InHead => EndPhase::InHead,
            RequestPhase::InBody => EndPhase::InBody(told.bytes),
            RequestPhase::IdleAfter => EndPhase::IdleAfter,
        },
        bytes: told.bytes,
        status: told.status,
        faults: told.faults,
        retry_after_us: told.retry_after_us,
        method: told.method,
        path: path_pattern(&told.path),
        fp: u64::from_str_radix(&told.fingerprint, 16).unwrap_or(0),
        trace_id: told.trace_id,
        request_id: told.request_id,
        idempotency_key: told.idempotency_key_hash,
        retry_count: told.retry_count,
        in_flight: told.in_flight,
    }
}

fn connection(told: brownout_wire::ConnectionRecord) -> ConnectionRecord {
    ConnectionRecord {
        conn: told.conn,
        route: told.route,
        t_open: told.t_open,
        t_close: told.t_close,
        requests: u32::try_from(told.requests).unwrap_or(u32::MAX),
        longest_idle_us: told.longest_idle_us,
        closed_by_client: matches!(
            told.end,
            ConnectionEnd::ClientFin | ConnectionEnd::ClientRst
        ),
    }
}
