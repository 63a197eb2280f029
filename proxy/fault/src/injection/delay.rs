//! Delays of one request.

use std::time::Duration;

/// One delay.
#[derive(Debug, Clone, Copy)]
pub struct Delay {
    /// The index in [`Injection::fired`](super::Injection::fired) of the fault that asks for it.
    pub by: usize,
    /// Its length.
    pub span: Duration,
    /// The moment from which the length counts.
    pub since: Since,
}

/// The moment from which a delay counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// When the delays before it are over.
    Now,
    /// The arrival of the request: time that passed since then is part of the delay.
    Arrival,
}
