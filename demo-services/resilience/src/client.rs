//! The client: a policy put to work for the calls to one dependency.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use thiserror::Error;

use crate::{
    breaker::{Breaker, Rejected, Setup},
    chain::Run,
    chance,
    deadline::TimeoutError,
    fallback::{Fallback, NoFallback},
    observer::Observer,
    outcome::Outcome,
    policy::{InvalidPolicy, Order, Policy, Scope},
    report::{Cause, Report},
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
            policy: policy.into(),
            seed: chance::seed_for(setup.seed, name),
            setup,
            calls: AtomicU64::new(0),
        })
    }

    /// A client for one more worker, with draws of its own: on the same breaker if the policy's scope is shared, on a
    /// new one if each worker shall have its own.
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
            policy: Arc::clone(&self.policy),
            seed,
            setup: self.setup.clone(),
            calls: AtomicU64::new(0),
        }
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

    /// The seed and the number of the next call, from which all its chance is drawn.
    pub(crate) fn next_draws(&self) -> (u64, u64) {
        (self.seed, self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a call: `operation` as often as the policy wants, within its limits, if its breaker permits.
    ///
    /// `classify` says what each result means in words that a policy knows. An attempt's time is the operation's: let
    /// it read what must have arrived in time, the body for instance. Dropping the future drops the attempt under way,
    /// gives its permit back and records nothing. It is `Send` if its parts are, and does not ask them to be.
    pub async fn call<T, E, O, B, F>(
        &self,
        call: Call<'_, O, B>,
        classify: impl Fn(&Result<T, E>) -> Outcome,
        operation: impl FnMut(Attempt) -> F,
    ) -> Called<T, E>
    where
        O: Observer,
        B: Fallback<T>,
        F: Future<Output = Result<T, E>>,
    {
        let mut run = Run::new(self, call.method, call.observer, classify, operation);
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
            observer: (),
            fallback: NoFallback,
        }
    }
}

impl<'a, O, B> Call<'a, O, B> {
    /// The same call, watched.
    #[must_use]
    pub fn observed_by<P: Observer>(self, observer: P) -> Call<'a, P, B> {
        Call {
            method: self.method,
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
        Call {
            method: self.method,
            observer: self.observer,
            fallback,
        }
    }
}

/// One attempt of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// How long it may take; then it is dropped. Send it along, and the other side can stop in time as well.
    pub time_limit: Option<Duration>,
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
