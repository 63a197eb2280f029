//! What is found, with the ids that a person and a program know it by.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

macro_rules! ids {
    ($($Group:ident { $($Id:ident = $name:literal),+ $(,)? })+) => {
        /// What is looked for, each for every dependency.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum FindingId {
            $($(
                #[doc = concat!("`", $name, "`")]
                #[serde(rename = $name)]
                $Id,
            )+)+
        }

        /// Findings of one kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Group {
            $(
                #[doc = concat!("See the ids of `", stringify!($Group), "`.")]
                $Group,
            )+
        }

        impl FindingId {
            /// All of them, by group.
            pub const ALL: &'static [Self] = &[$($(Self::$Id),+),+];

            /// As it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$Id => $name,)+)+
                }
            }

            /// Its group.
            #[must_use]
            pub const fn group(self) -> Group {
                match self {
                    $($(Self::$Id)|+ => Group::$Group,)+
                }
            }
        }

        impl Group {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$Group),+];
        }
    };
}

ids! {
    Timeouts {
        NoTimeout = "no-timeout",
        TimeoutOverBudget = "timeout-over-budget",
        ConnectTimeoutOnly = "connect-timeout-only",
        PerReadTimeout = "per-read-timeout",
        HeadOnlyTimeout = "head-only-timeout",
        NoTotalTimeout = "no-total-timeout",
    }
    Retries {
        ImmediateRetries = "immediate-retries",
        NoBackoffGrowth = "no-backoff-growth",
        NoJitter = "no-jitter",
        UncappedBackoff = "uncapped-backoff",
        Retries4xx = "retries-4xx",
        RetriesPost = "retries-post",
        NestedRetries = "nested-retries",
        NoRetryBudget = "no-retry-budget",
        IgnoresRetryAfter = "ignores-retry-after",
        WaitsOutRetryAfter = "waits-out-retry-after",
    }
    Bodies {
        AcceptsTruncated = "accepts-truncated",
        AcceptsCorrupt = "accepts-corrupt",
    }
    Connections {
        ResetSurfaced = "reset-surfaced",
        PinnedConnection = "pinned-connection",
        PoolLeak = "pool-leak",
        NoBulkhead = "no-bulkhead",
        Serialised = "serialised",
    }
    Breaker {
        NoEffectiveBreaker = "no-effective-breaker",
        BreakerIgnores5xx = "breaker-ignores-5xx",
        BreakerOpensOn4xx = "breaker-opens-on-4xx",
        BreakerNeverCloses = "breaker-never-closes",
        HalfOpenStampede = "half-open-stampede",
    }
    Fallback {
        FallbackSameDependency = "fallback-same-dependency",
        StickyFallback = "sticky-fallback",
        SlowFallback = "slow-fallback",
    }
    Load {
        PermanentHedge = "permanent-hedge",
        NoCancellation = "no-cancellation",
    }
}

impl Group {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeouts => "timeouts",
            Self::Retries => "retries",
            Self::Bodies => "bodies",
            Self::Connections => "connections",
            Self::Breaker => "breaker",
            Self::Fallback => "fallback",
            Self::Load => "load",
        }
    }
}

impl FindingId {
    /// Reads a group or an id: all ids of a group, or one.
    ///
    /// # Errors
    /// A sentence that names the nearest word.
    pub fn parse_all(word: &str) -> Result<Vec<Self>, String> {
        let is_meant = |id: &&Self| id.as_str() == word || id.group().as_str() == word;
        let ids: Vec<Self> = Self::ALL.iter().filter(is_meant).copied().collect();
        if !ids.is_empty() {
            return Ok(ids);
        }
        let groups = Group::ALL.iter().map(|it| it.as_str());
        let known: Vec<&str> = groups
            .chain(Self::ALL.iter().map(|it| it.as_str()))
            .collect();
        Err(brownout_fault::read::unknown(
            "group or finding",
            word,
            &known,
        ))
    }
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The client does it.
    Defect,
    /// It was tried, and the client does not.
    Ok,
    /// It cannot be told; the finding says why.
    Undetermined,
    /// The client has nothing of which it could be said.
    NotApplicable,
}

impl Verdict {
    /// The more, the worse.
    pub(super) const fn badness(self) -> u8 {
        match self {
            Self::NotApplicable => 0,
            Self::Ok => 1,
            Self::Undetermined => 2,
            Self::Defect => 3,
        }
    }
}

/// How bad a defect is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It turns a failure of the dependency into one of the client, or makes it worse for the dependency.
    High,
    /// It does so under some conditions.
    Medium,
    /// It costs something.
    Low,
}

impl Severity {
    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// What was found of one id for one dependency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub id: FindingId,
    /// The dependency.
    pub route: String,
    /// What the rule says.
    pub verdict: Verdict,
    /// In one sentence, for a person.
    pub sentence: String,
    /// Why it cannot be told, or what it follows from.
    pub why: String,
    /// How bad it would be.
    pub severity: Severity,
    /// The numbers it was made from.
    pub evidence: Value,
    /// What to change; empty where there is nothing to.
    pub fix: String,
    /// Where libraries are known to have this defect; empty where none is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Finding {
    /// The same, of a dependency that no page waits for: what was not tried for that reason does not apply.
    #[must_use]
    pub(super) fn of_background(self, not_tried: &str) -> Self {
        match self.verdict == Verdict::Undetermined && self.why == not_tried {
            true => {
                Outcome::not_applicable(self.id, "calls do not come of pages").of_route(&self.route)
            }
            false => self,
        }
    }

    /// The same where it is a defect, for that is certain; else nothing is said, as not all was tried.
    #[must_use]
    pub(crate) fn left_out(self, why: &str) -> Self {
        match self.verdict {
            Verdict::Defect => self,
            Verdict::Ok | Verdict::Undetermined | Verdict::NotApplicable => self.untold(why),
        }
    }

    /// The same id, of which nothing is said.
    #[must_use]
    pub(crate) fn untold(self, why: &str) -> Self {
        Outcome::unknown(self.id, why).of_route(&self.route)
    }
}

/// What a rule says of one id, before it has a route.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) id: FindingId,
    verdict: Verdict,
    sentence: String,
    why: String,
    evidence: Value,
}

impl Outcome {
    pub(super) fn is_defect(&self) -> bool {
        self.verdict == Verdict::Defect
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.verdict == Verdict::Undetermined
    }

    pub(super) fn defect(id: FindingId, sentence: impl Into<String>, evidence: Value) -> Self {
        Self::new(id, Verdict::Defect, sentence, evidence)
    }

    pub(super) fn ok(id: FindingId, sentence: impl Into<String>, evidence: Value) -> Self {
        Self::new(id, Verdict::Ok, sentence, evidence)
    }

    pub(super) fn unknown(id: FindingId, why: impl Into<String>) -> Self {
        let why = why.into();
        let mut outcome = Self::new(id, Verdict::Undetermined, "", json!({}));
        outcome.sentence = format!("undetermined, because {why}");
        outcome.why = why;
        outcome
    }

    pub(super) fn not_applicable(id: FindingId, why: impl Into<String>) -> Self {
        let why = why.into();
        let mut outcome = Self::new(id, Verdict::NotApplicable, "", json!({}));
        outcome.sentence = format!("does not apply: {why}");
        outcome.why = why;
        outcome
    }

    fn new(id: FindingId, verdict: Verdict, sentence: impl Into<String>, evidence: Value) -> Self {
        Self {
            id,
            verdict,
            sentence: sentence.into(),
            why: String::new(),
            evidence,
        }
    }

    pub(super) fn of_route(self, route: &str) -> Finding {
        let (fix, hint) = match self.verdict {
            Verdict::Defect => (self.id.fix(), self.id.hint()),
            Verdict::Ok | Verdict::Undetermined | Verdict::NotApplicable => ("", ""),
        };
        Finding {
            id: self.id,
            route: route.to_owned(),
            verdict: self.verdict,
            sentence: self.sentence,
            why: self.why,
            severity: self.id.severity(),
            evidence: self.evidence,
            fix: fix.to_owned(),
            hint: hint.to_owned(),
        }
    }
}

impl FindingId {
    /// How bad the defect is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::NoTimeout
            | Self::ConnectTimeoutOnly
            | Self::TimeoutOverBudget
            | Self::RetriesPost
            | Self::NestedRetries
            | Self::AcceptsTruncated
            | Self::AcceptsCorrupt
            | Self::PinnedConnection
            | Self::PoolLeak
            | Self::BreakerNeverCloses
            | Self::FallbackSameDependency => Severity::High,
            Self::PerReadTimeout
            | Self::HeadOnlyTimeout
            | Self::NoTotalTimeout
            | Self::ImmediateRetries
            | Self::UncappedBackoff
            | Self::Retries4xx
            | Self::NoRetryBudget
            | Self::IgnoresRetryAfter
            | Self::WaitsOutRetryAfter
            | Self::ResetSurfaced
            | Self::NoBulkhead
            | Self::Serialised
            | Self::NoEffectiveBreaker
            | Self::BreakerIgnores5xx
            | Self::BreakerOpensOn4xx
            | Self::HalfOpenStampede
            | Self::StickyFallback
            | Self::SlowFallback
            | Self::PermanentHedge
            | Self::NoCancellation => Severity::Medium,
            Self::NoBackoffGrowth | Self::NoJitter => Severity::Low,
        }
    }

    /// Which libraries have this defect by default, or by a usual mistake.
    const fn hint(self) -> &'static str {
        match self {
            Self::PerReadTimeout => {
                "the time-outs of requests, httpx and axios are for each read: put a deadline around the whole call"
            }
            Self::HeadOnlyTimeout => {
                "java.net.http's timeout() ends with the head: use sendAsync(...).get(ms), and cancel it"
            }
            Self::NoTimeout | Self::ConnectTimeoutOnly => {
                "requests and http.client wait without end unless told; java.net.http's connectTimeout is only for connecting"
            }
            Self::ImmediateRetries => {
                "the first retry of urllib3's Retry does not wait whatever backoff_factor says: override get_backoff_time"
            }
            Self::NoJitter => {
                "tenacity's wait_random_exponential(min=...) loses the jitter of the first steps: leave min out"
            }
            Self::UncappedBackoff => "tenacity's wait_exponential has no cap unless max= is given",
            Self::RetriesPost => {
                "axios-retry's default repeats a POST after a reset: use isIdempotentRequestError"
            }
            Self::IgnoresRetryAfter => {
                "got's calculateDelay replaces Retry-After unless computedValue is looked at: if (!computedValue) return 0"
            }
            Self::WaitsOutRetryAfter => {
                "urllib3's Retry sleeps through Retry-After inside the call: respect_retry_after_header=False, or override is_retry"
            }
            Self::AcceptsTruncated => {
                "IncompleteRead.partial of http.client is not the answer: raise"
            }
            Self::PinnedConnection => {
                "http.client is stuck in CannotSendRequest after a time-out until it is closed: close on any error"
            }
            Self::Serialised => {
                "pybreaker holds its lock during the call: one call at a time in the whole process"
            }
            Self::BreakerOpensOn4xx => {
                "opossum counts 404 as a failure unless errorFilter says otherwise"
            }
            Self::NoEffectiveBreaker => {
                "a breaker that is made for each request has no memory: make it once"
            }
            Self::NoCancellation => {
                "opossum's timeout does not stop the action, and Promise.race leaves the loser running: pass an AbortSignal"
            }
            Self::PermanentHedge => "the loser of Promise.race or asyncio.wait goes on: abort it",
            Self::TimeoutOverBudget
            | Self::NoTotalTimeout
            | Self::NoBackoffGrowth
            | Self::Retries4xx
            | Self::NestedRetries
            | Self::NoRetryBudget
            | Self::AcceptsCorrupt
            | Self::ResetSurfaced
            | Self::PoolLeak
            | Self::NoBulkhead
            | Self::BreakerIgnores5xx
            | Self::BreakerNeverCloses
            | Self::HalfOpenStampede
            | Self::FallbackSameDependency
            | Self::StickyFallback
            | Self::SlowFallback => "",
        }
    }

    /// What to change.
    const fn fix(self) -> &'static str {
        match self {
            Self::NoTimeout => {
                "set a time-out for the whole attempt, body included, well below the page's budget"
            }
            Self::TimeoutOverBudget => "make the attempt's time-out shorter than the page's budget",
            Self::ConnectTimeoutOnly => {
                "a time-out for connecting is none for the answer: set one for the whole attempt"
            }
            Self::PerReadTimeout => {
                "time-outs for each read pass while bytes dribble in: put a deadline around the whole call"
            }
            Self::HeadOnlyTimeout => {
                "let the time-out cover the body, not only the head of the answer"
            }
            Self::NoTotalTimeout => "bound all attempts together by the page's budget",
            Self::ImmediateRetries => "wait before a retry, with jitter",
            Self::NoBackoffGrowth => "let each wait be about twice the one before, up to a cap",
            Self::NoJitter => {
                "draw each wait at random, such as full jitter from 0 to the back-off"
            }
            Self::UncappedBackoff => "put a cap on the back-off",
            Self::Retries4xx => "do not retry what the answer says is the caller's mistake",
            Self::RetriesPost => "do not repeat what is not idempotent, or send an idempotency key",
            Self::NestedRetries => "retry in one layer only",
            Self::NoRetryBudget => "allow retries for a small share of calls, such as 20 %",
            Self::IgnoresRetryAfter => {
                "do not ask again before Retry-After is over; fall back instead"
            }
            Self::WaitsOutRetryAfter => {
                "where Retry-After is longer than what is left of the budget, fall back at once"
            }
            Self::AcceptsTruncated => "treat an answer that ends early as failed",
            Self::AcceptsCorrupt => "check what the answer says before it is used",
            Self::ResetSurfaced => {
                "repeat an idempotent request once on a new connection when a kept one breaks"
            }
            Self::PinnedConnection => "close a connection whose request timed out",
            Self::PoolLeak => "give the place in the pool back on every error",
            Self::NoBulkhead => "bound the calls that one dependency may hold",
            Self::Serialised => "let calls run side by side: look for a lock held during the call",
            Self::NoEffectiveBreaker => {
                "stop calling a dependency that fails, and look now and then whether it is back"
            }
            Self::BreakerIgnores5xx => "count answers of 500 and above as failures of the breaker",
            Self::BreakerOpensOn4xx => {
                "do not count the caller's mistakes as failures of the breaker"
            }
            Self::BreakerNeverCloses => {
                "let a probe through after a while, and close when it succeeds"
            }
            Self::HalfOpenStampede => "let one probe through at a time",
            Self::FallbackSameDependency => {
                "take the fallback from somewhere else than the dependency that failed"
            }
            Self::StickyFallback => "ask the primary again after a while",
            Self::SlowFallback => "go to the fallback at once while the breaker is open",
            Self::PermanentHedge => "hedge only the slowest few calls, and bound their share",
            Self::NoCancellation => "stop attempts when the caller has left, or at its deadline",
        }
    }
}
