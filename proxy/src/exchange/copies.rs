//! Copies of a request that faults ask for.

use std::{future::poll_fn, pin::pin, rc::Rc, sync::Arc};

use brownout_fault::{COPIED_BYTES_MAX, Copies};
use bytes::Bytes;
use tokio::time::timeout;

use super::Exchange;
use crate::{
    clock::Clock,
    error::{Chain, UpstreamError},
    http1::{
        BodyError, Decoder, Input, Output, RequestHead, ResponseHead, Source, UpstreamConnection,
        Wanted, Way, read_head, response_body, response_keeps_alive, write_all, write_request,
    },
    limits::COPY_TIME_MAX,
    proxy_protocol::Endpoints,
    scope::Scope,
    transport::Transport,
    upstream::Upstream,
};

impl Exchange<'_, '_> {
    /// Reads the whole content of a request that is sent more than once: the fault looked at its length, so it is small.
    /// `None` when the client breaks it off.
    pub(super) async fn gather_request(&self, body: &mut Source<'_>) -> Option<Bytes> {
        let mut content = Vec::new();
        while let Some(piece) = body.next_piece(self.clock, Way::Upload).await.ok()? {
            content.extend_from_slice(&piece);
            if content.len() as u64 > COPIED_BYTES_MAX {
                return None;
            }
        }
        self.count_request(content.len() as u64);
        Some(content.into())
    }

    /// Sends copies of a request in the background. Their answers are read and forgotten. Copies that were not sent yet
    /// when the fault is removed are never sent.
    pub(super) fn send_copies(
        &self,
        by: usize,
        copies: Copies,
        head: &RequestHead,
        content: &Bytes,
        upstream: &Arc<Upstream>,
    ) {
        let mut message = Output::new();
        write_request(head, message.bytes_mut());
        message.extend(content);
        let message = Bytes::copy_from_slice(message.bytes());
        let is_head = self.asked.is_head;
        let client = (upstream.options().send_proxy).and_then(|_| self.client.ends());
        for number in 1..=copies.count {
            let released = self.record.borrow().fired(by).released();
            let (scope, upstream) = (Rc::clone(self.scope), Arc::clone(upstream));
            let message = message.clone();
            self.scope.tasks.spawn_local(async move {
                tokio::select! {
                    () = scope.timer.sleep(copies.gap * number) => {}
                    () = released.wait() => return,
                }
                let sent = send_copy(&scope, &upstream, client, &message, is_head);
                match timeout(COPY_TIME_MAX, sent).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(error = %Chain(&error), "a copy was not answered");
                    }
                    Err(_) => tracing::debug!("a copy was not answered in time"),
                }
            });
        }
    }
}

/// Sends a copy on a connection of its own, as a kept one may break under it, and reads its answer.
async fn send_copy(
    scope: &Scope,
    upstream: &Arc<Upstream>,
    client: Option<Endpoints>,
    message: &[u8],
    is_head: bool,
) -> Result<(), UpstreamError> {
    let clock = Clock::start(std::time::Instant::now());
    let wanted = Wanted {
        turn: upstream.next_server(),
        is_new: true,
        client,
    };
    let mut connection = UpstreamConnection::open(scope, upstream, wanted).await?;
    let broken = |source| UpstreamError::Broken { source };
    let UpstreamConnection {
        transport, input, ..
    } = &mut *connection;
    let transport = &*transport;
    (write_all(transport, message, &clock, Way::Upload).await).map_err(broken)?;
    let keeps_alive = {
        let mut answer = pin!(read_answer(scope, transport, input, &clock, is_head));
        let driven = poll_fn(|cx| {
            let polled = answer.as_mut().poll(cx);
            // What the upstream gave no credit for goes out when it does.
            if polled.is_pending() {
                transport.poll_drive(cx);
            }
            polled
        });
        driven.await?
    };
    if keeps_alive {
        scope.pool.give_back(connection, std::time::Instant::now());
    }
    Ok(())
}

/// Reads an answer and forgets it. Whether its connection can be used again.
async fn read_answer(
    scope: &Scope,
    transport: &Transport,
    input: &mut Input,
    clock: &Clock,
    is_head: bool,
) -> Result<bool, UpstreamError> {
    let broken = |source| UpstreamError::Broken { source };
    let mut head = ResponseHead::default();
    loop {
        let read = read_head(transport, input, &mut head, clock, &scope.head_limits).await;
        read.map_err(|failed| failed.error)?;
        if !head.is_informational() {
            break;
        }
    }
    let length = response_body(&head, is_head).map_err(|bad| UpstreamError::Protocol { bad })?;
    let mut decoder = Decoder::new(length);
    let mut source = Source {
        transport,
        input,
        decoder: &mut decoder,
    };
    loop {
        match source.next_piece(clock, Way::Download).await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(response_keeps_alive(&head, length)),
            Err(BodyError::Read(source) | BodyError::Write(source)) => return Err(broken(source)),
            Err(BodyError::Eof | BodyError::Malformed(_)) => {
                return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}
