//! Running an experiment: steady state, phases with faults, recovery, and always the removal of what was armed.
//!
//! A [`Runner`] tells what happens as [`Event`]s, in order. Terminal, JSON, JUnit, Markdown and HTML read nothing else:
//! [`RunRecord::of`] puts events together again, also those that were written to a file by an earlier run.
//!
//! The proxy is reached through its control API alone, services only over HTTP.

mod account;
mod ceiling;
mod control;
mod event;
mod interval;
mod journal;
mod judge;
mod pages;
mod record;
mod recording;
mod request_journal;
mod scrape;
mod serial;
mod services;
mod story;
mod tail;
mod verdict;

pub use self::{
    account::{Account, Moment, Outage, RetryWaits, RouteAccount, Saved},
    ceiling::{Ceiling, ceiling},
    control::RunError,
    event::{
        CallerRecord, Event, Exemplar, FaultTruth, HopSummary, Judgement, JudgementKind,
        JudgementVerdict, PhaseKind, PlannedPhase, RoutePlace, RunStarted, SecondOfHop, TailRecord,
    },
    journal::{Journal, JournalError, JournalPage, NoJournal, Reading},
    record::{PhaseRecord, RunRecord, result_schema},
    request_journal::RequestJournal,
    services::ServicePoint,
    story::{RunFailure, Runner, planned},
    verdict::Verdict,
};
pub(crate) use self::{
    control::{Proxy, describe as describe_fault},
    judge::{margin_of, text_of_threshold},
};
