//! The request goes to the upstream, over a kept connection or a new one, and its answer comes back.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use brownout_fault::{ForwardFaults, ResponseFaults};
use bytes::Bytes;
use tokio::time::timeout;

use super::{
    After, Exchange, boxed,
    respond::{Answered, Responding},
    upload::{Paced, Upload, UploadEnd, finish_sending},
};
use crate::{
    clock::Part,
    error::{Chain, UpstreamError},
    http1::{
        BadBody, BodyLength, Input, Output, RequestHead, Source, UpstreamConnection, Wanted,
        write_request,
    },
    upstream::{Turn, Upstream},
};

/// Content that is there already goes with the head, up to so many bytes.
const WITH_HEAD_MAX: usize = 16 * 1024;

/// A request as it goes to the upstream.
pub(super) struct Outbound<'a> {
    pub(super) head: &'a mut RequestHead,
    upstream: Arc<Upstream>,
    /// The server whose turn it is.
    turn: Turn,
    /// The head and what goes with it.
    bytes: Output,
    /// Where in `bytes` the content begins.
    content_at: usize,
    /// Sending it twice does no harm: its method is idempotent (RFC 9110 §9.2.2) and it has no content.
    is_repeatable: bool,
    /// All of its content is in `bytes`.
    is_whole: bool,
}

/// What faults left of a request.
#[derive(Default)]
struct ChangedRequest {
    /// How its content goes on.
    paced: Option<Box<Paced>>,
    /// All of its content, if it was gathered.
    content: Option<Bytes>,
}

/// How one attempt at the upstream ended.
enum Attempt {
    Over(After),
    /// The kept connection was closed before the upstream had seen the request: it may be sent again.
    Stale,
    /// The upstream gave no answer.
    Failed(UpstreamError),
    /// The client's content is not framed as its head says, and nothing was answered.
    BadRequest(BadBody),
    /// As [`Self::BadRequest`], when the answer had begun.
    BadBehindAnswer(BadBody),
}

impl Exchange<'_, '_> {
    /// Sends the request on, whose head is [made ready](crate::http1::to_upstream), and passes on the upstream's answer, or
    /// says why there is none.
    pub(super) async fn forward(
        &self,
        upstream: Arc<Upstream>,
        head: &mut RequestHead,
        length: BodyLength,
        body: &mut Source<'_>,
        faults: Option<Box<ForwardFaults>>,
        mut after: Option<Box<ResponseFaults>>,
    ) -> After {
        let mut paced = None;
        let mut with_content = None;
        if let Some(faults) = faults {
            // Boxed here and below, as every exchange would have to keep room for it.
            let changed = self.change_request(*faults, head, length, body, &upstream);
            match Box::pin(changed).await {
                Some(changed) => (paced, with_content) = (changed.paced, changed.content),
                None => return After::Drop,
            }
        }
        let turn = upstream.next_server();
        (self.record.borrow_mut()).sending(head, &upstream, 0);

        let mut bytes = Output::new();
        write_request(head, bytes.bytes_mut());
        let content_at = bytes.bytes().len();
        let is_repeatable = body.decoder.is_ended()
            && with_content.is_none()
            && matches!(
                head.method(),
                "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"
            );
        match with_content {
            Some(content) => bytes.extend(&content),
            None if paced.is_none() && !self.asked.expects_continue => {
                match body.take_verbatim(WITH_HEAD_MAX, bytes.bytes_mut()) {
                    Ok(content) => {
                        if content > 0 {
                            self.count_request(content);
                        }
                    }
                    Err(bad) => return Box::pin(self.refuse_body(bad, body)).await,
                }
            }
            None => {}
        }
        let is_whole = body.decoder.is_ended() && paced.is_none();
        let outbound = Outbound {
            head,
            upstream,
            turn,
            bytes,
            content_at,
            is_repeatable,
            is_whole,
        };
        self.send(outbound, body, paced, &mut after).await
    }

    /// Changes a request as faults say; `None` when the client leaves meanwhile.
    async fn change_request(
        &self,
        faults: ForwardFaults,
        head: &mut RequestHead,
        length: BodyLength,
        body: &mut Source<'_>,
        upstream: &Arc<Upstream>,
    ) -> Option<ChangedRequest> {
        let ForwardFaults {
            edits,
            pace,
            copies,
        } = faults;
        let mut changed = ChangedRequest::default();
        for (by, edits) in &edits {
            let before = head.fields.clone();
            brownout_fault::apply(edits, &mut head.fields);
            if !before.iter().eq(head.fields.iter()) {
                self.record.borrow_mut().acts(*by);
            }
        }
        if !pace.is_empty() && length != BodyLength::Empty {
            changed.paced = Some(self.pace(pace, length));
        }
        if let Some((by, _)) = &copies
            && self.asked.tunnels
        {
            // What follows such a head on its stream has no copies.
            self.record.borrow_mut().skipped(*by);
        } else if let Some((by, copies)) = copies {
            let content = self.gather_request(body).await?;
            head.fields.remove("transfer-encoding");
            if length != BodyLength::Empty {
                let said = content.len().to_string();
                head.fields.set("Content-Length", said.as_bytes());
            }
            self.record.borrow_mut().acts(by);
            self.send_copies(by, copies, head, &content, upstream);
            changed.content = Some(content);
        }
        Some(changed)
    }

    async fn send(
        &self,
        mut outbound: Outbound<'_>,
        body: &mut Source<'_>,
        mut paced: Option<Box<Paced>>,
        after: &mut Option<Box<ResponseFaults>>,
    ) -> After {
        let has_limit = (outbound.upstream.options().pool.max_connections).is_some();
        let Turn { server, is_probe } = outbound.turn;
        // Where there is a limit it has to wait for its place; and a probe connects.
        let mut kept = match has_limit || is_probe {
            true => None,
            false => self.scope.pool.take(&outbound.upstream, server),
        };
        let mut is_repeated = false;
        loop {
            let connection = match kept.take() {
                Some(connection) => Ok(connection),
                // Boxed, as every exchange would have to keep room for it.
                None => {
                    let connect = self.connect(&outbound, body.input, is_repeated);
                    match Box::pin(connect).await {
                        Some(opened) => opened,
                        None => {
                            self.goes_to(&outbound, server);
                            return After::Drop;
                        }
                    }
                }
            };
            let reached = connection.as_ref().map_or(server, |it| it.server);
            self.goes_to(&outbound, reached);
            let attempt = match connection {
                Ok(connection) => {
                    // Another attempt follows only one that took none of the content.
                    let paced = paced.as_deref_mut();
                    self.attempt(connection, &outbound, body, paced, after)
                        .await
                }
                Err(error) => Attempt::Failed(error),
            };
            match attempt {
                Attempt::Over(over) => return over,
                Attempt::Stale => {
                    is_repeated = true;
                    let content = outbound.bytes.bytes()[outbound.content_at..].to_vec();
                    let mut record = self.record.borrow_mut();
                    record.sending(outbound.head, &outbound.upstream, 1);
                    drop(record);
                    outbound.bytes = Output::new();
                    write_request(outbound.head, outbound.bytes.bytes_mut());
                    outbound.content_at = outbound.bytes.bytes().len();
                    outbound.bytes.extend(&content);
                }
                Attempt::Failed(error) => {
                    self.clock.answering();
                    self.record.borrow_mut().upstream_failed(&error);
                    let detail = format!("upstream {} {}", outbound.upstream, Chain(&error));
                    let answer = self.own_answer(error.status(), &detail, Some(body));
                    return Box::pin(answer).await;
                }
                Attempt::BadBehindAnswer(bad) => return self.end_malformed(bad, body),
                Attempt::BadRequest(bad) => {
                    return Box::pin(self.refuse_body(bad, body)).await;
                }
            }
        }
    }

    /// Tells the span of the attempt which of several servers it goes to.
    fn goes_to(&self, outbound: &Outbound<'_>, server: u8) {
        if outbound.upstream.has_others() {
            let server = outbound.upstream.server(server);
            self.record.borrow_mut().goes_to(outbound.head, server);
        }
    }

    /// Opens a connection to the upstream, or waits for a kept one where their number has a limit, unless it has to be a new
    /// one. `None` when the client leaves meanwhile.
    async fn connect(
        &self,
        outbound: &Outbound<'_>,
        input: &mut Input,
        is_new: bool,
    ) -> Option<Result<Box<UpstreamConnection>, UpstreamError>> {
        let upstream = &outbound.upstream;
        let wanted = Wanted {
            turn: outbound.turn,
            is_new,
            client: (upstream.options().send_proxy).and_then(|_| self.client.ends()),
        };
        self.clock.enter(Part::Upstream);
        let opened = tokio::select! {
            biased;
            opened = UpstreamConnection::open(self.scope, upstream, wanted) => opened,
            () = self.client.left(input) => return None,
        };
        self.clock.enter(Part::Own);
        Some(opened)
    }

    /// Answers a request whose content is not framed as its head says.
    async fn refuse_body(&self, bad: BadBody, body: &mut Source<'_>) -> After {
        self.scope.route.refused(bad.why).add(1);
        self.record.borrow_mut().request_broke();
        self.client.close_after_this();
        let detail = format!("the request's body is malformed: {}", bad.detail);
        let _closes: After = self.own_answer(400, &detail, None).await;
        body.input.consume(body.input.len());
        After::Close
    }

    /// Ends an exchange whose answer has begun when the client's content turns out to be malformed. What was answered still
    /// arrives.
    fn end_malformed(&self, bad: BadBody, body: &mut Source<'_>) -> After {
        self.scope.route.refused(bad.why).add(1);
        self.record.borrow_mut().request_broke();
        body.input.consume(body.input.len());
        After::Close
    }

    /// Waits until it is known whether the upstream takes extended CONNECT. How the attempt ends if it does not.
    async fn takes_tunnels(
        &self,
        connection: &UpstreamConnection,
        input: &mut Input,
    ) -> Option<Attempt> {
        let Some(stream) = connection.transport.as_stream() else {
            return Some(Attempt::Failed(UpstreamError::NoTunnels));
        };
        let limit = connection.upstream.options().connect_timeout;
        self.clock.enter(Part::Upstream);
        let takes = tokio::select! {
            biased;
            takes = timeout(limit, stream.takes_tunnels()) => takes,
            () = self.client.left(input) => return Some(Attempt::Over(After::Drop)),
        };
        self.clock.enter(Part::Own);
        match takes {
            Ok(true) => None,
            Ok(false) => Some(Attempt::Failed(UpstreamError::NoTunnels)),
            Err(_) => Some(Attempt::Failed(UpstreamError::HeadTimeout { limit })),
        }
    }

    /// Sends the request on `connection` and passes the answer on. Both directions move at once: neither waits for the
    /// other.
    async fn attempt(
        &self,
        mut connection: Box<UpstreamConnection>,
        outbound: &Outbound<'_>,
        body: &mut Source<'_>,
        paced: Option<&mut Paced>,
        after: &mut Option<Box<ResponseFaults>>,
    ) -> Attempt {
        if self.asked.tunnels {
            // Boxed, as every exchange would have to keep room for it.
            let takes = Box::pin(self.takes_tunnels(&connection, body.input)).await;
            if let Some(ends) = takes {
                return ends;
            }
        }
        let is_kept = connection.was_used;
        let expects = self.asked.expects_continue && !body.decoder.is_ended();
        let upload = Upload::new(expects);
        let (answered, end) = {
            let UpstreamConnection {
                transport, input, ..
            } = &mut *connection;
            let sending = self.upload(
                &upload,
                outbound.bytes.bytes(),
                Source {
                    transport: body.transport,
                    input: &mut *body.input,
                    decoder: &mut *body.decoder,
                },
                paced,
                transport,
            );
            let mut sending = pin!(sending);
            let responding = Responding {
                transport,
                input,
                upload: &upload,
                request: outbound.head,
                head_timeout: outbound.upstream.options().head_timeout,
            };
            // Boxed, as two small pieces of memory cost the allocator less than a large one.
            let mut responding = boxed(|| self.respond(responding, after));
            // Once all is sent, only a client that leaves is to be seen there: the answer goes first.
            let raced = poll_fn(|cx| {
                let was_sent = upload.is_sent();
                if !was_sent && let Poll::Ready(end) = sending.as_mut().poll(cx) {
                    return Poll::Ready(Err(end));
                }
                if let Poll::Ready(answered) = responding.as_mut().poll(cx) {
                    return Poll::Ready(Ok(answered));
                }
                if was_sent {
                    return sending.as_mut().poll(cx).map(Err);
                }
                Poll::Pending
            });
            let raced = raced.await;
            match raced {
                // What is on its way belongs to this request: it is sent before the connection carries another protocol.
                Ok(answered @ (Answered::Whole(_) | Answered::Upgrade(_))) => {
                    let end = match upload.is_sent() {
                        true => None,
                        false => {
                            Box::pin(finish_sending(&upload, self.clock, sending.as_mut())).await
                        }
                    };
                    (answered, end)
                }
                Ok(answered) => (answered, None),
                Err(UploadEnd::Malformed(bad)) => {
                    self.clock.answering();
                    return match upload.answer_has_begun.get() || upload.is_informing.get() {
                        true => Attempt::BadBehindAnswer(bad),
                        false => Attempt::BadRequest(bad),
                    };
                }
                Err(UploadEnd::Unwritten(_)) if is_kept => return Attempt::Stale,
                Err(UploadEnd::Unwritten(source)) => {
                    return Attempt::Failed(UpstreamError::of_broken(source));
                }
                Err(UploadEnd::Left) => return Attempt::Over(After::Drop),
            }
        };
        match answered {
            Answered::Failed(failed) => {
                let was_unread = failed.was_unread && !upload.was_informed.get();
                // What a stream was refused for was not acted on, whatever it is.
                let was_refused = connection.transport.was_refused() && outbound.is_whole;
                if is_kept && was_unread && (outbound.is_repeatable || was_refused) {
                    return Attempt::Stale;
                }
                Attempt::Failed(failed.error)
            }
            Answered::Over(over) => Attempt::Over(over),
            Answered::Upgrade(answer) => match end {
                None if upload.is_refused() => Attempt::Over(After::Drop),
                None => Attempt::Over(self.upgrade(connection, answer, body)),
                Some(UploadEnd::Malformed(bad)) => Attempt::BadRequest(bad),
                Some(UploadEnd::Left | UploadEnd::Unwritten(_)) => Attempt::Over(After::Drop),
            },
            Answered::Whole(whole) => {
                let request_is_whole = upload.is_sent();
                if request_is_whole && whole.keeps_upstream {
                    self.scope
                        .pool
                        .give_back(connection, self.clock.last_turn());
                }
                match end {
                    None => {}
                    Some(UploadEnd::Malformed(bad)) => {
                        return Attempt::BadBehindAnswer(bad);
                    }
                    Some(UploadEnd::Left | UploadEnd::Unwritten(_)) => {
                        return Attempt::Over(After::Drop);
                    }
                }
                if !whole.keeps_client {
                    return Attempt::Over(After::Close);
                }
                // The rest of a request that nobody wants any more is read within bounds.
                let is_usable = request_is_whole || Box::pin(self.read_all(body)).await;
                Attempt::Over(if is_usable { After::Next } else { After::Close })
            }
        }
    }
}
