//! What protection costs a call that goes well: the breaker alone (goal: under 300 ns and no allocation), a whole chain
//! around an operation that is ready at once (goal: under 3 us), and beside them the breakers of other crates.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
};

use brownout_resilience::{
    Breaker, Call, Client, Outcome, Policy, Setup, Verdict,
    policy::{BreakerPolicy, WindowKind},
};
use failsafe::CircuitBreaker as _;
use futures_util::FutureExt as _;
use tower::{Layer as _, Service as _, ServiceExt as _};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

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

/// Every protection there is, the hedge included; nothing of it is needed, since the answer is there at once.
const EVERYTHING: &str = "
    [timeout]\nattempt = '500ms'\ntotal = '2s'\npropagate = true
    [retry]\n[retry.budget]
    [breaker]
    [rate_limit]\nlimit = 1000000\nperiod = '1ms'
    [bulkhead]\n[adaptive]\n[hedge]\n[fallback]";

/// The usual ones.
const USUAL: &str = "[timeout]\nattempt = '500ms'\ntotal = '2s'\n[retry]\n[breaker]\n[fallback]";

fn client(text: &str) -> Client {
    let policy = Policy::from_toml("bench", text).expect("a good policy");
    Client::new("bench", policy, Setup::default()).expect("a good policy")
}

/// One call whose operation is ready at once.
fn one_call(client: &Client) {
    let outcome = |_: &Result<u32, ()>| Outcome::Success;
    let call = Call::method("GET").or_else(|_| 0);
    let called = client
        .call(call, outcome, |_| async { Ok(black_box(1)) })
        .now_or_never()
        .expect("nothing to wait for");
    black_box(called.result).expect("an answer");
}

fn whole_chain(c: &mut Criterion) {
    let runtime = runtime();
    let _timers = runtime.enter();
    for (name, text) in [("usual", USUAL), ("everything", EVERYTHING)] {
        for order in ["resilience4j", "original"] {
            let client = client(&format!("order = '{order}'\n{text}"));
            let call = || one_call(&client);

            assert_allocates_nothing(call);
            c.bench_function(&format!("chain: {name}, order {order}"), |b| b.iter(call));
        }
    }
}

/// A breaker around a call that is ready at once: ours, and those of others.
fn beside_others(c: &mut Criterion) {
    let runtime = runtime();
    let _timers = runtime.enter();
    let mut group = c.benchmark_group("a call through a breaker alone");

    let ours = client("[breaker]");
    group.bench_function(counted("ours", || one_call(&ours)), |b| {
        b.iter(|| one_call(&ours));
    });

    let theirs = failsafe::Config::new().build();
    let call = || {
        let called = theirs.call(|| Ok::<u32, ()>(black_box(1)));
        black_box(called).expect("an answer");
    };
    group.bench_function(counted("failsafe (not async)", call), |b| b.iter(call));

    let layer = CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(100)
        .build()
        .expect("a good policy");
    let answer = |()| async { Ok::<u32, std::io::Error>(black_box(1)) };
    let mut theirs = layer.layer(tower::service_fn(answer));
    let mut call = || {
        let ready = theirs.ready().now_or_never().expect("nothing to wait for");
        let called = ready
            .expect("closed")
            .call(())
            .now_or_never()
            .expect("nothing to wait for");
        black_box(called).expect("an answer");
    };
    group.bench_function(counted("tower-resilience", &mut call), |b| {
        b.iter(&mut call);
    });
    group.finish();
}

/// A name that says how much memory each call asks for.
fn counted(name: &str, mut call: impl FnMut()) -> String {
    const CALLS: usize = 1000;
    call();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..CALLS).for_each(|_| call());
    let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / CALLS as f64;
    format!("{name}, {allocations:.1} allocations")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

criterion_group!(benches, admit_and_record, whole_chain, beside_others);
criterion_main!(benches);
