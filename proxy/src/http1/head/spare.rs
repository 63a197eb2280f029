//! Heads that are not in use: a core keeps some, so that no message needs new memory for its own.

use std::cell::RefCell;

use super::{RequestHead, ResponseHead};

/// A core keeps so many of each.
const SPARE_HEADS_MAX: usize = 64;
/// A head that holds more memory than this, in bytes, is not kept.
const SPARE_BYTES_MAX: usize = 16 * 1024;

type Spare<T> = RefCell<Vec<Box<T>>>;

thread_local! {
    static REQUESTS: Spare<RequestHead> = const { RefCell::new(Vec::new()) };
    static RESPONSES: Spare<ResponseHead> = const { RefCell::new(Vec::new()) };
}

impl RequestHead {
    /// An empty one.
    pub(crate) fn spare() -> Box<Self> {
        REQUESTS.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    /// Keeps its memory for another request.
    pub(crate) fn recycle(mut self: Box<Self>) {
        if self.capacity() <= SPARE_BYTES_MAX {
            self.clear();
            REQUESTS.with_borrow_mut(|spare| keep(spare, self));
        }
    }
}

impl ResponseHead {
    /// An empty one.
    pub(crate) fn spare() -> Box<Self> {
        RESPONSES.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    /// Keeps its memory for another answer.
    pub(crate) fn recycle(mut self: Box<Self>) {
        if self.fields.capacity() <= SPARE_BYTES_MAX {
            self.clear();
            RESPONSES.with_borrow_mut(|spare| keep(spare, self));
        }
    }
}

fn keep<T>(spare: &mut Vec<Box<T>>, head: Box<T>) {
    if spare.len() < SPARE_HEADS_MAX {
        spare.push(head);
    }
}
