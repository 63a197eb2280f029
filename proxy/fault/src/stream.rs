//! The stream layer: what is done to the bytes of a connection, whatever they mean.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    injection::{Break, Bucket, Corruption, How, Then},
    read::{Problem, one_of},
    roll::Roll,
    wait::Wait,
};

/// What a fault acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Requests and their answers, on `http` routes.
    Request,
    /// Connections and their bytes: all there is on `tcp` routes, and what lies beneath the requests of `http` routes.
    Stream,
}

impl Layer {
    const NAMES: [&'static str; 2] = ["request", "stream"];

    /// The word it is written with.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Stream => "stream",
        }
    }

    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        Ok(match one_of("layer", &Self::NAMES)(value)? {
            "stream" => Self::Stream,
            _ => Self::Request,
        })
    }
}

/// Which bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Upstream,
    /// From the upstream to the client.
    Downstream,
}

impl Direction {
    const NAMES: [&'static str; 2] = ["upstream", "downstream"];

    /// The word it is written with.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        }
    }

    pub(crate) fn read(value: &Value) -> Result<Self, Problem> {
        Ok(match one_of("direction", &Self::NAMES)(value)? {
            "upstream" => Self::Upstream,
            _ => Self::Downstream,
        })
    }
}

/// What is known of a connection when its fate is decided.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// The name of the route it came in by.
    pub route: &'a str,
    /// The client's address.
    pub peer: SocketAddr,
    /// Its number on its route, in the order of acceptance.
    pub connection: u64,
    /// Whether its bytes are requests: then only faults of the layer `stream` look at them.
    pub has_requests: bool,
}

/// What one fault does to the bytes of one direction. Data only: the proxy carries it out.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Each chunk waits, counted from its arrival; none overtakes another.
    Delay(Waits),
    /// The connection is reset once so many bytes have passed.
    Reset {
        /// Counted from when the fault met the connection; 0 is at once.
        after: u64,
    },
    /// No faster than a budget allows.
    Pace(Budget),
    /// Everything is swallowed; the connection ends when that is over.
    Discard {
        /// For how long; `None` until the fault is removed.
        hold: Option<Duration>,
        /// Or until nothing has come for so long.
        idle: Option<Duration>,
        /// When it begins.
        from: DiscardFrom,
        /// How the connection ends.
        then: Then,
    },
    /// Everything stops for a while.
    Stall {
        /// Once so many bytes have passed.
        after: u64,
        /// For how long; `None` until the fault is removed.
        hold: Option<Duration>,
        /// How the connection ends then; `None` when it goes on.
        then: Option<Break>,
    },
    /// The connection is closed in good order once so many bytes have passed.
    Limit {
        /// Counted from when the fault met the connection.
        bytes: u64,
    },
    /// The end of the stream waits, and nothing else.
    SlowEnd {
        /// For how long.
        delay: Duration,
    },
    /// Bytes come in pieces.
    Slice {
        /// How large they are.
        pieces: Pieces,
        /// The pause behind each.
        gap: Duration,
    },
    /// Bytes are damaged, of as many as there were.
    Damage(Damage),
}

/// When discarding begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DiscardFrom {
    /// When the fault meets the connection.
    #[default]
    Start,
    /// With the first bytes, or the end of the stream, that come after that.
    FirstData,
}

/// Bytes over time: of one direction of one connection, or shared with others.
#[derive(Debug, Clone)]
pub struct Budget {
    rate: u64,
    burst: u64,
    shared: Option<Arc<Bucket>>,
}

impl Budget {
    pub(crate) fn own(rate: u64, burst: u64) -> Self {
        Self {
            rate,
            burst,
            shared: None,
        }
    }

    pub(crate) fn shared(rate: u64, burst: u64, bucket: Arc<Bucket>) -> Self {
        Self {
            shared: Some(bucket),
            ..Self::own(rate, burst)
        }
    }

    /// Bytes a second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// What to take from: the shared bucket, or a full one of one's own.
    #[must_use]
    pub fn bucket(&self) -> Arc<Bucket> {
        let own = || Arc::new(Bucket::new(self.rate, self.burst));
        self.shared.clone().unwrap_or_else(own)
    }
}

impl PartialEq for Budget {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.shared, &other.shared) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, Some(_)) | (Some(_), None) => false,
        };
        same && self.rate == other.rate && self.burst == other.burst
    }
}

/// Sizes of pieces, the same for the same connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Pieces {
    size: u64,
    variation: u64,
    roll: Roll,
}

impl Pieces {
    /// The size of the next one, at least 1.
    pub fn draw(&mut self) -> u64 {
        match self.variation {
            0 => self.size,
            variation => {
                let more = self.roll.up_to(variation.saturating_mul(2));
                (self.size - variation).saturating_add(more)
            }
        }
    }
}

/// How bytes are damaged, by the chance of one connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Damage {
    how: How,
    offset: u64,
    roll: Roll,
}

impl Damage {
    /// What does it, at the beginning of the stream.
    #[must_use]
    pub fn begin(&self) -> Corruption {
        Corruption::new(self.how, self.offset, self.roll.clone())
    }
}

/// Spans of time, one for each chunk, the same for the same connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Waits {
    wait: Wait,
    scale: f64,
    roll: Roll,
}

impl Waits {
    /// Whether these were asked for in the same words as the others, of which a ramp may let through another share.
    #[must_use]
    pub fn are_of(&self, others: &Self) -> bool {
        self.wait == others.wait
    }

    /// The next one.
    pub fn draw(&mut self) -> Duration {
        self.wait.draw(&mut self.roll).mul_f64(self.scale)
    }
}

/// What a kind may use to decide what it does to one connection.
#[derive(Debug, Clone)]
pub struct Chance<'a> {
    /// Chance, the same for the same seed, fault and connection.
    pub roll: Roll,
    /// How much of its magnitude a ramp lets through, from 0 to 1.
    pub scale: f64,
    /// The route of the connection.
    pub route: &'a str,
}

impl Chance<'_> {
    /// `variation` is less than `size`.
    pub(crate) fn pieces(self, size: u64, variation: u64) -> Pieces {
        Pieces {
            size,
            variation,
            roll: self.roll,
        }
    }

    pub(crate) fn damage(self, how: How, offset: u64) -> Damage {
        Damage {
            how,
            offset,
            roll: self.roll,
        }
    }

    pub(crate) fn waits(self, wait: &Wait) -> Waits {
        Waits {
            wait: wait.clone(),
            scale: self.scale,
            roll: self.roll,
        }
    }
}
