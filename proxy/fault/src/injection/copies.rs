//! Copies of one request.

use std::time::Duration;

/// Further copies of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copies {
    /// The number of copies besides the request itself, 1 to 10.
    pub count: u32,
    /// The time from one request to the next, up to 1 minute.
    pub gap: Duration,
}

/// The longest body of a request that is sent more than once, in bytes: it is kept in memory.
pub const COPIED_BYTES_MAX: u64 = 64 * 1024;
