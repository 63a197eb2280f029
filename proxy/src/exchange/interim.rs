//! Answers before the final one (1xx, RFC 9110 §15.2), on their way to the client.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use super::{Exchange, respond::Responding, upload::Upload};
use crate::{
    error::UpstreamError,
    http1::{
        BadAnswer, NoAnswer, Outgoing, Output, Persistence, ResponseHead, Way, read_head,
        to_client, write_all, write_response,
    },
    limits::CONTINUE_TIMEOUT,
};

impl Exchange<'_, '_> {
    /// As [`final_head`](Self::final_head), for which the upstream has so long. Only its own time counts: not that in which
    /// the client's content is awaited or a fault holds it.
    pub(super) async fn final_head_within(
        &self,
        limit: Duration,
        from: &mut Responding<'_>,
        holds: bool,
        held: &mut Vec<u8>,
    ) -> Result<Box<ResponseHead>, NoAnswer> {
        let taken = || self.clock.times(Instant::now()).upstream;
        let before = taken();
        let overdue = async {
            loop {
                let spent = taken().saturating_sub(before);
                if spent >= limit {
                    return;
                }
                self.scope.timer.sleep(limit - spent).await;
            }
        };
        tokio::select! {
            biased;
            head = self.final_head(from, holds, held) => head,
            () = overdue => Err(NoAnswer {
                error: UpstreamError::HeadTimeout { limit },
                was_unread: false,
            }),
        }
    }

    /// The head of the final answer. 1xx before it are passed on, or kept in `held`.
    pub(super) async fn final_head(
        &self,
        from: &mut Responding<'_>,
        holds: bool,
        held: &mut Vec<u8>,
    ) -> Result<Box<ResponseHead>, NoAnswer> {
        let limits = &self.scope.head_limits;
        loop {
            let mut head = ResponseHead::spare();
            let reading = read_head(from.transport, from.input, &mut head, self.clock, limits);
            if from.upload.gate.is_closed() {
                // Boxed here and below, as most answers need no room for it.
                Box::pin(self.or_continue(from.upload, reading)).await?;
            } else {
                reading.await?;
            }
            from.upload.was_informed.set(true);
            match head.status {
                100 => {
                    let awaited = from.upload.gate.is_closed();
                    if from.upload.gate.upstream_continues() {
                        // The client waits for this one before it goes on.
                        let holds = holds && !awaited;
                        Box::pin(self.informational(from.upload, &mut head, holds, held)).await;
                    }
                }
                // A stream never switches so (RFC 9113 §8.6).
                101 if self.asked.upgrades && !from.transport.is_stream() => return Ok(head),
                101 => {
                    return Err(NoAnswer::of(BadAnswer::UNASKED_SWITCH));
                }
                _ if head.is_informational() => {
                    Box::pin(self.informational(from.upload, &mut head, holds, held)).await;
                }
                _ => return Ok(head),
            }
        }
    }

    /// Lets the client go on with its content if the upstream says nothing in time.
    async fn or_continue(
        &self,
        upload: &Upload,
        reading: impl Future<Output = Result<(), NoAnswer>>,
    ) -> Result<(), NoAnswer> {
        let mut reading = pin!(reading);
        tokio::select! {
            biased;
            read = &mut reading => return read,
            () = self.scope.timer.sleep(CONTINUE_TIMEOUT) => {}
        }
        upload.gate.open_by_proxy();
        self.inform(upload, b"HTTP/1.1 100 Continue\r\n\r\n").await;
        reading.await
    }

    /// Passes a 1xx on, or keeps it. HTTP/1.0 knows none.
    async fn informational(
        &self,
        upload: &Upload,
        head: &mut ResponseHead,
        holds: bool,
        held: &mut Vec<u8>,
    ) {
        const HELD_BYTES_MAX: usize = 64 * 1024;
        if self.asked.is_http10 {
            return;
        }
        to_client(head, Outgoing::None, Persistence::Unsaid);
        if !holds {
            let mut out = Output::new();
            write_response(head, out.bytes_mut());
            self.inform(upload, out.bytes()).await;
        } else if held.len() < HELD_BYTES_MAX {
            write_response(head, held);
        }
    }

    pub(super) async fn inform(&self, upload: &Upload, head: &[u8]) {
        upload.is_informing.set(true);
        // A client that has left is noticed where it is watched.
        if let Err(error) =
            write_all(self.client.transport(), head, self.clock, Way::Download).await
        {
            tracing::debug!(%error, "a client did not take an informational answer");
        }
        upload.is_informing.set(false);
    }
}
