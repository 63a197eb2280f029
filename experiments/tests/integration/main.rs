//! Load against servers on real sockets, in the test's own process.

#![expect(clippy::unwrap_used, reason = "tests: a failure is a panic")]

mod audit_kept;
mod audit_reports;
mod experiment_file;
mod load;
mod page_text;
mod reports;
mod run_page;
