//! Streams of server-sent events have no end of their own. When the proxy stops, one ends between two events, with its last
//! chunk: the client asks again somewhere else and has lost nothing.

use super::{
    Exchange,
    respond::{Answer, Answered, Whole},
};
use crate::http1::EventTail;

impl Exchange<'_, '_> {
    /// Passes the rest of a stream of events on.
    pub(super) async fn pass_events(
        &self,
        answer: &mut Answer<'_>,
        tail: EventTail,
        keeps_client: bool,
    ) -> Answered {
        let passed = answer.source.pass_events(
            self.client.transport(),
            self.clock,
            tail,
            || self.client.is_last(),
            |bytes| self.record.borrow_mut().sent_body(bytes),
        );
        match passed.await {
            Ok(ended_here) => {
                self.record.borrow_mut().done();
                Answered::Whole(Whole {
                    keeps_client: keeps_client && !ended_here,
                    keeps_upstream: !ended_here && answer.keeps_upstream,
                })
            }
            Err(error) => self.broken(error, answer.length).await,
        }
    }
}
