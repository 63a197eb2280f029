//! What faults do to one request, split by when it is done.
//!
//! Each part names the fault that asked for it by its index in [`Injection::fired`](super::Injection::fired).

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    Bucket, Change, Copies, Delay, Http2Fault, Keep, RequestEnding, ResponseEnding, Shape,
};
use crate::edits::FieldEdit;

/// What is done before the request is forwarded.
#[derive(Debug, Default)]
pub struct RequestFaults {
    /// Delays, one after the other.
    pub delays: SmallVec<[Delay; 2]>,
    /// What is done to its connection behind them. Boxed, as hardly any request has that.
    pub http2: Option<Box<Vec<(usize, Http2Fault)>>>,
    /// How the exchange ends after them, instead of being forwarded.
    pub ending: Option<(usize, RequestEnding)>,
}

/// What is done to the request on its way to the upstream.
#[derive(Debug, Default)]
pub struct ForwardFaults {
    /// Changes of its header fields, in this order.
    pub edits: SmallVec<[(usize, Arc<[FieldEdit]>); 1]>,
    /// Token buckets that pace its body. A byte goes on when all of them allow it.
    pub pace: SmallVec<[(usize, Arc<Bucket>); 1]>,
    /// Copies of it that are sent as well.
    pub copies: Option<(usize, Copies)>,
}

/// What is done once the upstream has answered.
#[derive(Debug, Default)]
pub struct ResponseFaults {
    /// Delays between the upstream's answer and its first byte to the client, one after the other.
    pub delays: SmallVec<[Delay; 1]>,
    /// How the exchange ends after them, instead of the answer being passed on.
    pub ending: Option<(usize, ResponseEnding)>,
    /// Changes of the answer, in this order.
    pub changes: SmallVec<[(usize, Arc<Change>); 1]>,
    /// What is done to the answer's body, in this order.
    pub shapes: SmallVec<[(usize, Shape); 1]>,
    /// Keeps a copy of the answer, to be given again.
    pub keep: Option<Keep>,
}
