//! The head of an answer goes out in pieces, as a `dribble` that includes it says.

use std::time::{Duration, Instant};

use brownout_fault::{Dribble, Shape};
use bytes::Bytes;
use smallvec::SmallVec;

use super::Exchange;
use crate::{
    clock::Part,
    http1::{BodyError, Output, ResponseHead, Source, Way, write_all, write_response},
    shaping::{BodyNext, BodyShaper},
};

/// What a fault does to the head of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadDribble {
    /// The index of the fault.
    by: usize,
    piece_bytes: u64,
    gap: Duration,
}

impl HeadDribble {
    /// Of the first fault among `shapes` that dribbles the head. The content of `length` bytes, `None` if that is unknown, goes
    /// on in pieces of the same size. What the hop changes about the head is not known yet: pieces of an even size may
    /// be some bytes off.
    pub(super) fn among(
        shapes: &mut SmallVec<[(usize, Shape); 1]>,
        head: &ResponseHead,
        length: Option<u64>,
    ) -> Option<Self> {
        shapes.iter_mut().find_map(|(by, shape)| match shape {
            Shape::Dribble {
                pieces,
                includes_head: true,
            } => {
                let mut written = Output::new();
                write_response(head, written.bytes_mut());
                let head_bytes = written.bytes().len() as u64;
                let all = length.map(|length| length.saturating_add(head_bytes));
                let (piece_bytes, gap) = pieces.pieces(all);
                *pieces = Dribble::Sized { piece_bytes, gap };
                Some(Self {
                    by: *by,
                    piece_bytes,
                    gap,
                })
            }
            Shape::Dribble { .. }
            | Shape::Corrupt(_)
            | Shape::Pace(_)
            | Shape::Stall(_)
            | Shape::Cut(_) => None,
        })
    }
}

impl Exchange<'_, '_> {
    /// Writes a head in pieces with gaps between; and a gap behind it, if content follows. Once the fault is removed
    /// the rest goes at once.
    ///
    /// # Errors
    /// When the client does not take it.
    pub(super) async fn dribble_head(
        &self,
        dribble: HeadDribble,
        head: &[u8],
        content_follows: bool,
        source: &mut Source<'_>,
    ) -> Result<(), BodyError> {
        let HeadDribble {
            by,
            piece_bytes,
            gap,
        } = dribble;
        let released = self.record.borrow().fired(by).released();
        let shape = Shape::Dribble {
            pieces: Dribble::Sized { piece_bytes, gap },
            includes_head: false,
        };
        let shapes = [(by, shape, released.clone())];
        let mut shaper = BodyShaper::new(shapes, Some(head.len() as u64), Instant::now());
        shaper.push(Instant::now(), Bytes::copy_from_slice(head));
        shaper.end(Instant::now());
        self.record.borrow_mut().head_goes_out(true);
        let written = loop {
            let next = shaper.next(Instant::now());
            self.note_body(shaper.take_notes());
            let until = match next {
                BodyNext::Write(bytes) => {
                    let to = self.client.transport();
                    match write_all(to, &bytes, self.clock, Way::Download).await {
                        Ok(()) => continue,
                        Err(error) => break Err(BodyError::Write(error)),
                    }
                }
                BodyNext::WaitUntil(at) => Some(at),
                BodyNext::Idle => None,
                BodyNext::End | BodyNext::Cut { .. } => break Ok(()),
            };
            // Nothing is read, so nothing of the content can be wrong.
            self.wait_for_content(&mut shaper, source, until, false, Way::Download)
                .await?;
        };
        shaper.abandon(Instant::now());
        self.note_body(shaper.take_notes());
        written?;
        self.record.borrow_mut().head_goes_out(false);
        if content_follows && !released.has_happened() {
            self.record.borrow_mut().acts(by);
            self.record.borrow_mut().pause(Some(by));
            self.clock.enter(Part::Fault);
            tokio::select! {
                () = self.scope.timer.sleep(gap) => {}
                () = released.wait() => {}
            }
            self.clock.enter(Part::Own);
            self.record.borrow_mut().pause(None);
        }
        Ok(())
    }
}
