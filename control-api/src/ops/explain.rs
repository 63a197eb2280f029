//! Why faults act on requests or let them pass, and how many of the last requests one would have met.

use std::{net::SocketAddr, time::Instant};

use brownout_fault::{CALLER_FIELDS, Explained, Fit, Knowledge, Subject};
use brownout_proxy::{Attempt, Journal, JournalQuery, Protocol, RecordState};
use brownout_wire::{FaultDraft, ImaginedRequest, RecentAnswer};
use http::HeaderMap;

use super::{OpError, Ops, now};
use crate::requests::find;
use brownout_fault::read::Problem;

/// A fault that struck a request, or could have.
#[derive(Debug)]
pub(crate) struct ExplainedRecord {
    pub(crate) explained: Option<Explained>,
    pub(crate) id: String,
    pub(crate) kind: String,
    /// `None` when that is not recorded.
    pub(crate) acted: Option<bool>,
    pub(crate) why: String,
}

impl Ops {
    /// What each armed fault would do to this request if it came now, and why.
    ///
    /// # Errors
    /// When there is no such route, or it carries no requests.
    pub(crate) fn explain(&self, request: &ImaginedRequest) -> Result<Vec<Explained>, OpError> {
        let route = self.route(&request.route);
        let route = route.ok_or_else(|| OpError::NoRoute(request.route.clone()))?;
        if route.protocol != Protocol::Http {
            let detail = "carries bytes of connections; there are no requests to look at";
            return Err(OpError::invalid(Problem::at("route", detail)));
        }
        let host = request.headers.get("host");
        let subject = Subject {
            route: &request.route,
            method: &request.method,
            path: &request.path,
            query: request.query.as_deref(),
            host: host.and_then(|host| host.to_str().ok()),
            fields: &request.headers,
            peer: SocketAddr::new(request.client, 0),
            connection: 0,
            request: request.connection_seq - 1,
            is_http2: false,
        };
        let state = self.state();
        let now = now().instant;
        let mut explained = (state.writer).explain(&subject, Knowledge::Whole, now);
        let asks = CALLER_FIELDS
            .iter()
            .any(|name| request.headers.contains_key(*name));
        if asks {
            let asked = state.writer.explain_callers(
                &request.headers,
                request.client,
                &route.caller_faults,
                now,
            );
            explained.extend(asked);
        }
        Ok(explained)
    }

    /// What each fault did to a request that a route carried, and why. `None` if it is not recorded any more.
    pub(crate) fn explain_record(
        &self,
        journal: &Journal,
        number: u64,
    ) -> Option<(Attempt, Vec<ExplainedRecord>)> {
        let attempt = find(journal, number)?;
        let fields = HeaderMap::new();
        let state = self.state();
        let subject = subject_of(&attempt, &fields);
        let explained = (state.writer).explain(&subject, Knowledge::Record, now().instant);
        let armed_at = |id: &str| {
            let status = state.writer.status(id, now().instant);
            status.map(|status| state.clock.micros(status.created_at.instant))
        };
        let is_full = attempt.faults.len() >= Attempt::FAULTS_MAX;
        let mut told: Vec<ExplainedRecord> = Vec::new();
        for one in explained {
            let acted = attempt.faults.contains(&one.id);
            let is_later = armed_at(&one.id).is_some_and(|at| at > attempt.t_head);
            let why = match (acted, is_later) {
                (true, false) => "it acted".to_owned(),
                (true, true) => "a fault of this id acted; the one that is armed now was armed after this request \
                                 had begun"
                    .to_owned(),
                (false, true) => "it was armed after this request had begun".to_owned(),
                (false, false) if is_full => format!(
                    "whether it acted is not known, as a record names {} faults at most; now {}",
                    Attempt::FAULTS_MAX,
                    one.why
                ),
                (false, false) => format!("it did not act; now {}", one.why),
            };
            told.push(ExplainedRecord {
                id: one.id.clone(),
                kind: one.kind.to_owned(),
                acted: match (acted, is_later, is_full) {
                    (false, false, true) => None,
                    _ => Some(acted),
                },
                why,
                explained: Some(one),
            });
        }
        drop(state);
        for id in &attempt.faults {
            if !told.iter().any(|one| one.id == *id) {
                told.push(self.explain_gone(id));
            }
        }
        Some((attempt, told))
    }

    /// Of a fault that struck a request and is not armed.
    fn explain_gone(&self, id: &str) -> ExplainedRecord {
        let ended = self.ended_fault(id);
        let (kind, why) = match (&ended, id.strip_prefix("caller:")) {
            (_, Some(kind)) => (
                kind,
                "it acted, as the request itself asked for it".to_owned(),
            ),
            (Some(ended), None) => {
                let reason = ended.reason.word();
                let why = format!("it acted; it has ended since (`{reason}`)");
                (ended.fault.spec.fault.name(), why)
            }
            (None, None) => ("", "it acted; it has ended since".to_owned()),
        };
        ExplainedRecord {
            id: id.to_owned(),
            kind: kind.to_owned(),
            acted: Some(true),
            why,
            explained: None,
        }
    }

    /// How many of the last requests a fault would have met. `None` if none are recorded at all.
    pub(crate) fn recent(&self, draft: &FaultDraft) -> Option<RecentAnswer> {
        /// So many are looked at, and no longer than that: matching may be costly.
        const REQUESTS: usize = 1_000;
        const TIME_MAX: std::time::Duration = std::time::Duration::from_millis(250);
        let spec = &draft.spec;
        let page = self.journal()?.attempts(&JournalQuery {
            state: RecordState::Ended,
            limit: REQUESTS,
            ..JournalQuery::default()
        });
        let mut recent = RecentAnswer::default();
        if !spec.is_asked_about_requests() {
            return None;
        }
        let conditions = spec.matching.conditions();
        let fields = HeaderMap::new();
        let until = Instant::now() + TIME_MAX;
        for attempt in page.ended.iter().filter(|it| spec.route.include(&it.route)) {
            if Instant::now() > until {
                break;
            }
            recent.requests += 1;
            match conditions.fit(&subject_of(attempt, &fields), Knowledge::Record) {
                Fit::Fits => recent.matched += 1,
                Fit::Differs(_) => {}
                Fit::Unknown(_) => recent.unknown += 1,
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate, for people")]
        let (matched, every) = (recent.matched as f64, spec.every as f64);
        recent.expected = matched * spec.percent.share() / every;
        Some(recent)
    }
}

fn subject_of<'a>(attempt: &'a Attempt, fields: &'a HeaderMap) -> Subject<'a> {
    Subject {
        route: &attempt.route,
        method: &attempt.method,
        path: &attempt.path,
        query: None,
        host: None,
        fields,
        peer: (attempt.peer).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
        connection: attempt.connection,
        request: attempt.connection_seq,
        is_http2: false,
    }
}
