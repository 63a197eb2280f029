//! What the content of a request tells: when its end came, and what it begins with.

use std::{
    fmt,
    hash::{BuildHasher, Hasher},
    sync::Arc,
    time::Instant,
};

use foldhash::fast::FoldHasher;

use super::{CoreJournal, OpenAttempt, open::InProgress, packed::Maybe};
use crate::http1::ContentWatch;

/// Follows the content of one request as it is read.
///
/// Hashes its first [`HASHED_MAX`](Self::HASHED_MAX) bytes, without the framing: however they are split, the hash is the same.
pub(crate) struct BodyWatch {
    journal: Arc<CoreJournal>,
    /// The place of its connection.
    place: usize,
    content: BlockHasher,
    hashed: u16,
    is_noted: bool,
}

impl BodyWatch {
    /// So many bytes of content are hashed.
    pub(crate) const HASHED_MAX: u16 = 16 * 1024;

    pub(super) fn new(attempt: &OpenAttempt) -> Self {
        let journal = Arc::clone(&attempt.journal);
        Self {
            content: BlockHasher::new(journal.hashes.content.build_hasher()),
            journal,
            place: attempt.place,
            hashed: 0,
            is_noted: false,
        }
    }

    fn note(&mut self, end: Option<Instant>) {
        let content = (!self.is_noted).then(|| self.content.finish());
        self.is_noted = true;
        let end = end.map(|end| Maybe::of(self.journal.micros(end)));
        self.journal
            .change_attempt(self.place, |InProgress { packed, .. }| {
                if let Some(content) = content {
                    // Until now it is that of the head.
                    packed.fingerprint =
                        (self.journal.hashes).with_content(packed.fingerprint, content);
                    packed.content_hashed = Some(self.hashed);
                }
                if let Some(end) = end {
                    packed.t_req_end = end;
                }
            });
    }
}

impl ContentWatch for BodyWatch {
    fn is_full(&self) -> bool {
        self.hashed == Self::HASHED_MAX
    }

    fn content(&mut self, bytes: &[u8]) {
        if self.is_full() || bytes.is_empty() {
            return;
        }
        let room = Self::HASHED_MAX - self.hashed;
        let taken = u16::try_from(bytes.len()).map_or(room, |bytes| bytes.min(room));
        self.content.write(&bytes[..taken.into()]);
        self.hashed += taken;
        if self.is_full() {
            self.note(None);
        }
    }

    fn end(mut self: Box<Self>) {
        self.note(Some(Instant::now()));
    }
}

impl fmt::Debug for BodyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWatch")
            .field("hashed", &self.hashed)
            .finish_non_exhaustive()
    }
}

/// Hashes bytes in blocks, as the hasher underneath takes two writes for something else than one.
struct BlockHasher {
    hasher: FoldHasher<'static>,
    block: [u8; Self::BLOCK],
    filled: usize,
}

impl BlockHasher {
    const BLOCK: usize = 256;

    fn new(hasher: FoldHasher<'static>) -> Self {
        Self {
            hasher,
            block: [0; Self::BLOCK],
            filled: 0,
        }
    }

    fn write(&mut self, mut bytes: &[u8]) {
        if self.filled > 0 {
            let taken = bytes.len().min(Self::BLOCK - self.filled);
            self.block[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < Self::BLOCK {
                return;
            }
            self.hasher.write(&self.block);
        }
        let (blocks, rest) = bytes.as_chunks::<{ Self::BLOCK }>();
        for block in blocks {
            self.hasher.write(block);
        }
        self.block[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    fn finish(&mut self) -> u64 {
        self.hasher.write(&self.block[..self.filled]);
        self.hasher.write_usize(self.filled);
        self.hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(state: &foldhash::fast::RandomState, pieces: &[&[u8]]) -> u64 {
        let mut hasher = BlockHasher::new(state.build_hasher());
        pieces.iter().for_each(|piece| hasher.write(piece));
        hasher.finish()
    }

    proptest! {
        #[test]
        fn however_content_is_split_its_hash_is_the_same(
            content in prop::collection::vec(any::<u8>(), 0..1_600),
            cuts in prop::collection::vec(0_usize..1_600, 0..6),
        ) {
            let state = foldhash::fast::RandomState::default();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(content.len())).collect();
            cuts.extend([0, content.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &content[cut[0]..cut[1]]).collect();

            prop_assert_eq!(hash(&state, &pieces), hash(&state, &[&content]));
            let mut other = content.clone();
            other.push(0);
            prop_assert_ne!(hash(&state, &[&other]), hash(&state, &[&content]));
        }
    }
}
