//! The waits that faults ask for, exact: one kernel timer for each core.
//!
//! tokio's own timer moves in ticks of a millisecond and rounds up, so a wait on it is late by one and a half on
//! average. A timerfd (`timerfd_create(2)`) has the kernel's resolution and wakes the core by itself.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
use tokio::io::unix::AsyncFd;

use crate::sys;

/// The alarm clock of one core. Cheap to clone; every clone is the same clock.
#[derive(Debug, Clone)]
pub(crate) struct Timer(Rc<Clock>);

#[derive(Debug)]
struct Clock {
    /// `None` where the kernel gives none: waits are tokio's then.
    fd: Option<AsyncFd<OwnedFd>>,
    /// Whether it stopped working: waits are tokio's from then on.
    is_broken: Cell<bool>,
    agenda: RefCell<Agenda>,
}

/// Who is to be woken when. In order of time, then of number, so that it can be crossed out again.
#[derive(Debug, Default)]
struct Agenda {
    wakers: BTreeMap<(Instant, u64), Waker>,
    number: u64,
    /// When the kernel wakes us.
    armed: Option<Instant>,
}

impl Timer {
    /// A clock for the runtime of this thread, which must carry out its [`run`](Self::run).
    pub(crate) fn new() -> Self {
        let made = sys::kernel_timer();
        if let Err(error) = &made {
            tracing::warn!(%error, "delays are up to 2 ms late: there is no timer of the kernel's");
        }
        Self(Rc::new(Clock {
            fd: made.ok(),
            is_broken: Cell::new(false),
            agenda: RefCell::default(),
        }))
    }

    /// Wakes those whose time has come, for as long as there is a timer of the kernel's that works. Nobody is woken
    /// while it is not polled.
    pub(crate) async fn run(self) {
        while let Some(fd) = self.0.working() {
            match fd.readable().await {
                // Setting the timer anew makes it unreadable; that it fired need not be read.
                Ok(mut ready) => ready.clear_ready(),
                Err(error) => {
                    self.0.give_up(&error);
                    return;
                }
            }
            self.0.ring(fd);
        }
    }

    /// Ends once it is `at`: never before, and on a core that is not busy within a tenth of a millisecond.
    /// Dropping it costs nothing but its entry.
    pub(crate) fn at(&self, at: Instant) -> Sleep {
        Sleep {
            timer: self.clone(),
            at,
            number: None,
            coarse: None,
        }
    }

    /// Ends once it is `at`, or never if there is no such time; see [`at`](Self::at).
    pub(crate) async fn at_if_any(&self, at: Option<Instant>) {
        match at {
            Some(at) => self.at(at).await,
            None => std::future::pending().await,
        }
    }

    /// Ends after `span`; see [`at`](Self::at).
    pub(crate) fn sleep(&self, span: Duration) -> Sleep {
        self.at(later(Instant::now(), span))
    }
}

/// A time so far off that nobody sees it stands for those that cannot be told.
pub(crate) fn later(from: Instant, span: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    from.checked_add(span).unwrap_or_else(|| from + NEVER)
}

impl Clock {
    /// The kernel's timer, unless there is none or it broke.
    fn working(&self) -> Option<&AsyncFd<OwnedFd>> {
        self.fd.as_ref().filter(|_| !self.is_broken.get())
    }

    /// Leaves all waits, those in progress too, to tokio.
    fn give_up(&self, error: &io::Error) {
        if !self.is_broken.replace(true) {
            tracing::error!(%error, "the core's timer broke: delays are up to 2 ms late from now on");
        }
        let waiting = std::mem::take(&mut self.agenda.borrow_mut().wakers);
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// Wakes everybody whose time has come, and sets the kernel's timer for the next.
    fn ring(&self, fd: &AsyncFd<OwnedFd>) {
        let (due, armed) = {
            let mut agenda = self.agenda.borrow_mut();
            agenda.armed = None;
            let now = Instant::now();
            let later = agenda.wakers.split_off(&(now, u64::MAX));
            let due = std::mem::replace(&mut agenda.wakers, later);
            (due, agenda.arm(fd, now))
        };
        // Whoever is woken may look at the agenda.
        for waker in due.into_values() {
            waker.wake();
        }
        if let Err(error) = armed {
            self.give_up(&error);
        }
    }
}

impl Agenda {
    /// Lets the kernel wake us for the first entry. An entry that was crossed out since may still wake us for nothing.
    fn arm(&mut self, fd: &AsyncFd<OwnedFd>, now: Instant) -> io::Result<()> {
        let Some((&(first, _), _)) = self.wakers.first_key_value() else {
            return Ok(());
        };
        if self.armed.is_some_and(|armed| armed <= first) {
            return Ok(());
        }
        // Zero would switch the timer off.
        let span = first
            .saturating_duration_since(now)
            .max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: span.subsec_nanos().into(),
            },
        };
        timerfd_settime(fd.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        self.armed = Some(first);
        Ok(())
    }
}

/// A wait on a [`Timer`].
#[derive(Debug)]
pub(crate) struct Sleep {
    timer: Timer,
    at: Instant,
    /// Of its entry on the agenda.
    number: Option<u64>,
    /// The wait where there is no timer of the kernel's.
    coarse: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Sleep {
    /// Waits for another time from now on.
    pub(crate) fn reset(&mut self, at: Instant) {
        if at != self.at {
            self.cross_out();
            self.coarse = None;
            self.at = at;
        }
    }

    fn cross_out(&mut self) {
        if let Some(number) = self.number.take() {
            let waker = self
                .timer
                .0
                .agenda
                .borrow_mut()
                .wakers
                .remove(&(self.at, number));
            // Only now: dropping it may drop another wait.
            drop(waker);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let now = Instant::now();
        if this.at <= now {
            this.cross_out();
            return Poll::Ready(());
        }
        let clock = Rc::clone(&this.timer.0);
        let Some(fd) = clock.working() else {
            let at = this.at.into();
            let coarse = this
                .coarse
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            return coarse.as_mut().poll(cx);
        };
        let mut agenda = clock.agenda.borrow_mut();
        let number = *this.number.get_or_insert_with(|| {
            agenda.number += 1;
            agenda.number
        });
        let before = agenda.wakers.insert((this.at, number), cx.waker().clone());
        let armed = agenda.arm(fd, now);
        drop(agenda);
        drop(before);
        if let Err(error) = armed {
            // Wakes this one too, to wait anew.
            clock.give_up(&error);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cross_out();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{
        FutureExt,
        stream::{FuturesUnordered, StreamExt},
    };
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    /// Carries out a test on a core of its own.
    fn on_a_core<F: Future<Output = ()>>(test: impl FnOnce(Timer) -> F) {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let timer = Timer::new();
            tokio::task::spawn_local(timer.clone().run());
            let patience = Duration::from_secs(20);
            let done = tokio::time::timeout(patience, test(timer)).await;
            assert!(done.is_ok(), "a wait did not end");
        });
    }

    fn waiting(timer: &Timer) -> usize {
        timer.0.agenda.borrow().wakers.len()
    }

    #[test]
    fn all_waits_end_and_none_before_its_time_in_whatever_order_they_began() {
        on_a_core(|timer| async move {
            let begin = Instant::now();
            // Neither in order nor in a reversed one, and some at the same time.
            let mut waits: FuturesUnordered<_> = (0..500_u64)
                .map(|n| begin + Duration::from_micros(n * 7_919 % 250 * 200))
                .map(|at| timer.at(at).map(move |()| at))
                .collect();

            let mut ended = Vec::new();
            while let Some(at) = waits.next().await {
                assert!(Instant::now() >= at);
                ended.push(at);
            }

            assert_eq!(ended.len(), 500);
            assert!(ended.last() >= Some(&(begin + Duration::from_millis(49))));
            assert_eq!(waiting(&timer), 0);
        });
    }

    #[test]
    fn a_wait_that_is_dropped_leaves_nothing_behind_and_holds_up_nobody() {
        on_a_core(|timer| async move {
            let mut dropped: Vec<Sleep> = (1..=100)
                .map(|n| timer.sleep(Duration::from_millis(n)))
                .collect();
            for wait in &mut dropped {
                assert!(wait.now_or_never().is_none());
            }
            let kept = timer.sleep(Duration::from_millis(20));
            assert_eq!(waiting(&timer), 100);

            drop(dropped);

            assert_eq!(waiting(&timer), 0);
            kept.await;
        });
    }

    #[test]
    fn a_later_wait_does_not_put_off_an_earlier_one_and_the_reverse() {
        on_a_core(|timer| async move {
            let mut far = timer.sleep(Duration::from_secs(3_600));
            assert!((&mut far).now_or_never().is_none());
            timer.sleep(Duration::from_millis(5)).await;

            far.reset(Instant::now() + Duration::from_millis(5));
            far.await;

            assert_eq!(waiting(&timer), 0);
        });
    }

    #[test]
    fn where_the_kernel_gives_no_timer_waits_end_all_the_same() {
        on_a_core(|_| async move {
            let timer = Timer(Rc::new(Clock {
                fd: None,
                is_broken: Cell::new(false),
                agenda: RefCell::default(),
            }));
            let began = Instant::now();
            let mut wait = timer.sleep(Duration::from_secs(3_600));
            assert!((&mut wait).now_or_never().is_none());

            wait.reset(began + Duration::from_millis(5));
            wait.await;

            assert!(began.elapsed() >= Duration::from_millis(5));
        });
    }

    #[test]
    fn waits_on_a_timer_that_breaks_end_all_the_same() {
        on_a_core(|timer| async move {
            let began = Instant::now();
            let mut wait = timer.sleep(Duration::from_millis(5));
            assert!((&mut wait).now_or_never().is_none());

            timer.0.give_up(&io::ErrorKind::Other.into());

            assert_eq!(waiting(&timer), 0);
            wait.await;
            timer.sleep(Duration::from_millis(5)).await;
            assert!(began.elapsed() >= Duration::from_millis(10));
        });
    }

    #[test]
    fn waits_end_though_the_timer_cannot_be_set() {
        on_a_core(|_| async move {
            let (no_timer, _writer) = std::io::pipe().unwrap();
            let timer = Timer(Rc::new(Clock {
                fd: Some(sys::watched(no_timer.into()).unwrap()),
                is_broken: Cell::new(false),
                agenda: RefCell::default(),
            }));
            let began = Instant::now();

            timer.sleep(Duration::from_millis(5)).await;

            assert!(began.elapsed() >= Duration::from_millis(5));
            assert!(timer.0.working().is_none());
        });
    }

    #[test]
    fn a_time_that_is_past_or_cannot_be_told_is_none_to_fear() {
        on_a_core(|timer| async move {
            assert!(timer.at(Instant::now()).now_or_never().is_some());
            assert!(timer.sleep(Duration::ZERO).now_or_never().is_some());
            assert!(timer.sleep(Duration::MAX).now_or_never().is_none());
        });
    }
}
