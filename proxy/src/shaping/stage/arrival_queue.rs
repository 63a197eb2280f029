//! Items that wait in a stage, in the order of their arrival.

use std::{collections::VecDeque, time::Instant};

use super::Item;

/// Each item with the time at which it arrived, and the number of bytes in all of them.
#[derive(Debug, Default)]
pub(super) struct ArrivalQueue {
    items: VecDeque<(Instant, Item)>,
    bytes: usize,
}

impl ArrivalQueue {
    pub(super) fn push(&mut self, at: Instant, item: Item) {
        if let Item::Bytes(bytes) = &item {
            self.bytes += bytes.len();
        }
        self.items.push_back((at, item));
    }

    /// The first item and its time of arrival.
    pub(super) fn first(&self) -> Option<(Instant, &Item)> {
        self.items.front().map(|(at, item)| (*at, item))
    }

    pub(super) fn last(&self) -> Option<(Instant, &Item)> {
        self.items.back().map(|(at, item)| (*at, item))
    }

    /// Takes the first item; of bytes at most `bytes_max`, and the rest stays.
    pub(super) fn pop(&mut self, bytes_max: u64) -> Option<Item> {
        if let Some((_, Item::Bytes(bytes))) = self.items.front_mut() {
            let taken = usize::try_from(bytes_max).unwrap_or(usize::MAX);
            let taken = taken.min(bytes.len());
            self.bytes -= taken;
            if taken < bytes.len() {
                return Some(Item::Bytes(bytes.split_to(taken)));
            }
        }
        self.items.pop_front().map(|(_, item)| item)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes in it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn take(&mut self) -> VecDeque<Item> {
        self.bytes = 0;
        self.items.drain(..).map(|(_, item)| item).collect()
    }
}
