//! What faults do before a request is forwarded: the exchange waits, is answered, hangs or ends.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use brownout_fault::{
    Delay, ErrorCode, Http2Fault, RequestEnding, RequestFaults, ResetScope, Since, Then,
};
use tokio::time::timeout;

use super::{After, Exchange};
use crate::{
    clock::Part,
    http1::{BodyError, Input, RequestHead, Source},
    limits::{DRAIN, GRACE, UNWANTED_BYTES_MAX, UNWANTED_TIME_MAX},
    timer::later,
};

/// What is left to do with a request after the faults before the upstream.
pub(super) enum Before {
    Forward,
    /// Nothing: the exchange is over.
    Over(After),
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HoldEnd {
    /// It lasted as long as it was to last.
    Whole,
    /// Its fault was removed.
    Released,
    ClientLeft,
}

impl Exchange<'_, '_> {
    /// Waits, and ends the exchange if a fault says so. The body is read only by an ending that reads it whole.
    pub(super) async fn before_upstream(
        &self,
        faults: RequestFaults,
        head: &RequestHead,
        body: &mut Source<'_>,
    ) -> Before {
        for delay in &faults.delays {
            if self.wait_and_watch(*delay, body.input).await == HoldEnd::ClientLeft {
                return Before::Over(After::Drop);
            }
        }
        if let Some(on_connection) = &faults.http2 {
            let ending = faults.ending.as_ref().map(|(by, _)| *by);
            if let Some(by) = self.act_on_connection(on_connection, ending) {
                self.record.borrow_mut().cut_by_fault(by);
                let refused = ResetScope::Stream(ErrorCode::REFUSED_STREAM);
                return Before::Over(self.reset(by, refused).await);
            }
        }
        let Some((by, ending)) = faults.ending else {
            return Before::Forward;
        };
        Before::Over(match ending {
            RequestEnding::Answer(answer) => {
                self.answer_instead(by, &answer, &head.fields, Some(body))
                    .await
            }
            RequestEnding::Reset(scope) => {
                self.record.borrow_mut().cut_by_fault(by);
                self.reset(by, scope).await
            }
            RequestEnding::Close => {
                if !self.asked.expects_continue {
                    // What is not read within bounds is read while the connection closes.
                    self.read_all(body).await;
                }
                self.record.borrow_mut().cut_by_fault(by);
                After::Close
            }
            RequestEnding::Hang { hold, then } => {
                if self.hang(by, hold, body).await == HoldEnd::ClientLeft {
                    return Before::Over(After::Drop);
                }
                self.record.borrow_mut().cut_by_fault(by);
                match then {
                    Then::Reset => self.reset(by, ResetScope::AUTO).await,
                    Then::Close => After::Close,
                }
            }
        })
    }

    /// Does to the connection what `faults` say. `ending` is the fault that ends the exchange behind them. Gives the one that
    /// refuses the request's stream, if there is one.
    fn act_on_connection(
        &self,
        faults: &[(usize, Http2Fault)],
        ending: Option<usize>,
    ) -> Option<usize> {
        let stream = self.client.as_stream()?;
        for (by, fault) in faults {
            let acts = {
                let record = self.record.borrow();
                stream.carry_out(*fault, record.fired(*by), &self.scope.timer)
            };
            if !acts && ending != Some(*by) {
                self.record.borrow_mut().skipped(*by);
                continue;
            }
            self.record.borrow_mut().acts(*by);
            if stream.is_refused() && ending != Some(*by) {
                return Some(*by);
            }
        }
        None
    }

    /// Holds the exchange until its time is over or its fault is removed, while the client is watched elsewhere.
    pub(super) async fn wait(&self, delay: Delay) {
        self.hold(delay, pending()).await;
    }

    async fn wait_and_watch(&self, delay: Delay, input: &mut Input) -> HoldEnd {
        self.hold(delay, self.client.left(input)).await
    }

    async fn hold(&self, delay: Delay, left: impl Future<Output = ()>) -> HoldEnd {
        let began = self.clock.enter(Part::Fault);
        let left_over = match delay.since {
            Since::Now => delay.span,
            Since::Arrival => (delay.span).saturating_sub(began - self.clock.started()),
        };
        if left_over.is_zero() {
            self.record.borrow_mut().skipped(delay.by);
            self.clock.enter(Part::Own);
            return HoldEnd::Whole;
        }
        self.record.borrow_mut().acts(delay.by);
        let until = self.scope.timer.at(later(began, left_over));
        let asked = Some(left_over);
        self.hold_until(delay.by, began, until, asked, left).await
    }

    /// Reads the request whole and answers nothing, until the hold is over or the fault is removed.
    async fn hang(&self, by: usize, hold: Option<Duration>, body: &mut Source<'_>) -> HoldEnd {
        let began = self.clock.enter(Part::Fault);
        let until = async {
            match hold {
                Some(hold) => self.scope.timer.at(later(began, hold)).await,
                None => pending().await,
            }
        };
        let swallow = async {
            // A client that waits for a 100 sends nothing; it is never sent.
            match discard_all(body).await {
                Ok(()) | Err(BodyError::Malformed(_) | BodyError::Write(_)) => {
                    self.client.left(body.input).await;
                }
                Err(BodyError::Eof | BodyError::Read(_)) => {}
            }
        };
        self.hold_until(by, began, until, hold, swallow).await
    }

    /// Holds the exchange for the fault `by` until `until` or its removal. `asked` is how long it is to last.
    async fn hold_until(
        &self,
        by: usize,
        began: Instant,
        until: impl Future<Output = ()>,
        asked: Option<Duration>,
        left: impl Future<Output = ()>,
    ) -> HoldEnd {
        let (span, released) = {
            let mut record = self.record.borrow_mut();
            (record.hold(by, began), record.fired(by).released())
        };
        let end = tokio::select! {
            () = until => HoldEnd::Whole,
            () = released.wait() => HoldEnd::Released,
            () = left => HoldEnd::ClientLeft,
        };
        span.end();
        if end != HoldEnd::ClientLeft {
            let asked = asked.filter(|_| end == HoldEnd::Whole);
            self.record.borrow_mut().release(asked);
            self.clock.enter(Part::Own);
        }
        end
    }

    /// Lets what was sent before arrive, then makes the end of the connection a reset. A fault that is removed waits no
    /// longer than [`GRACE`].
    pub(super) async fn reset(&self, by: usize, scope: ResetScope) -> After {
        let released = self.record.borrow().fired(by).released();
        self.clock.enter(Part::Fault);
        tokio::select! {
            () = self.client.settled(scope, DRAIN) => {}
            () = async { released.wait().await; self.scope.timer.sleep(GRACE).await } => {}
        }
        self.client.reset(scope);
        After::Drop
    }

    /// Reads and forgets the rest of a body, within bounds: at most 1 MiB and one second. Tells whether that was all of it.
    pub(super) async fn read_all(&self, body: &mut Source<'_>) -> bool {
        if body.decoder.is_ended() {
            return true;
        }
        let mut left = UNWANTED_BYTES_MAX;
        let read = async {
            while !body.decoder.is_ended() {
                let Ok(read) = body.discard_piece(Some(self.clock)).await else {
                    return false;
                };
                let Some(rest) = left.checked_sub(read) else {
                    return false;
                };
                left = rest;
            }
            true
        };
        timeout(UNWANTED_TIME_MAX, read).await.unwrap_or(false)
    }
}

/// Reads and forgets the rest of a body, however long it takes.
async fn discard_all(body: &mut Source<'_>) -> Result<(), BodyError> {
    while !body.decoder.is_ended() {
        body.discard_piece(None).await?;
    }
    Ok(())
}
