//! Tables of cases: all of them run, and all that failed are named.

use std::future::Future;

use tokio::task::{JoinError, JoinSet};

/// How many cases run at once: each has a proxy of its own.
const AT_ONCE: usize = 16;

/// Runs all cases. A case fails by a panic; the others go on.
///
/// # Panics
/// When a case failed, with the name of each and what it said.
pub(crate) async fn hold<F>(cases: impl IntoIterator<Item = (&'static str, F)>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut waiting = cases.into_iter();
    let mut running = JoinSet::new();
    let mut failed = Vec::new();
    let mut count = 0;
    loop {
        while running.len() < AT_ONCE
            && let Some((name, case)) = waiting.next()
        {
            count += 1;
            running.spawn(async move {
                let mut one = JoinSet::new();
                one.spawn(case);
                let ended = one.join_next().await.expect("it was spawned");
                ended.err().map(|error| (name, panic_text(error)))
            });
        }
        match running.join_next().await {
            Some(ended) => failed.extend(ended.expect("panics are caught inside")),
            None => break,
        }
    }
    failed.sort();
    let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
    let report: Vec<String> = failed
        .iter()
        .map(|(name, why)| format!("\n--- {name}: {why}"))
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {count} cases differ: {}{}",
        failed.len(),
        names.join(", "),
        report.concat()
    );
}

/// Bytes as text in which no two byte strings look alike; the middle of long ones by its length and hash.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const LONG: usize = 2_000;
    if bytes.len() <= LONG {
        return bytes.iter().map(|byte| char::from(*byte)).collect();
    }
    let (first, rest) = bytes.split_at(LONG / 2);
    let (middle, last) = rest.split_at(rest.len() - LONG / 2);
    // FNV-1a: it is to tell apart what a test sent, not what an attacker made.
    let hash = middle.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!(
        "{}[{} bytes, hash {hash:x}]{}",
        shown(first),
        middle.len(),
        shown(last)
    )
}

/// What a task that panicked said.
fn panic_text(error: JoinError) -> String {
    let payload = error.into_panic();
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&'static str>().map_or_else(
            |_| "a panic without text".to_owned(),
            |text| (*text).to_owned(),
        ),
    }
}
