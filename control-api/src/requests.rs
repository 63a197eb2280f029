//! `/requests`: what the routes carried, one record a request.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use brownout_fault::read::{Problem, shorten};
use brownout_proxy::{
    Attempt, AttemptEnd, AttemptPhase, Journal, JournalPage, JournalQuery, RecordState,
};
use brownout_wire::{RequestEnd, RequestList, RequestPhase, RequestRecord};

use crate::{
    answer::Json,
    control::Shared,
    extract::Query,
    off_thread::off_thread,
    ops::{OpError, Ops},
    problem::ApiError,
    words::unknown,
};

/// `GET /requests?route=&fault=&state=&after=&limit=`.
pub(crate) async fn list(
    State(control): State<Shared>,
    query: Query,
) -> Result<Response, ApiError> {
    let [route, fault, state, after, limit] =
        query.only(&["route", "fault", "state", "after", "limit"])?;
    let asked = Asked {
        route,
        fault,
        state,
        after,
        limit,
    };
    let query = asked.read()?;
    off_thread(&control, move |ops| {
        let journal = journal_of(ops, query.route.as_deref())?;
        let page = journal.attempts(&query);
        Ok(Json(answer(page, journal.began_at())).into_response())
    })
    .await
}

/// What may be asked of the journal, as it came.
pub(crate) struct Asked {
    pub(crate) route: Option<String>,
    pub(crate) fault: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<String>,
}

impl Asked {
    pub(crate) fn read(self) -> Result<JournalQuery, ApiError> {
        let Self {
            route,
            fault,
            state,
            after,
            limit,
        } = self;
        Ok(JournalQuery {
            state: state.map_or(Ok(RecordState::Any), |word| known_state(&word))?,
            after: (after.as_deref())
                .map(|text| number("after", text, 0, u64::MAX))
                .transpose()?,
            limit: limit.as_deref().map_or(Ok(RequestList::LIMIT), limit_of)?,
            route,
            fault,
        })
    }
}

/// The journal; `route` must be there if it is named.
pub(crate) fn journal_of<'o>(ops: &'o Ops, route: Option<&str>) -> Result<&'o Journal, ApiError> {
    if let Some(route) = route
        && ops.route(route).is_none()
    {
        return Err(OpError::NoRoute(route.to_owned()).into());
    }
    ops.journal().ok_or_else(no_journal)
}

/// The record of the request with this number, if there is one still.
pub(crate) fn find(journal: &Journal, number: u64) -> Option<Attempt> {
    let mut query = JournalQuery {
        limit: RequestList::LIMIT_MAX,
        ..JournalQuery::default()
    };
    let newest = journal.attempts(&query);
    let mut records = newest.open.into_iter().chain(newest.ended);
    if let Some(found) = records.find(|attempt| attempt.number == number) {
        return Some(found);
    }
    query.state = RecordState::Ended;
    query.after = Some(0);
    loop {
        let page = journal.attempts(&query);
        let mut records = page.ended.into_iter();
        if let Some(found) = records.find(|attempt| attempt.number == number) {
            return Some(found);
        }
        if !page.has_more {
            return None;
        }
        query.after = Some(page.next);
    }
}

/// 404: there are no records at all, and there will be none.
fn no_journal() -> ApiError {
    ApiError::NoPath("this proxy keeps no records of requests".to_owned())
}

/// Reads the parameter `limit`.
fn limit_of(text: &str) -> Result<usize, ApiError> {
    let limit = number("limit", text, 1, RequestList::LIMIT_MAX as u64)?;
    Ok(usize::try_from(limit).unwrap_or(RequestList::LIMIT_MAX))
}

fn known_state(word: &str) -> Result<RecordState, ApiError> {
    match word {
        "any" => Ok(RecordState::Any),
        "open" => Ok(RecordState::Open),
        "ended" => Ok(RecordState::Ended),
        other => Err(ApiError::invalid(Problem {
            pointer: "?state".to_owned(),
            detail: unknown("state", other, &["any", "open", "ended"]),
        })),
    }
}

fn number(key: &str, text: &str, min: u64, max: u64) -> Result<u64, ApiError> {
    let number = text.parse().ok().filter(|it| (min..=max).contains(it));
    number.ok_or_else(|| {
        let shown = shorten(text);
        ApiError::invalid(Problem {
            pointer: format!("?{key}"),
            detail: match max {
                u64::MAX => format!("`{shown}` is no whole number from {min} on"),
                _ => format!("`{shown}` is no whole number from {min} to {max}"),
            },
        })
    })
}

pub(crate) fn unix_micros(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn answer(page: JournalPage<Attempt>, began_at: SystemTime) -> RequestList {
    let now = page.now;
    let attempts = page.open.into_iter().chain(page.ended);
    RequestList {
        requests: attempts.map(|attempt| record(attempt, now)).collect(),
        now_us: now,
        began_unix_us: unix_micros(began_at),
        next: page.next,
        more: page.has_more,
        lost: page.lost,
    }
}

pub(crate) fn record(attempt: Attempt, now: u64) -> RequestRecord {
    let text = |text: String| (!text.is_empty()).then_some(text);
    RequestRecord {
        end_phase: match attempt.phase() {
            AttemptPhase::BeforeHead => RequestPhase::BeforeHead,
            AttemptPhase::InHead => RequestPhase::InHead,
            AttemptPhase::InBody => RequestPhase::InBody,
            AttemptPhase::IdleAfter => RequestPhase::IdleAfter,
        },
        number: attempt.number,
        seq: (attempt.seq > 0).then_some(attempt.seq),
        route: attempt.route,
        conn: attempt.connection,
        conn_seq: attempt.connection_seq,
        peer: attempt.peer,
        http_version: attempt.version.to_owned(),
        method: attempt.method,
        path: attempt.path,
        t_open: attempt.t_open,
        t_head: attempt.t_head,
        t_req_end: attempt.t_req_end,
        t_first_out: attempt.t_first_out,
        t_last_out: attempt.t_last_out,
        t_end: attempt.t_end,
        age_us: attempt.t_end.unwrap_or(now).saturating_sub(attempt.t_head),
        end: match attempt.end {
            AttemptEnd::StillOpen => RequestEnd::StillOpen,
            AttemptEnd::Answered => RequestEnd::Answered,
            AttemptEnd::UpstreamError => RequestEnd::UpstreamError,
            AttemptEnd::BadRequest => RequestEnd::BadRequest,
            AttemptEnd::Fault => RequestEnd::Fault,
            AttemptEnd::ClientFin => RequestEnd::ClientFin,
            AttemptEnd::ClientRst => RequestEnd::ClientRst,
            AttemptEnd::ClientLeft => RequestEnd::ClientLeft,
        },
        ended_by: text(attempt.ended_by),
        bytes: attempt.bytes,
        status: attempt.status,
        faults: attempt.faults,
        retry_after_us: (attempt.retry_after)
            .map(|wait| u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)),
        fingerprint: format!("{:016x}", attempt.fingerprint),
        content_hashed: attempt.content_hashed,
        trace_id: attempt.trace.map(|(trace, _)| format!("{trace:032x}")),
        parent_id: attempt.trace.map(|(_, parent)| format!("{parent:016x}")),
        request_id: text(attempt.request_id),
        idempotency_key_hash: attempt.idempotency_key.map(|hash| format!("{hash:016x}")),
        retry_count: attempt.retry_count,
        in_flight: attempt.in_flight,
    }
}
