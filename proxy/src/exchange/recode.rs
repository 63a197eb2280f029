//! Content that is framed anew on its way to the client, because faults shape it or the client needs another framing.

use std::time::Instant;

use brownout_fault::{Break, CutFraming, Keep, Shape};
use brownout_telemetry::Span;
use bytes::Bytes;
use http::StatusCode;
use smallvec::SmallVec;

use super::{
    After, Exchange,
    change::{Content, Rest},
    respond::Answer,
};
use crate::{
    http1::{BodyError, Encoder, EventTail, Fields, Output, ResponseHead, Source, Way, write_all},
    shaping::{BodyNext, BodyShaper},
};

/// One answer's content on its way. Dropping it tells the faults what they did up to then.
pub(super) struct Recoding<'e, 'c> {
    exchange: &'e Exchange<'e, 'c>,
    shaper: Option<Box<BodyShaper>>,
    kept: Option<KeptAnswer>,
    /// Of the faults that pace the content, up to its end.
    spans: SmallVec<[Span; 1]>,
    stalls: SmallVec<[usize; 1]>,
    /// Of the stall that holds it.
    stall: Option<(usize, Span)>,
    passed: u64,
    /// Of a stream of server-sent events that no fault shapes.
    events: Option<EventTail>,
}

/// A copy of an answer in the making.
pub(super) struct KeptAnswer {
    keep: Keep,
    fields: Fields,
    content: Vec<u8>,
}

/// How the first cut among `shapes` that says so wants the content framed.
pub(super) fn framing_of_cut(shapes: &[(usize, Shape)]) -> CutFraming {
    let wanted = shapes.iter().find_map(|(_, shape)| match shape {
        Shape::Cut(cut) if cut.framing != CutFraming::AsItCame => Some(cut.framing),
        Shape::Cut(_)
        | Shape::Pace(_)
        | Shape::Dribble { .. }
        | Shape::Stall(_)
        | Shape::Corrupt(_) => None,
    });
    wanted.unwrap_or_default()
}

impl Exchange<'_, '_> {
    /// Content of which the length is known: what comes in chunks, or to the end of the connection, is read to its end,
    /// unless it is longer than [`CutFraming::GATHERED_MAX`] or breaks off.
    pub(super) async fn sized(&self, answer: &mut Answer<'_>, content: Content) -> Content {
        let is_known = content.length(answer.length).is_some();
        if is_known || !matches!(content, Content::Upstream) {
            return content;
        }
        match answer.gather(self, CutFraming::GATHERED_MAX).await {
            Content::Gathered {
                content,
                rest: Rest::Nothing,
            } => Content::Own(content),
            gathered => gathered,
        }
    }
}

impl KeptAnswer {
    pub(super) fn new(keep: Keep, head: &ResponseHead) -> Self {
        Self {
            keep,
            fields: head.fields.clone(),
            content: Vec::new(),
        }
    }
}

impl<'e, 'c> Recoding<'e, 'c> {
    /// Of content of `length` bytes, that `shapes` act on.
    pub(super) fn new(
        exchange: &'e Exchange<'e, 'c>,
        shapes: SmallVec<[(usize, Shape); 1]>,
        length: Option<u64>,
    ) -> Self {
        let mut spans = SmallVec::new();
        let mut stalls = SmallVec::new();
        let record = exchange.record.borrow();
        for (by, shape) in &shapes {
            match shape {
                Shape::Pace(_) | Shape::Dribble { .. } => spans.push(record.span_of(*by)),
                Shape::Stall(_) => stalls.push(*by),
                Shape::Corrupt(_) | Shape::Cut(_) => {}
            }
        }
        let shaper = (!shapes.is_empty()).then(|| {
            let shapes = shapes
                .into_iter()
                .map(|(by, shape)| (by, shape, record.fired(by).released()));
            Box::new(BodyShaper::new(shapes, length, Instant::now()))
        });
        drop(record);
        Self {
            exchange,
            shaper,
            kept: None,
            spans,
            stalls,
            stall: None,
            passed: 0,
            events: None,
        }
    }

    /// The content is server-sent events, and ends between two of them when the proxy stops.
    pub(super) fn follow_events(&mut self) {
        self.events = self.shaper.is_none().then(EventTail::default);
    }

    /// Keeps a copy of the answer.
    pub(super) fn keep(&mut self, kept: KeptAnswer) {
        self.kept = Some(kept);
    }

    /// The length that the head must announce in place of the content's own; `None` if it does not change.
    pub(super) fn new_length(&self) -> Option<u64> {
        self.shaper.as_ref()?.new_length()
    }

    /// Passes the content on to its end. Gives what becomes of the connection when a fault ends it.
    ///
    /// # Errors
    /// When the content breaks off. What came before has been written by then.
    pub(super) async fn pass(
        &mut self,
        content: Content,
        source: &mut Source<'_>,
        encoder: Encoder,
    ) -> Result<Option<After>, BodyError> {
        let (ahead, rest) = match content {
            Content::Upstream => (Bytes::new(), Rest::Follows),
            Content::Own(content) => (content, Rest::Nothing),
            Content::Gathered { content, rest } => (content, rest),
        };
        match self.shaper.take() {
            None => self.pass_plain(ahead, rest, source, encoder).await,
            Some(mut shaper) => {
                let passed = self.pass_shaped(&mut shaper, ahead, rest, source, encoder);
                let passed = passed.await;
                self.shaper = Some(shaper);
                passed
            }
        }
    }

    async fn pass_plain(
        &mut self,
        ahead: Bytes,
        rest: Rest,
        source: &mut Source<'_>,
        mut encoder: Encoder,
    ) -> Result<Option<After>, BodyError> {
        if !ahead.is_empty() {
            self.copy(&ahead);
            if matches!(rest, Rest::Nothing) {
                self.put();
            }
            self.write(&ahead, &mut encoder).await?;
        }
        match rest {
            Rest::Broken(error) => return Err(error),
            Rest::Nothing => {}
            Rest::Follows => self.pass_rest(source, &mut encoder).await?,
        }
        self.put();
        self.finish(source, &encoder).await?;
        Ok(None)
    }

    /// Passes on what is still to be read, as it comes.
    async fn pass_rest(
        &mut self,
        source: &mut Source<'_>,
        encoder: &mut Encoder,
    ) -> Result<(), BodyError> {
        let exchange = self.exchange;
        loop {
            let events = self.events.as_ref();
            let may_end = events.is_some_and(EventTail::is_between_events);
            let ends_here = || may_end && exchange.client.is_last();
            let piece = source
                .next_piece_unless(exchange.clock, Way::Download, ends_here)
                .await?;
            let Some(piece) = piece else { break };
            if let Some(events) = &mut self.events {
                events.follow(&piece);
            }
            self.copy(&piece);
            if source.decoder.is_ended() {
                self.put();
            }
            self.write(&piece, encoder).await?;
        }
        if !source.decoder.is_ended() {
            self.kept = None; // There would have been more.
        }
        Ok(())
    }

    async fn pass_shaped(
        &mut self,
        shaper: &mut BodyShaper,
        ahead: Bytes,
        rest: Rest,
        source: &mut Source<'_>,
        mut encoder: Encoder,
    ) -> Result<Option<After>, BodyError> {
        let exchange = self.exchange;
        let is_live = matches!(rest, Rest::Follows);
        let mut broke = match rest {
            Rest::Broken(error) => Some(error),
            Rest::Nothing | Rest::Follows => None,
        };
        let mut has_ended = false;
        if !ahead.is_empty() {
            self.copy(&ahead);
            shaper.push(Instant::now(), ahead);
        }
        loop {
            let next = shaper.next(Instant::now());
            self.note(shaper);
            let until = match next {
                BodyNext::Write(bytes) => {
                    self.write(&bytes, &mut encoder).await?;
                    continue;
                }
                BodyNext::End => {
                    return match broke {
                        Some(error) => Err(error),
                        None => {
                            self.finish(source, &encoder).await?;
                            Ok(None)
                        }
                    };
                }
                BodyNext::Cut { by, how } => {
                    exchange.record.borrow_mut().cut_by_fault(by);
                    return match how {
                        Break::Clean => {
                            if exchange.client.is_stream() {
                                // An end that is early has no trailers.
                                drop(source.decoder.take_trailers());
                            }
                            self.finish(source, &encoder).await?;
                            Ok(None)
                        }
                        Break::Fin => Ok(Some(After::Close)),
                        Break::Reset(scope) => Ok(Some(exchange.reset(by, scope).await)),
                    };
                }
                BodyNext::WaitUntil(at) => Some(at),
                BodyNext::Idle => None,
            };
            if !has_ended && shaper.has_room() {
                let piece = match is_live {
                    true => source.take_piece().map_err(BodyError::Malformed),
                    false => Ok(None),
                };
                match piece {
                    Ok(Some(piece)) => {
                        self.copy(&piece);
                        if source.decoder.is_ended() {
                            self.put();
                        }
                        shaper.push(Instant::now(), piece);
                        continue;
                    }
                    Ok(None) if is_live && !source.decoder.is_ended() => {}
                    Ok(None) => {
                        has_ended = true;
                        if broke.is_none() {
                            self.put();
                        }
                        shaper.end(Instant::now());
                        continue;
                    }
                    // Everything before goes out first.
                    Err(error) => {
                        broke = Some(error);
                        has_ended = true;
                        shaper.end(Instant::now());
                        continue;
                    }
                }
            }
            let pausing = shaper.is_pausing();
            self.begin_stall(pausing);
            let reads = !has_ended && shaper.has_room();
            let waited = exchange
                .wait_for_content(shaper, source, until, reads, Way::Download)
                .await;
            if let Err(error) = waited {
                broke = Some(error);
                has_ended = true;
                shaper.end(Instant::now());
            }
        }
    }

    /// Begins the span of a stall.
    fn begin_stall(&mut self, pausing: Option<usize>) {
        if let Some(by) = pausing
            && self.stalls.contains(&by)
            && self.stall.is_none()
        {
            let span = self.exchange.record.borrow().span_of(by);
            self.stall = Some((by, span));
        }
    }

    fn note(&mut self, shaper: &mut BodyShaper) {
        let notes = shaper.take_notes();
        if notes.is_empty() {
            return;
        }
        self.stall = None;
        self.exchange.note_body(notes);
    }

    async fn write(&mut self, bytes: &Bytes, encoder: &mut Encoder) -> Result<(), BodyError> {
        let mut out = Output::new();
        out.extend(encoder.before(bytes.len() as u64).as_bytes());
        out.extend(bytes);
        out.extend(encoder.after());
        let exchange = self.exchange;
        let to = exchange.client.transport();
        self.passed += bytes.len() as u64;
        exchange.record.borrow_mut().sent_body(bytes.len() as u64);
        let written = write_all(to, out.bytes(), exchange.clock, Way::Download).await;
        written.map_err(BodyError::Write)
    }

    /// Ends the framing.
    async fn finish(&self, source: &mut Source<'_>, encoder: &Encoder) -> Result<(), BodyError> {
        let mut out = Output::new();
        encoder.end(source.decoder.take_trailers().as_ref(), out.bytes_mut());
        let exchange = self.exchange;
        let to = exchange.client.transport();
        let written = write_all(to, out.bytes(), exchange.clock, Way::Download).await;
        written.map_err(BodyError::Write)
    }

    fn copy(&mut self, piece: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.content.extend_from_slice(piece);
            if kept.content.len() > Keep::BYTES_MAX {
                self.kept = None;
            }
        }
    }

    /// Keeps the copy, which is whole now: before the client has all of the answer and may ask again.
    fn put(&mut self) {
        if let Some(kept) = self.kept.take() {
            let content = Bytes::from(kept.content);
            kept.keep
                .put(StatusCode::OK, &kept.fields, content, Instant::now());
        }
    }
}

impl Drop for Recoding<'_, '_> {
    fn drop(&mut self) {
        self.spans.clear();
        if let Some(shaper) = &mut self.shaper {
            shaper.abandon(Instant::now());
            self.exchange.note_body(shaper.take_notes());
            self.exchange.record.borrow_mut().shaped(self.passed);
        }
    }
}
