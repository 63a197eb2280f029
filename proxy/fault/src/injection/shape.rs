//! What is done to the bytes of an answer.

use std::{sync::Arc, time::Duration};

use super::{Bucket, Corruption, ResetScope};

/// One thing that is done to the body of an answer while it streams. Shapes combine in order.
#[derive(Debug, Clone)]
pub enum Shape {
    /// Bytes are damaged.
    Corrupt(Corruption),
    /// Bytes go no faster than this allows.
    Pace(Arc<Bucket>),
    /// Bytes go in pieces with gaps between.
    Dribble {
        /// How large, and how far apart.
        pieces: Dribble,
        /// Whether the head goes so too.
        includes_head: bool,
    },
    /// The body stops for a while.
    Stall(Stall),
    /// The body ends early.
    Cut(Cut),
}

impl Shape {
    /// Whether it has an effect on a body of this length: what begins at its end or behind has none.
    #[must_use]
    pub fn reaches(&self, body_bytes: u64) -> bool {
        match self {
            Self::Corrupt(corruption) => corruption.reaches(body_bytes),
            Self::Pace(_) | Self::Dribble { .. } => body_bytes > 0,
            Self::Stall(stall) => stall.after_bytes < body_bytes,
            Self::Cut(cut) => cut.at.bytes(body_bytes) < body_bytes,
        }
    }

    /// Whether the exchange ends by it.
    pub(crate) fn ends(&self) -> bool {
        match self {
            Self::Cut(_) => true,
            Self::Stall(stall) => stall.then.is_some(),
            Self::Corrupt(_) | Self::Pace(_) | Self::Dribble { .. } => false,
        }
    }
}

/// Pieces with gaps. The first piece goes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dribble {
    /// So many pieces over a time. Where the body's length is unknown a piece is 1 KiB and the gap the same.
    Over {
        /// How many, at least 2.
        pieces: u64,
        /// From the first to the last.
        span: Duration,
    },
    /// Pieces of a size.
    Sized {
        /// Bytes of a piece, at least 1.
        piece_bytes: u64,
        /// Between two.
        gap: Duration,
    },
}

impl Dribble {
    /// The bytes of a piece and the gap, for a body of this length.
    #[must_use]
    pub fn pieces(&self, body_bytes: Option<u64>) -> (u64, Duration) {
        const UNKNOWN_PIECE_BYTES: u64 = 1024;
        match self {
            Self::Sized { piece_bytes, gap } => (*piece_bytes, *gap),
            Self::Over { pieces, span } => {
                let gaps = u32::try_from(pieces - 1).unwrap_or(u32::MAX).max(1);
                let piece = body_bytes.map_or(UNKNOWN_PIECE_BYTES, |bytes| bytes.div_ceil(*pieces));
                (piece.max(1), *span / gaps)
            }
        }
    }
}

/// A body that stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// After so many of its bytes.
    pub after_bytes: u64,
    /// How long; `None` until the fault is removed.
    pub hold: Option<Duration>,
    /// How it ends then; `None` to go on.
    pub then: Option<Break>,
}

/// A body that ends early.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Where.
    pub at: CutAt,
    /// How.
    pub how: Break,
    /// How the body is framed for the client.
    pub framing: CutFraming,
}

/// How a body that ends early is framed for the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CutFraming {
    /// As the upstream has framed it.
    #[default]
    AsItCame,
    /// By `Content-Length`. Content of unknown length is read up to [`GATHERED_MAX`](Self::`GATHERED_MAX`) to know it; longer
    /// content stays as it came.
    ContentLength,
    /// In chunks; a client that speaks HTTP/1.0 knows none, and gets it as it came.
    Chunked,
}

impl CutFraming {
    /// The longest content that is read to know its length: 1 MiB.
    pub const GATHERED_MAX: usize = 1024 * 1024;

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsItCame => "as_it_came",
            Self::ContentLength => "content_length",
            Self::Chunked => "chunked",
        }
    }
}

/// Where a body ends early.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CutAt {
    /// After so many bytes.
    Bytes(u64),
    /// After this part, from 0 to 1. Where the length is unknown: of the first piece that comes.
    Fraction(f64),
}

impl CutAt {
    /// The place in a body, or a part, of this length.
    #[must_use]
    pub fn bytes(&self, of: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => *bytes,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a part of a length; the cast saturates"
            )]
            Self::Fraction(part) => (of as f64 * part) as u64,
        }
    }
}

/// How a body ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The connection is closed in good order (FIN), short of what the head promised.
    Fin,
    /// The connection or the stream is reset, once everything before has arrived.
    Reset(ResetScope),
    /// The message is framed anew, so that it looks complete.
    Clean,
}

impl Break {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset(_) => "rst",
            Self::Clean => "clean",
        }
    }
}
