//! The body of one request or response with the faults on it, whoever reads and writes its bytes.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use brownout_fault::{Break, CutAt, Released, Shape};
use bytes::Bytes;
use smallvec::SmallVec;

use super::{
    shaper::{Next, Shaper},
    stage::{self, EarlyEnd, Report},
};

/// What is to be done with a body now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyNext {
    /// Write these bytes; at least one.
    Write(Bytes),
    /// Nothing before this time, unless more comes or a fault is removed.
    WaitUntil(Instant),
    /// Nothing, unless more comes or a fault is removed.
    Idle,
    /// The source has ended and everything is written. Every later call says so again.
    End,
    /// The fault with the index `by` ends the body here. Every later call says so again.
    Cut { by: usize, how: Break },
}

/// What a fault did to a body, to be counted. `by` is the index of the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyNote {
    /// It has its first effect. A fault of which this is never said changed nothing.
    Acts { by: usize },
    /// It held the body for `achieved`. `asked` is how long it was to do so; `None` if the hold ended early, because the
    /// fault was removed or the body was given up.
    Held {
        by: usize,
        asked: Option<Duration>,
        achieved: Duration,
    },
    /// It paced or cut the body, and has done so to its end or until it was removed. `bytes` were given to be written in
    /// that time; `took` is counted from when the first bytes came.
    Passed {
        by: usize,
        bytes: u64,
        took: Duration,
    },
}

/// Notes in the order in which things happened.
pub(crate) type BodyNotes = SmallVec<[BodyNote; 2]>;

/// What faults do to one body.
///
/// Order: bytes are damaged, then dribbled, paced, stalled, and cut. So a cut or a stall is at a place in the body as the
/// other side sees it; a stall stops the dribble and the budgets before it, and of a cut and a stall at one place the
/// cut comes first. Every budget must allow a byte.
///
/// A fault that paces or stalls lets go when it is removed: what it holds passes on at once, in order, and a stall that
/// would have ended the body does not. Damage and cuts hold nothing, and the head may have announced them: they stay.
///
/// It keeps up to 64 KiB and a chunk, or a sixteenth of a second of the rate up to 4 MiB. Dropping it loses that; call
/// [`abandon`](Self::abandon) before, if the body has not ended.
pub(crate) struct BodyShaper {
    shaper: Shaper<BodyReport>,
    releases: SmallVec<[Release; 1]>,
    /// A cut at a fraction of a body of unknown length: its place is known once the first bytes come.
    open_cut: Option<(u64, usize, Shape)>,
    new_length: Option<u64>,
    /// Bytes that were given to be written.
    passed_bytes: u64,
    /// When the first bytes came from the source.
    began: Option<Instant>,
    /// How the body ended.
    ended: Option<BodyNext>,
    notes: BodyNotes,
}

impl BodyShaper {
    /// Begins a body of `length` bytes, `None` if that is unknown, that `shapes` act on. Each comes with the index of its
    /// fault and with what tells that the fault is removed. Shapes that cannot reach a byte of the body are left out.
    pub(crate) fn new(
        shapes: impl IntoIterator<Item = (usize, Shape, Released)>,
        length: Option<u64>,
        now: Instant,
    ) -> Self {
        let mut made = Self {
            shaper: Shaper::default(),
            releases: SmallVec::new(),
            open_cut: None,
            new_length: None,
            passed_bytes: 0,
            began: None,
            ended: None,
            notes: SmallVec::new(),
        };
        let reaches = |shape: &Shape| length.is_none_or(|length| shape.reaches(length));
        let mut shapes: SmallVec<[_; 2]> = shapes
            .into_iter()
            .filter(|(_, shape, _)| reaches(shape))
            .collect();
        shapes.sort_by_key(|(_, shape, _)| Position::of(shape));
        for (number, (by, shape, bell)) in (0..).zip(shapes) {
            match &shape {
                Shape::Corrupt(_) => {}
                Shape::Pace(_) | Shape::Dribble { .. } | Shape::Stall(_) => {
                    made.releases.push(Release::new(number, bell));
                }
                Shape::Cut(cut) if length.is_none() && matches!(cut.at, CutAt::Fraction(_)) => {
                    made.open_cut = Some((number, by, shape));
                    continue;
                }
                Shape::Cut(_) => {}
            }
            made.add((number, by, shape), length, 0, now);
        }
        made.take_notes_of_stages();
        made
    }

    fn add(
        &mut self,
        (number, by, shape): (u64, usize, Shape),
        length: Option<u64>,
        first_bytes: u64,
        now: Instant,
    ) {
        let mut report = BodyReport {
            by,
            measures_bytes: !matches!(shape, Shape::Corrupt(_) | Shape::Stall(_)),
            has_acted: false,
            notes: SmallVec::new(),
        };
        if let Shape::Cut(cut) = &shape
            && let (Break::Clean, Some(length)) = (cut.how, length)
        {
            let at = cut.at.bytes(length);
            self.new_length = Some(self.new_length.map_or(at, |other| other.min(at)));
            report.acted(); // The head says another length.
        }
        let machine = stage::of_body(number, shape, length, first_bytes, now);
        self.shaper.add(number, machine, report);
    }

    /// The length that the head must announce in place of the body's own: a clean cut leaves so many bytes. `None` if the
    /// length does not change or is unknown.
    pub(crate) fn new_length(&self) -> Option<u64> {
        self.new_length
    }

    /// Whether more may be read from the source. False while there is something to write.
    pub(crate) fn has_room(&self) -> bool {
        self.ended.is_none() && !self.shaper.is_ready() && self.shaper.has_room()
    }

    /// Takes bytes that were read.
    pub(crate) fn push(&mut self, now: Instant, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.began.get_or_insert(now);
        if let Some(cut) = self.open_cut.take() {
            self.add(cut, None, bytes.len() as u64, now);
        }
        self.shaper.push(now, bytes);
    }

    /// Takes the end of the source. Whether it ended in order or broke off is for the caller to remember until
    /// [`next`](Self::next) says [`BodyNext::End`]: everything before is written first.
    pub(crate) fn end(&mut self, now: Instant) {
        self.shaper.end(now);
    }

    /// What is to be done now.
    pub(crate) fn next(&mut self, now: Instant) -> BodyNext {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        self.let_go(now, Release::is_rung);
        let next = self.shaper.next(now);
        let ended = match next {
            Next::Write(bytes) => {
                self.passed_bytes += bytes.len() as u64;
                return BodyNext::Write(bytes);
            }
            Next::WaitUntil(at) => return BodyNext::WaitUntil(at),
            Next::Idle => return BodyNext::Idle,
            Next::End => BodyNext::End,
            Next::Cut(EarlyEnd { by, how }) => BodyNext::Cut {
                by: self.index_of(by),
                how,
            },
        };
        self.finish(now, ended.clone());
        ended
    }

    /// Gives the body up: nobody takes it any more. Holds in progress are noted as ended early.
    /// Afterwards [`next`](Self::next) says [`BodyNext::End`]. Does nothing if the body has ended.
    pub(crate) fn abandon(&mut self, now: Instant) {
        if self.ended.is_none() {
            self.finish(now, BodyNext::End);
        }
    }

    fn finish(&mut self, now: Instant, ended: BodyNext) {
        self.shaper.abandon(now);
        self.take_notes_of_stages();
        let passed = self.passed(now);
        let measured = self.shaper.reports().filter(|report| report.is_measured());
        let passed = measured.map(|report| passed.note(report.by));
        self.notes.extend(passed);
        self.releases.clear();
        self.ended = Some(ended);
    }

    /// The fault because of which nothing is to be written now; `None` if there is none, as when the source has given
    /// nothing. Ask after [`next`](Self::next) said [`BodyNext::WaitUntil`] or [`BodyNext::Idle`].
    pub(crate) fn is_pausing(&self) -> Option<usize> {
        let pausing = self.shaper.pausing().filter(|_| self.ended.is_none());
        pausing.map(|report| report.by)
    }

    /// Ready when a fault was removed since the last call: then [`next`](Self::next) may have something to do. Otherwise
    /// the task is woken when that happens.
    pub(crate) fn poll_released(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        match self.let_go(now, |release| release.poll(cx).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Takes what happened since the last call.
    pub(crate) fn take_notes(&mut self) -> BodyNotes {
        self.take_notes_of_stages();
        std::mem::take(&mut self.notes)
    }

    /// Removes the stages whose fault is removed. Whether there were any.
    fn let_go(&mut self, now: Instant, mut is_removed: impl FnMut(&mut Release) -> bool) -> bool {
        let mut removed: SmallVec<[u64; 1]> = SmallVec::new();
        self.releases.retain(|release| {
            let is_removed = is_removed(release);
            if is_removed {
                removed.push(release.number);
            }
            !is_removed
        });
        for number in &removed {
            self.take_notes_of_stages();
            let Some(mut report) = self.shaper.remove(*number, now) else {
                continue;
            };
            self.notes.append(&mut report.notes);
            if report.is_measured() {
                self.notes.push(self.passed(now).note(report.by));
            }
        }
        !removed.is_empty()
    }

    fn passed(&self, now: Instant) -> Passed {
        let since = |began| now.saturating_duration_since(began);
        Passed {
            bytes: self.passed_bytes,
            took: self.began.map_or(Duration::ZERO, since),
        }
    }

    fn take_notes_of_stages(&mut self) {
        for report in self.shaper.reports() {
            self.notes.append(&mut report.notes);
        }
    }

    /// The index of the fault of the stage with this number: stages that cut are never removed before the end.
    fn index_of(&mut self, number: u64) -> usize {
        let report = self.shaper.report(number);
        report.map_or(0, |report| report.by)
    }
}

impl fmt::Debug for BodyShaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyShaper")
            .field("shaper", &self.shaper)
            .field("passed_bytes", &self.passed_bytes)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Where in the row a shape stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Position {
    Damage,
    Dribble,
    Pace,
    /// Earlier places first, so that a stall begins only when those before it are over.
    Stall(u64),
    Cut,
}

impl Position {
    fn of(shape: &Shape) -> Self {
        match shape {
            Shape::Corrupt(_) => Self::Damage,
            Shape::Dribble { .. } => Self::Dribble,
            Shape::Pace(_) => Self::Pace,
            Shape::Stall(stall) => Self::Stall(stall.after_bytes),
            Shape::Cut(_) => Self::Cut,
        }
    }
}

/// Bytes that were given to be written, and the time since the first bytes came.
#[derive(Debug, Clone, Copy)]
struct Passed {
    bytes: u64,
    took: Duration,
}

impl Passed {
    fn note(self, by: usize) -> BodyNote {
        let Self { bytes, took } = self;
        BodyNote::Passed { by, bytes, took }
    }
}

/// Notes what one fault does.
#[derive(Debug)]
struct BodyReport {
    by: usize,
    /// Whether the bytes of the body and their time are noted for it.
    measures_bytes: bool,
    has_acted: bool,
    notes: BodyNotes,
}

impl BodyReport {
    fn is_measured(&self) -> bool {
        self.measures_bytes && self.has_acted
    }
}

impl Report for BodyReport {
    fn acted(&mut self) {
        if !std::mem::replace(&mut self.has_acted, true) {
            self.notes.push(BodyNote::Acts { by: self.by });
        }
    }

    fn held(&mut self, asked: Option<Duration>, since: Instant, now: Instant) {
        self.notes.push(BodyNote::Held {
            by: self.by,
            asked,
            achieved: now.saturating_duration_since(since),
        });
    }

    /// What is noted are the bytes that leave all stages.
    fn passed(&mut self, _bytes: usize, _took: Duration) {}
}

/// Tells when the fault of a stage is removed.
struct Release {
    number: u64,
    bell: Released,
    /// Made when a task waits for it.
    wait: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Release {
    fn new(number: u64, bell: Released) -> Self {
        let wait = None;
        Self { number, bell, wait }
    }

    fn is_rung(&mut self) -> bool {
        self.bell.has_happened()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let bell = &self.bell;
        let wait = self
            .wait
            .get_or_insert_with(|| Box::pin(bell.clone().wait()));
        wait.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests;
