//! What the journal is told of an exchange.

use std::time::{Duration, Instant, SystemTime};

use super::ExchangeEnd;
use crate::{
    clock::Clock,
    downstream::Downstream,
    http1::RequestHead,
    journal::{AnswerBegins, AttemptEnd, BodyWatch, OpenAttempt, retry_after},
    scope::Scope,
    sys::ClientEnd,
};

/// The journal's record of an exchange; it does nothing if no records are kept.
pub(super) struct Evidence {
    attempt: Option<OpenAttempt>,
    /// The request's place on its connection.
    number: u64,
    /// The turn of the clock at which content was sent last.
    last_turn: Instant,
    /// What the answer's `Retry-After` tells.
    retry_after: Option<Duration>,
    /// The answer was handed on to its end.
    is_whole: bool,
}

impl Evidence {
    /// Of the request with this place on its connection.
    pub(super) fn of_request(number: u64, clock: &Clock) -> Self {
        Self {
            attempt: None,
            number,
            last_turn: clock.started(),
            retry_after: None,
            is_whole: false,
        }
    }

    /// Begins the record. `faults` are the ids of those that are certain to strike.
    pub(super) fn begin<'f>(
        &mut self,
        scope: &Scope,
        client: &Downstream,
        clock: &Clock,
        request: &RequestHead,
        has_content: bool,
        faults: impl Iterator<Item = &'f str>,
    ) {
        if let Some(journal) = &scope.journal
            && let Some(on) = client.as_evidence(self.number)
        {
            let read = clock.started();
            let route = &scope.route;
            let attempt =
                OpenAttempt::begin(journal, route, on, read, request, has_content, faults);
            self.attempt = Some(attempt);
        }
    }

    pub(super) fn watch_body(&self) -> Option<Box<BodyWatch>> {
        self.attempt.as_ref().map(OpenAttempt::watch_body)
    }

    pub(super) fn head_goes_out(&self, by_pieces: bool) {
        if let Some(attempt) = &self.attempt {
            attempt.head_goes_out(by_pieces);
        }
    }

    pub(super) fn struck(&self, id: &str) {
        if let Some(attempt) = &self.attempt {
            attempt.struck(id);
        }
    }

    /// Notes the value of the answer's `Retry-After`, if it has one.
    pub(super) fn tells_to_wait(&mut self, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.retry_after = retry_after(value, SystemTime::now());
        }
    }

    pub(super) fn answers(&mut self, status: Option<u16>, content: u64, clock: &Clock) {
        if let Some(attempt) = &self.attempt {
            let answer = AnswerBegins {
                status,
                told: self.retry_after,
                content,
            };
            self.last_turn = clock.last_turn();
            attempt.answers(answer, self.last_turn);
        }
    }

    pub(super) fn sent(&mut self, bytes: u64, clock: &Clock) {
        if let Some(attempt) = &self.attempt {
            // It is hardly past, unless nothing was waited for since content was sent last.
            let turn = clock.last_turn();
            let now = match std::mem::replace(&mut self.last_turn, turn) < turn {
                true => turn,
                false => Instant::now(),
            };
            attempt.sent(bytes, now);
        }
    }

    pub(super) fn whole(&mut self) {
        self.is_whole = true;
    }

    pub(super) fn end(
        &self,
        end: ExchangeEnd,
        by: Option<&str>,
        client: &Downstream,
        now: Instant,
    ) {
        let Some(attempt) = &self.attempt else {
            return;
        };
        let end = match end {
            ExchangeEnd::Done => AttemptEnd::Answered,
            ExchangeEnd::ByFault(_) | ExchangeEnd::Cut => AttemptEnd::Fault,
            ExchangeEnd::Failed(_) => AttemptEnd::UpstreamError,
            ExchangeEnd::BadRequest | ExchangeEnd::Outside => AttemptEnd::BadRequest,
            ExchangeEnd::Open => match client.client_end() {
                ClientEnd::Fin => AttemptEnd::ClientFin,
                ClientEnd::Rst => AttemptEnd::ClientRst,
                ClientEnd::None => AttemptEnd::ClientLeft,
            },
        };
        attempt.end(end, by, self.is_whole, now);
    }
}
