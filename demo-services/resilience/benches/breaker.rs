//! What protection costs a call that goes well: the breaker alone (goal: under 300 ns and no allocation), and a whole
//! chain of timeout, retry, breaker and fallback around an operation that is ready at once (goal: under 3 us).

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
};

use brownout_resilience::{
    Breaker, Call, Client, Outcome, Policy, Setup, Verdict,
    policy::{BreakerPolicy, WindowKind},
};
use criterion::{Criterion, criterion_group, criterion_main};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator that counts has no safe form")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs the call a thousand times and fails if it asked for memory.
fn assert_allocates_nothing(mut call: impl FnMut()) {
    call();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..1000).for_each(|_| call());
    assert_eq!(
        ALLOCATIONS.load(Ordering::Relaxed) - before,
        0,
        "allocations"
    );
}

fn admit_and_record(c: &mut Criterion) {
    let setups = [
        Setup::default(),
        Setup::default().listening(|event| _ = black_box(event)),
    ];
    for (window, name) in [(WindowKind::Count, "count"), (WindowKind::Time, "time")] {
        for (setup, heard) in setups.iter().zip(["", ", with a listener"]) {
            let policy = BreakerPolicy {
                window,
                ..BreakerPolicy::default()
            };
            let breaker = Breaker::new("bench", &policy, setup.clone()).expect("a good policy");
            let call = || {
                black_box(&breaker)
                    .try_acquire()
                    .expect("closed")
                    .record(Verdict::Success);
            };

            assert_allocates_nothing(call);
            c.bench_function(&format!("admit and record, {name} window{heard}"), |b| {
                b.iter(call);
            });
        }
    }
}

fn whole_chain(c: &mut Criterion) {
    let text = "[timeout]\nattempt = '500ms'\ntotal = '2s'\n[retry]\n[breaker]\n[fallback]";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    for order in ["resilience4j", "original"] {
        let policy = Policy::from_toml("bench", &format!("order = '{order}'\n{text}"));
        let client = Client::new("bench", policy.expect("a good policy"), Setup::default())
            .expect("a good policy");
        let call = || {
            let outcome = |_: &Result<u32, ()>| Outcome::Success;
            let call = Call::method("GET").or_else(|_| 0);
            let called =
                runtime.block_on(client.call(call, outcome, |_| async { Ok(black_box(1)) }));
            black_box(called.result).expect("an answer");
        };

        assert_allocates_nothing(call);
        c.bench_function(&format!("whole chain, order {order}"), |b| b.iter(call));
    }
    c.bench_function("an empty block_on, which the chains include", |b| {
        b.iter(|| runtime.block_on(async { black_box(1) }));
    });
}

criterion_group!(benches, admit_and_record, whole_chain);
criterion_main!(benches);
