//! A dependency in memory that answers by script, and what the tests say of its answers.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    time::Duration,
};

use brownout_resilience::{Attempt, Call, Called, Client, ErrorKind, Outcome, Policy, Setup};
use tokio::time::{Instant, sleep};

/// What the upstream does with one attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    Status(u16),
    Fail(ErrorKind),
    /// Fails in a way that says nothing about it.
    CallersFault,
    /// Answers 200 after so long.
    After(Duration),
}

/// A status, or a kind of error; none for the caller's own.
pub(crate) type Answered = Result<u16, Option<ErrorKind>>;

/// Answers the scripted attempts in order, then goes on with the last. Not `Send`, as an operation need not be.
#[derive(Debug)]
pub(crate) struct Upstream {
    script: RefCell<VecDeque<Script>>,
    started: RefCell<Vec<Instant>>,
    dropped: Cell<usize>,
}

impl Upstream {
    pub(crate) fn that(script: impl IntoIterator<Item = Script>) -> Self {
        Self {
            script: RefCell::new(script.into_iter().collect()),
            started: RefCell::default(),
            dropped: Cell::default(),
        }
    }

    pub(crate) fn becomes(&self, script: Script) {
        *self.script.borrow_mut() = VecDeque::from([script]);
    }

    /// How many attempts have reached it.
    pub(crate) fn attempts(&self) -> usize {
        self.started.borrow().len()
    }

    /// How many attempts were dropped before they ended.
    pub(crate) fn dropped(&self) -> usize {
        self.dropped.get()
    }

    /// The time between one attempt and the next.
    pub(crate) fn pauses_ms(&self) -> Vec<u128> {
        let started = self.started.borrow();
        started
            .windows(2)
            .map(|two| (two[1] - two[0]).as_millis())
            .collect()
    }

    pub(crate) async fn answer(&self, _attempt: Attempt) -> Answered {
        self.started.borrow_mut().push(Instant::now());
        let next = self.next();
        let mut guard = CountDrop {
            ended: false,
            dropped: &self.dropped,
        };
        let answer = match next {
            Script::Status(status) => Ok(status),
            Script::Fail(kind) => Err(Some(kind)),
            Script::CallersFault => Err(None),
            Script::After(delay) => {
                sleep(delay).await;
                Ok(200)
            }
        };
        guard.ended = true;
        answer
    }

    fn next(&self) -> Script {
        let mut script = self.script.borrow_mut();
        if script.len() > 1 {
            return script.pop_front().unwrap();
        }
        *script.front().unwrap()
    }

    /// A call of the client to this upstream.
    pub(crate) async fn called_by(
        &self,
        client: &Client,
        method: &str,
    ) -> Called<u16, Option<ErrorKind>> {
        client
            .call(Call::method(method), outcome, |attempt| {
                self.answer(attempt)
            })
            .await
    }
}

pub(crate) fn outcome(answered: &Answered) -> Outcome {
    match answered {
        Ok(status) => Outcome::Status(*status),
        Err(Some(kind)) => Outcome::Error(*kind),
        Err(None) => Outcome::Ignored,
    }
}

/// A client under a policy as a file has it.
pub(crate) fn client(policy: &str) -> Client {
    let policy = Policy::from_toml("test", policy).unwrap_or_else(|error| panic!("{error}"));
    Client::new("upstream", policy, Setup::seeded(42)).unwrap()
}

/// Counts futures that are dropped before they end.
struct CountDrop<'u> {
    ended: bool,
    dropped: &'u Cell<usize>,
}

impl Drop for CountDrop<'_> {
    fn drop(&mut self) {
        self.dropped
            .set(self.dropped.get() + usize::from(!self.ended));
    }
}
