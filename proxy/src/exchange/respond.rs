//! The upstream's answer on its way to the client, with what faults do to it.

use std::time::Duration;

use brownout_fault::{CutFraming, Keep, ResetScope, ResponseEnding, ResponseFaults, Shape};
use bytes::Bytes;
use http::StatusCode;
use smallvec::SmallVec;

use super::{
    After, Exchange,
    change::{Content, Rest},
    head_dribble::HeadDribble,
    recode::{KeptAnswer, Recoding, framing_of_cut},
    upload::Upload,
};
use crate::{
    clock::Part,
    error::ErrorKind,
    http1::{
        BodyError, BodyLength, Decoder, Encoder, EventTail, FieldKind, Input, NoAnswer, Outgoing,
        Output, Persistence, RequestHead, ResponseHead, Source, Way, response_body,
        response_keeps_alive, to_client, write_all, write_response,
    },
    limits::DRAIN,
    transport::Transport,
};

/// What an answer is read from, and what it answers.
pub(super) struct Responding<'a> {
    pub(super) transport: &'a Transport,
    pub(super) input: &'a mut Input,
    pub(super) upload: &'a Upload,
    pub(super) request: &'a RequestHead,
    /// The route's limit for the head.
    pub(super) head_timeout: Option<Duration>,
}

/// How an answer ended.
pub(super) enum Answered {
    /// The client has all of it.
    Whole(Whole),
    /// It ended otherwise, and so did the exchange.
    Over(After),
    /// There was none.
    Failed(NoAnswer),
    /// The connection changes its protocol behind this head.
    Upgrade(Box<ResponseHead>),
}

/// What connections outlive an answer that was passed on whole.
pub(super) struct Whole {
    pub(super) keeps_client: bool,
    pub(super) keeps_upstream: bool,
}

/// Content that came with the head is copied behind it up to so many bytes: that costs less than to write two pieces.
const COPIED_MAX: usize = 4 * 1024;

impl Exchange<'_, '_> {
    /// Reads the upstream's answer and passes it on, as faults say.
    pub(super) async fn respond(
        &self,
        mut from: Responding<'_>,
        faults: &mut Option<Box<ResponseFaults>>,
    ) -> Answered {
        // 1xx that come before a wait of a fault share it; those of an answer that is replaced are dropped.
        let holds = (faults.as_ref())
            .is_some_and(|faults| !faults.delays.is_empty() || faults.ending.is_some());
        let mut held = Vec::new();
        let head = match from.head_timeout {
            None => self.final_head(&mut from, holds, &mut held).await,
            // Boxed, as most routes have no limit.
            Some(limit) => {
                Box::pin(self.final_head_within(limit, &mut from, holds, &mut held)).await
            }
        };
        let mut head = match head {
            Ok(head) => head,
            Err(failed) => return Answered::Failed(failed),
        };
        let length = match response_body(&head, self.asked.is_head) {
            Ok(length) => length,
            Err(bad) => return Answered::Failed(NoAnswer::of(bad)),
        };
        self.clock.answering();
        {
            let mut record = self.record.borrow_mut();
            record.answered(head.status);
            record.answered_in(match from.transport.is_stream() {
                true => "2",
                false if head.is_http10() => "1.0",
                false => "1.1",
            });
        }
        let keeps_upstream = response_keeps_alive(&head, length);
        if self.asked.is_http10 && length == BodyLength::Empty {
            // RFC 9112 §6.1: HTTP/1.0 knows no codings. Where there is content, it is framed anew.
            head.fields.remove_kind(FieldKind::TransferEncoding);
        }
        let mut decoder = Decoder::new(length);
        let source = Source {
            transport: from.transport,
            input: from.input,
            decoder: &mut decoder,
        };
        let mut answer = Answer {
            head,
            length,
            source,
            upload: from.upload,
            keeps_upstream,
        };
        match faults.take() {
            None if self.switches(answer.head.status) => Answered::Upgrade(answer.head),
            // Boxed here and below, as every exchange would have to keep room for it.
            None if answer.needs_framing(self.asked.is_http10) => {
                let shaped = self.pass_shaped(answer, Content::Upstream, SmallVec::new(), None);
                Box::pin(shaped).await
            }
            None => {
                let answered = self.pass_on(&mut answer).await;
                answer.head.recycle();
                answered
            }
            Some(faults) => {
                Box::pin(self.respond_with_faults(answer, *faults, from.request, &held)).await
            }
        }
    }

    /// Waits, ends the exchange or changes the answer, as `faults` say.
    async fn respond_with_faults(
        &self,
        mut answer: Answer<'_>,
        faults: ResponseFaults,
        request: &RequestHead,
        held: &[u8],
    ) -> Answered {
        let ResponseFaults {
            delays,
            ending,
            changes,
            shapes,
            keep,
        } = faults;
        if !delays.is_empty() {
            answer.source.input.shrink();
        }
        for delay in delays {
            self.wait(delay).await;
        }
        if let Some((by, ending)) = ending {
            return Answered::Over(match ending {
                ResponseEnding::Answer(made) => {
                    answer.upload.answer_has_begun.set(true);
                    self.record.borrow_mut().acts(by);
                    let after = self.answer_instead(by, &made, &request.fields, None).await;
                    match after {
                        After::Next if !answer.upload.is_sent() => After::Close,
                        After::Next | After::Close | After::Drop | After::Upgrade(_) => after,
                    }
                }
                ResponseEnding::Reset(scope) => {
                    self.record.borrow_mut().acts(by);
                    self.record.borrow_mut().withheld_by_fault(by);
                    self.reset(by, scope).await
                }
                ResponseEnding::Malformed(how) => {
                    self.record.borrow_mut().acts(by);
                    self.send_malformed(how, by, answer).await
                }
            });
        }
        if !held.is_empty() {
            self.inform(answer.upload, held).await;
        }
        if self.switches(answer.head.status) {
            return Answered::Upgrade(answer.head);
        }
        // What another fault changes is not the upstream's answer any more.
        let status = StatusCode::from_u16(answer.head.status).ok();
        let keep = keep.filter(|_| {
            changes.is_empty() && status.is_some_and(|it| Keep::takes(request.method(), it))
        });
        let mut content = Content::Upstream;
        for (by, change) in &changes {
            if self.change(change, &mut answer, &mut content).await {
                self.record.borrow_mut().acts(*by);
                if change.sets("retry-after")
                    && let Some(told) = answer.head.fields.get("retry-after")
                {
                    self.record.borrow_mut().fault_tells_to_wait(*by, told);
                }
            } else {
                self.record.borrow_mut().skipped(*by);
            }
        }
        self.pass_shaped(answer, content, shapes, keep).await
    }

    /// Passes an answer on as it is.
    async fn pass_on(&self, answer: &mut Answer<'_>) -> Answered {
        let keeps_client = self.keeps_client(answer, answer.length);
        let mut out = Output::new();
        to_client(
            &mut answer.head,
            Outgoing::Keep,
            self.persistence(keeps_client),
        );
        self.note_retry_after(&answer.head);
        write_response(&answer.head, out.bytes_mut());
        let (mut begun, flaw) = answer.source.track();
        if let Some(bad) = flaw
            && begun.data == 0
        {
            return Answered::Failed(NoAnswer::of(bad.into())); // Nothing was sent.
        }
        answer.upload.answer_has_begun.set(true);
        let record = self.record;
        record.borrow_mut().begins_answer(begun.data);
        let events = answer.follows_events().then(|| {
            let mut tail = EventTail::default();
            tail.follow(&answer.source.input.bytes()[..begun.used]);
            tail
        });
        if begun.used <= COPIED_MAX {
            out.extend(&answer.source.input.bytes()[..begun.used]);
            answer.source.input.consume(begun.used);
            begun.used = 0;
        }
        let to = self.client.transport();
        let written = (answer.source)
            .write_behind(out.bytes(), begun.used, to, self.clock, Way::Download)
            .await;
        if written.is_err() {
            return Answered::Over(After::Drop);
        }
        drop(out);
        if let Some(bad) = flaw {
            return Box::pin(self.broken(BodyError::Malformed(bad), answer.length)).await;
        }
        if let Some(tail) = events {
            return Box::pin(self.pass_events(answer, tail, keeps_client)).await;
        }
        if !answer.source.decoder.is_ended() {
            let passed = answer
                .source
                .pass_verbatim(to, self.clock, Way::Download, |bytes| {
                    record.borrow_mut().sent_body(bytes);
                });
            if let Err(error) = Box::pin(passed).await {
                return Box::pin(self.broken(error, answer.length)).await;
            }
        }
        record.borrow_mut().done();
        Answered::Whole(Whole {
            keeps_client,
            keeps_upstream: answer.keeps_upstream,
        })
    }

    /// Passes an answer on with its content framed anew, as faults shape it.
    pub(super) async fn pass_shaped(
        &self,
        mut answer: Answer<'_>,
        content: Content,
        mut shapes: SmallVec<[(usize, Shape); 1]>,
        keep: Option<Keep>,
    ) -> Answered {
        let has_no_content = self.asked.is_head || matches!(answer.head.status, 204 | 304);
        let wanted = framing_of_cut(&shapes);
        let content = match wanted {
            CutFraming::ContentLength if !has_no_content => self.sized(&mut answer, content).await,
            _ => content,
        };
        let known = content.length(answer.length);
        let length = match known {
            _ if has_no_content => Some(0),
            known => known,
        };
        let head_dribble = HeadDribble::among(&mut shapes, &answer.head, length);
        let mut recoding = Recoding::new(self, shapes, length);
        // A stream ends by itself, so an early end needs no length (RFC 9113 §8.1.1).
        let drops_length = self.client.is_stream()
            && wanted == CutFraming::AsItCame
            && recoding.new_length().is_some();
        let new_length = recoding.new_length().or(length);
        let framing = match new_length {
            _ if has_no_content => BodyLength::Empty,
            Some(bytes)
                if (wanted != CutFraming::Chunked && !drops_length) || self.asked.is_http10 =>
            {
                BodyLength::Sized(bytes)
            }
            None if self.asked.is_http10 => BodyLength::UntilClose,
            Some(_) | None => BodyLength::Chunked,
        };
        let keeps_client = self.keeps_client(&answer, framing) && framing != BodyLength::UntilClose;
        let is_replaced = !matches!(content, Content::Upstream);
        if !is_replaced && answer.head.has_events() {
            recoding.follow_events();
        }
        let content = match has_no_content {
            true => Content::Own(Bytes::new()),
            false => content,
        };
        let outgoing = match framing {
            // The length that such an answer tells is that of another (RFC 9110 §8.6).
            BodyLength::Empty if !is_replaced => Outgoing::Keep,
            BodyLength::Empty | BodyLength::UntilClose => Outgoing::None,
            BodyLength::Sized(bytes) => Outgoing::Sized(bytes),
            BodyLength::Chunked => Outgoing::Chunked,
        };
        to_client(&mut answer.head, outgoing, self.persistence(keeps_client));
        if let Some(keep) = keep {
            recoding.keep(KeptAnswer::new(keep, &answer.head));
        }
        let mut out = Output::new();
        write_response(&answer.head, out.bytes_mut());
        self.note_retry_after(&answer.head);
        answer.upload.answer_has_begun.set(true);
        self.record.borrow_mut().begins_answer(0);
        let written = match head_dribble {
            None => {
                let to = self.client.transport();
                let written = write_all(to, out.bytes(), self.clock, Way::Download).await;
                written.map_err(BodyError::Write)
            }
            Some(dribble) => {
                let follows = new_length.is_none_or(|bytes| bytes > 0);
                self.dribble_head(dribble, out.bytes(), follows, &mut answer.source)
                    .await
            }
        };
        if written.is_err() {
            return Answered::Over(After::Drop);
        }
        drop(out);
        let passed = recoding
            .pass(content, &mut answer.source, Encoder::new(framing))
            .await;
        match passed {
            Ok(recoded) => {
                if let Some(over) = recoded {
                    return Answered::Over(over);
                }
            }
            Err(error) => return self.broken(error, framing).await,
        }
        self.record.borrow_mut().done();
        Answered::Whole(Whole {
            keeps_client,
            keeps_upstream: answer.keeps_upstream && answer.source.decoder.is_ended(),
        })
    }

    /// Ends an answer that broke off. The client gets what came before, and must see that this was not all: the end of the
    /// connection is a reset where it could be taken for the end of the content.
    pub(super) async fn broken(&self, error: BodyError, framing: BodyLength) -> Answered {
        let kind = match error {
            BodyError::Write(_) => return Answered::Over(After::Drop),
            BodyError::Eof | BodyError::Read(_) => ErrorKind::Reset,
            BodyError::Malformed(_) => ErrorKind::Protocol,
        };
        self.record.borrow_mut().broke(kind, "incomplete_body");
        let reads_to_the_end = framing == BodyLength::UntilClose || self.asked.is_http10;
        if !reads_to_the_end {
            return Answered::Over(After::Close);
        }
        self.clock.enter(Part::Client);
        self.client.settled(ResetScope::AUTO, DRAIN).await;
        self.client.reset(ResetScope::AUTO);
        Answered::Over(After::Drop)
    }

    /// Notes what an answer that may tell the client to wait says of that (RFC 9110 §10.2.3).
    fn note_retry_after(&self, head: &ResponseHead) {
        if head.status >= 300 {
            let told = head.fields.get("retry-after");
            self.record.borrow_mut().tells_to_wait(told);
        }
    }

    /// Whether the client's connection may carry another request behind this answer.
    fn keeps_client(&self, answer: &Answer<'_>, framing: BodyLength) -> bool {
        // The client may send its content or not: nobody can tell where its next request begins.
        let is_unclear = answer.upload.gate.is_closed();
        let is_cut_short = !answer.upload.is_sent() && !answer.keeps_upstream;
        self.asked.keeps_alive
            && !self.client.is_last()
            && !is_unclear
            && !is_cut_short
            && framing != BodyLength::UntilClose
    }

    /// Whether another protocol follows the head of a final answer.
    fn switches(&self, status: u16) -> bool {
        status == 101 || (self.asked.tunnels && (200..300).contains(&status))
    }

    pub(super) fn persistence(&self, keeps_client: bool) -> Persistence {
        match (keeps_client, self.asked.is_http10) {
            (false, _) => Persistence::Close,
            (true, true) => Persistence::KeepAlive,
            (true, false) => Persistence::Unsaid,
        }
    }
}

/// An upstream's answer, of which the head was read.
pub(super) struct Answer<'a> {
    pub(super) head: Box<ResponseHead>,
    pub(super) length: BodyLength,
    pub(super) source: Source<'a>,
    pub(super) upload: &'a Upload,
    pub(super) keeps_upstream: bool,
}

impl Answer<'_> {
    /// Whether the client could not tell where the content ends.
    fn needs_framing(&self, is_http10: bool) -> bool {
        match self.length {
            BodyLength::Empty | BodyLength::Sized(_) => false,
            BodyLength::Chunked => is_http10,
            BodyLength::UntilClose => true,
        }
    }

    /// Whether server-sent events are still to come, in chunks.
    fn follows_events(&self) -> bool {
        self.length == BodyLength::Chunked
            && !self.source.decoder.is_ended()
            && self.head.has_events()
    }

    /// The content up to its end, or as far as it was read: up to `bytes_max` and a piece more, or until it broke.
    pub(super) async fn gather(
        &mut self,
        exchange: &Exchange<'_, '_>,
        bytes_max: usize,
    ) -> Content {
        let mut gathered = Vec::new();
        let rest = loop {
            match self.source.next_piece(exchange.clock, Way::Download).await {
                Ok(None) => break Rest::Nothing,
                Ok(Some(piece)) => gathered.extend_from_slice(&piece),
                Err(error) => break Rest::Broken(error),
            }
            if gathered.len() > bytes_max {
                break Rest::Follows;
            }
        };
        Content::Gathered {
            content: gathered.into(),
            rest,
        }
    }
}
