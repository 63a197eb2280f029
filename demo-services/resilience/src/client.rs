//! The client: a policy put to work for the calls to one dependency.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use thiserror::Error;
use tokio::time::Instant;

use crate::{
    breaker::{Breaker, Rejected, Setup},
    chain::{Run, Terms},
    chance,
    deadline::TimeoutError,
    fallback::{Fallback, NoFallback},
    guards::{Guard, Guards, Levels},
    observer::Observer,
    outcome::Reading,
    policy::{InvalidPolicy, Order, Policy, Scope},
    report::{Cause, Report},
    time_left,
};

/// Calls one dependency under one policy.
///
/// Share it behind an `Arc`, or give each worker its own with [`Client::for_worker`]. It holds no connection and no
/// task: an operation does the sending, and the client decides when, how often and for how long.
#[derive(Debug)]
pub struct Client {
    name: Box<str>,
    policy: Arc<Policy>,
    breaker: Option<Arc<Breaker>>,
    guards: Arc<Guards>,
    setup: Setup,
    seed: u64,
    calls: AtomicU64,
}

impl Client {
    /// A client for the dependency `name`, with a breaker of that name if the policy has one.
    ///
    /// # Errors
    /// When a value of the policy is out of range, which a policy that was read from a file never is.
    pub fn new(name: &str, policy: Policy, setup: Setup) -> Result<Self, InvalidPolicy> {
        policy.check()?;
        Ok(Self {
            name: name.into(),
            breaker: policy
                .breaker
                .as_ref()
                .map(|policy| Arc::new(Breaker::checked(name, policy, setup.clone()))),
            guards: Arc::new(Guards::new(&policy)),
            policy: policy.into(),
            seed: chance::seed_for(setup.seed, name),
            setup,
            calls: AtomicU64::new(0),
        })
    }

    /// A client for one more worker, with draws of its own: on the same breaker if the policy's scope is shared, on a
    /// new one if each worker shall have its own. Every other guard and every budget is shared.
    #[must_use]
    pub fn for_worker(&self, worker: u64) -> Self {
        let name = &self.name;
        let seed = chance::seed_for(self.setup.seed, &format!("{name} {worker}"));
        let breaker = self.policy.breaker.as_ref().zip(self.breaker.as_ref());
        Self {
            name: name.clone(),
            breaker: breaker.map(|(policy, breaker)| match policy.scope {
                Scope::Shared => Arc::clone(breaker),
                Scope::Worker => {
                    let setup = Setup {
                        seed,
                        ..self.setup.clone()
                    };
                    Arc::new(Breaker::checked(name, policy, setup))
                }
            }),
            guards: Arc::clone(&self.guards),
            policy: Arc::clone(&self.policy),
            seed,
            setup: self.setup.clone(),
            calls: AtomicU64::new(0),
        }
    }

    /// The same client, going on with what `old` has learnt where the two policies agree: its breaker if `[breaker]` is
    /// the same, its bulkhead, limits and budgets if all of these are. So a policy can be changed while calls are made,
    /// and an open breaker stays open when only a timeout changes. The breaker keeps its listener as well.
    ///
    /// Both clients must belong to the same worker.
    #[must_use]
    pub fn keeping(mut self, old: &Self) -> Self {
        let (new_policy, old_policy) = (&*self.policy, &*old.policy);
        if new_policy.breaker == old_policy.breaker {
            self.breaker.clone_from(&old.breaker);
        }
        let budget = |policy: &Policy| policy.retry.as_ref().and_then(|retry| retry.budget);
        let same_guards = budget(new_policy) == budget(old_policy)
            && new_policy.rate_limit == old_policy.rate_limit
            && new_policy.bulkhead == old_policy.bulkhead
            && new_policy.adaptive == old_policy.adaptive
            && new_policy.hedge == old_policy.hedge;
        if same_guards {
            self.guards = Arc::clone(&old.guards);
        }
        self
    }

    /// The name of the dependency.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The policy it works by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Its breaker, if the policy has one.
    #[must_use]
    pub fn breaker(&self) -> Option<&Arc<Breaker>> {
        self.breaker.as_ref()
    }

    /// How much room its guards have left.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.guards.levels()
    }

    pub(crate) fn guards(&self) -> &Guards {
        &self.guards
    }

    /// The seed and the number of the next call, from which all its chance is drawn.
    pub(crate) fn next_draws(&self) -> (u64, u64) {
        (self.seed, self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a call: `operation` as often as the policy wants, within its limits, if its breaker permits.
    ///
    /// `classify` says what each result means in words that a policy knows: an [`Outcome`](crate::Outcome), or with what the answer asks
    /// of those who would try again, a [`Reading`]. An attempt's time is the operation's: let
    /// it read what must have arrived in time, the body for instance. Dropping the future drops the attempt under way,
    /// gives its permit back and records nothing. It is `Send` if its parts are, and does not ask them to be.
    pub async fn call<T, E, O, B, F, R>(
        &self,
        call: Call<'_, O, B>,
        classify: impl Fn(&Result<T, E>) -> R,
        operation: impl FnMut(Attempt) -> F,
    ) -> Called<T, E>
    where
        O: Observer,
        B: Fallback<T>,
        F: Future<Output = Result<T, E>>,
        R: Into<Reading>,
    {
        let terms = Terms {
            method: call.method,
            repeatable: call.repeatable,
            deadline: call.deadline,
        };
        let mut run = Run::new(self, terms, call.observer, classify, operation);
        let ending = match self.policy.order {
            Order::Resilience4j => run.resilience4j().await,
            Order::Original => run.original().await,
        };
        run.conclude(ending, call.fallback)
    }
}

/// One call, as far as the client must know it: its method, who watches it, what it falls back to.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a, O = (), B = NoFallback> {
    method: &'a str,
    repeatable: Option<bool>,
    deadline: Option<Instant>,
    observer: O,
    fallback: B,
}

impl<'a> Call<'a> {
    /// A call of this method, which the policy's `methods` are compared with: `"GET"`. Where there are no methods, any
    /// word that policies can name.
    #[must_use]
    pub fn method(method: &'a str) -> Self {
        Self {
            method,
            repeatable: None,
            deadline: None,
            observer: (),
            fallback: NoFallback,
        }
    }
}

impl<'a, O, B> Call<'a, O, B> {
    /// The same call, of which the caller knows better than its method says whether it may be made twice: a POST with
    /// a key that the other side recognises it by, for instance.
    #[must_use]
    pub fn repeatable(self, repeatable: bool) -> Self {
        Self {
            repeatable: Some(repeatable),
            ..self
        }
    }

    /// The same call on behalf of somebody who waits no longer than until `deadline`, if there is one. It ends then,
    /// and is not begun after it. What was read of an incoming request with [`time_left`](crate::time_left) belongs
    /// here.
    #[must_use]
    pub fn before(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// The same call, watched.
    #[must_use]
    pub fn observed_by<P: Observer>(self, observer: P) -> Call<'a, P, B> {
        Call {
            method: self.method,
            repeatable: self.repeatable,
            deadline: self.deadline,
            observer,
            fallback: self.fallback,
        }
    }

    /// The same call with something to fall back to, which is used if the policy has a fallback.
    #[must_use]
    pub fn or_else<T, G>(self, fallback: G) -> Call<'a, O, G>
    where
        G: FnOnce(Cause) -> T,
    {
        self.falling_back(fallback)
    }

    /// As [`or_else`](Self::or_else), with a fallback of any kind, [`NoFallback`] for instance.
    #[must_use]
    pub fn falling_back<G>(self, fallback: G) -> Call<'a, O, G> {
        Call {
            method: self.method,
            repeatable: self.repeatable,
            deadline: self.deadline,
            observer: self.observer,
            fallback,
        }
    }
}

/// One attempt of a call, or a hedge of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// How long it may take; then it is dropped.
    pub time_limit: Option<Duration>,
    /// Which request of the attempt this is: 0 for the first, more for a hedge.
    pub hedge: u32,
    /// Whether the time limit is to be sent along, so that the other side can stop in time as well: the policy wants it,
    /// or the call is made under a deadline that was itself sent along.
    pub propagate: bool,
}

impl Attempt {
    /// The header that tells the other side how much time is left, name and value; none if there is no limit or it is not
    /// to be told.
    #[must_use]
    pub fn time_left_header(&self) -> Option<(&'static str, String)> {
        let limit = self.time_limit.filter(|_| self.propagate)?;
        Some((time_left::HEADER, time_left::write(limit)))
    }
}

/// A call that is over.
#[derive(Debug)]
pub struct Called<T, E> {
    /// What it brought.
    pub result: Result<T, CallError<E>>,
    /// How it went.
    pub report: Report,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError<E> {
    /// The breaker refused: nothing was sent.
    #[error(transparent)]
    Rejected(Rejected),
    /// Another guard refused: nothing was sent.
    #[error(transparent)]
    Refused(Guard),
    /// A time limit of the policy passed.
    #[error(transparent)]
    Timeout(TimeoutError),
    /// The answers to all attempts were such as are tried again, and the policy wants an error then.
    #[error("no usable answer in {attempts} attempts")]
    MaxAttempts {
        /// How many there were.
        attempts: u32,
    },
    /// The operation's own error, of the last attempt.
    #[error("the call failed")]
    Failed(#[source] E),
}
