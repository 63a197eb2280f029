//! Popular items: what everybody likes, for everybody.

use crate::answer::{self, Answer};

const POPULAR_ITEMS: [u32; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

pub(crate) fn answer() -> Answer {
    answer::json(&POPULAR_ITEMS)
}
