//! Numbers made from records, each with the count of what it was made from.

use std::collections::{BTreeMap, BTreeSet};

use super::record::AttemptRecord;

/// The longest wait between two attempts of one logical request.
pub const CHAIN_GAP_US: u64 = 2_000_000;

/// Attempts of one logical request, in order.
pub type Chain<'a> = Vec<&'a AttemptRecord>;

/// Puts attempts with one fingerprint, and one page's id where they carry it, together: the next begins after the one
/// before ended, at most `gap` later.
///
/// Attempts that overlap begin chains of their own, as hedges and parallel pages do.
///
/// # Panics
/// Never: a chain is made with its first attempt.
#[must_use]
pub fn chains<'a>(
    attempts: impl IntoIterator<Item = &'a AttemptRecord>,
    gap: u64,
) -> Vec<Chain<'a>> {
    let mut sorted: Vec<&AttemptRecord> = attempts.into_iter().collect();
    sorted.sort_by_key(|it| (it.t_head, it.number));
    let mut chains: Vec<Chain<'a>> = Vec::new();
    // The chains of a fingerprint, of one page where that is known, that may go on.
    let mut open: BTreeMap<(&str, Option<&str>), Vec<usize>> = BTreeMap::new();
    for attempt in sorted {
        let candidates = open
            .entry((&attempt.fingerprint, attempt.page_id()))
            .or_default();
        candidates.retain(|&index| {
            let last = chains[index].last().expect("a chain has an attempt");
            attempt.t_head.saturating_sub(last.ended()) <= gap
        });
        // After a good answer there is nothing to try again.
        let next = candidates.iter().position(|&index| {
            let last = chains[index].last().expect("a chain has an attempt");
            last.ended() <= attempt.t_head && last.is_failed()
        });
        match next {
            Some(place) => chains[candidates[place]].push(attempt),
            None => {
                candidates.push(chains.len());
                chains.push(vec![attempt]);
            }
        }
    }
    chains
}

/// The waits from the end of an attempt to the start of the next of its chain, in µs; `step` 1 is the first wait.
#[must_use]
pub fn gaps(chains: &[Chain<'_>], step: usize) -> Vec<u64> {
    let waits = chains.iter().filter_map(|chain| {
        let (before, after) = (chain.get(step.checked_sub(1)?)?, chain.get(step)?);
        Some(after.t_head.saturating_sub(before.ended()))
    });
    waits.collect()
}

/// All waits of all chains, in µs.
#[must_use]
pub fn all_gaps(chains: &[Chain<'_>]) -> Vec<u64> {
    let waits = chains.iter().flat_map(|chain| {
        chain
            .windows(2)
            .map(|pair| pair[1].t_head.saturating_sub(pair[0].ended()))
    });
    waits.collect()
}

/// Attempts for each logical request; none without any.
#[must_use]
pub fn amplification(chains: &[Chain<'_>]) -> Option<f64> {
    let attempts: usize = chains.iter().map(Vec::len).sum();
    (!chains.is_empty()).then(|| attempts as f64 / chains.len() as f64)
}

/// A quantile by the nearest rank; none of nothing.
#[must_use]
pub fn quantile(values: &[u64], share: f64) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank lies between 1 and the length"
    )]
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The spread from the 10th to the 85th percentile, as a share of the median; none of fewer than two, or of a median
/// of 0.
///
/// The ends are left out: the slowest of a dozen waits on a busy machine says nothing of the client.
#[must_use]
pub fn middle_spread(values: &[u64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let (low, high) = (quantile(values, 0.10)?, quantile(values, 0.85)?);
    let median = quantile(values, 0.5)?;
    (median > 0).then(|| (high - low) as f64 / median as f64)
}

/// After how long the client itself ended attempts that got no byte of an answer; their durations in µs.
#[must_use]
pub fn client_timeouts<'a>(attempts: impl IntoIterator<Item = &'a AttemptRecord>) -> Vec<u64> {
    let ended = attempts
        .into_iter()
        .filter(|it| it.is_client_ended() && it.t_first_out.is_none());
    ended.map(AttemptRecord::duration).collect()
}

/// Attempts that were open at `at`, a moment of the records' clock.
#[must_use]
pub fn open_at(attempts: &[AttemptRecord], at: u64) -> usize {
    let is_open = |it: &&AttemptRecord| it.t_head <= at && (it.is_open() || it.ended() > at);
    attempts.iter().filter(is_open).count()
}

/// Attempts that were open for longer than `limit`, in µs: they took longer to end, or are still open after that time.
#[must_use]
pub fn open_longer(attempts: &[AttemptRecord], limit: u64) -> usize {
    attempts.iter().filter(|it| it.duration() > limit).count()
}

/// Connections that carried another attempt after one that failed without an answer.
#[must_use]
pub fn reused_after_error(attempts: &[AttemptRecord]) -> usize {
    let mut broken: BTreeMap<u64, u64> = BTreeMap::new();
    for attempt in attempts {
        let broke = attempt.status.is_none() && attempt.is_failed();
        if broke {
            let first = broken.entry(attempt.conn).or_insert(attempt.conn_seq);
            *first = (*first).min(attempt.conn_seq);
        }
    }
    let reused = attempts.iter().filter(|it| {
        broken
            .get(&it.conn)
            .is_some_and(|first| it.conn_seq > *first)
    });
    reused.map(|it| it.conn).collect::<BTreeSet<_>>().len()
}

/// Times without a start of an attempt: where each began and how long it was, those of at least `least`.
#[must_use]
pub fn silences(attempts: &[AttemptRecord], least: u64) -> Vec<Silence> {
    let mut starts: Vec<u64> = attempts.iter().map(|it| it.t_head).collect();
    starts.sort_unstable();
    let silent = starts.windows(2).filter(|pair| pair[1] - pair[0] >= least);
    silent
        .map(|pair| Silence {
            from: pair[0],
            to: pair[1],
        })
        .collect()
}

/// A time without a start of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// The last start before it.
    pub from: u64,
    /// The first start after it.
    pub to: u64,
}

impl Silence {
    /// How long it was.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.to - self.from
    }
}

/// The most starts within `window` from the first after a silence of at least `least` that ended since `from`; none without
/// such a silence.
#[must_use]
pub fn burst_after_silence(
    attempts: &[AttemptRecord],
    least: u64,
    window: u64,
    from: u64,
) -> Option<usize> {
    let ended = silences(attempts, least)
        .into_iter()
        .filter(|it| it.to >= from);
    let bursts = ended.map(|silence| {
        let inside = |it: &&AttemptRecord| (silence.to..silence.to + window).contains(&it.t_head);
        attempts.iter().filter(inside).count()
    });
    bursts.max()
}

/// Of the attempts that were told to wait, those whose next attempt at the same path came earlier by more than `slack`; and
/// all of them.
#[must_use]
pub fn early_returns(chains: &[Chain<'_>], slack: u64) -> (usize, usize) {
    let told = chains.iter().flat_map(|chain| {
        chain.iter().enumerate().filter_map(|(index, it)| {
            let due = it.ended() + it.retry_after_us?;
            let early = chain
                .get(index + 1)
                .is_some_and(|next| next.t_head + slack < due);
            Some(early)
        })
    });
    told.fold((0, 0), |(early, all), is_early| {
        (early + usize::from(is_early), all + 1)
    })
}
