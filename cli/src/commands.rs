//! One file for each command.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
mod demo_library;
pub(crate) mod demo_service;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod fault;
pub(crate) mod halt;
pub(crate) mod health;
mod library_service;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod proxy;
pub(crate) mod report;
pub(crate) mod requests;
pub(crate) mod route;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod simulate;
pub(crate) mod tls;
pub(crate) mod toxiproxy;

use brownout_client::Client;
use serde_json::Value;

use crate::{
    args::{ApiArgs, Output},
    control_settings,
    exit::Failure,
    show,
};

impl ApiArgs {
    fn client(&self) -> Result<Client, Failure> {
        let token = control_settings::token("BROWNOUT_TOKEN", self.token_file.as_deref())?;
        let client = Client::new(&self.control)?;
        Ok(match token {
            Some(token) => client.with_token(token.secret()),
            None => client,
        })
    }

    /// Prints an answer as the API gave it, or calls `text` to print it for a person.
    fn print(&self, answer: &impl serde::Serialize, text: impl FnOnce()) {
        match self.output {
            Output::Text => text(),
            Output::Json => println!("{}", to_json(answer)),
        }
    }
}

fn to_json(answer: &impl serde::Serialize) -> Value {
    serde_json::to_value(answer).expect("answers of the API are JSON")
}

/// Keeps the last failure to end with, and tells the one before.
fn tell_all_but_one(before: Option<Failure>, next: Failure) -> Option<Failure> {
    if let Some(before) = before {
        show::error(&before.message);
    }
    Some(next)
}
