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
pub(crate) mod sweep;
pub(crate) mod tls;
pub(crate) mod toxiproxy;

use std::path::PathBuf;

use brownout_client::{Client, Trust};
use brownout_control_api::ControlConfig;
use serde_json::Value;

use crate::{
    args::{ApiArgs, Output, TrustArgs},
    control_settings,
    exit::Failure,
    show::{self, Curl},
    variables::variable,
};

impl TrustArgs {
    fn trust(&self) -> Trust {
        match (&self.ca, self.insecure) {
            (_, true) => Trust::Anybody,
            (Some(ca), false) => Trust::File(ca.clone()),
            (None, false) => Trust::System,
        }
    }
}

/// A client of the control API of a running proxy, for commands that have no flags for its token and its TLS: they are in the
/// environment.
fn client_of(address: &str) -> Result<Client, Failure> {
    let file = variable("BROWNOUT_TOKEN_FILE").map(PathBuf::from);
    let token = control_settings::token("BROWNOUT_TOKEN", file.as_deref())?;
    let trust = TrustArgs {
        ca: variable("BROWNOUT_CA").map(PathBuf::from),
        insecure: false,
    };
    let client = Client::new(address)?.with_trust(&trust.trust())?;
    Ok(match token {
        Some(token) => client.with_token(token.secret()),
        None => client,
    })
}

impl ApiArgs {
    fn client(&self) -> Result<Client, Failure> {
        let token = control_settings::token("BROWNOUT_TOKEN", self.token_file.as_deref())?;
        let client = Client::new(&self.control)?.with_trust(&self.trust.trust())?;
        Ok(match token {
            Some(token) => client.with_token(token.secret()),
            None => client,
        })
    }

    /// The control API as flags of another command of ours; nothing where it listens as by default.
    fn flags(&self, client: &Client) -> String {
        let address = client.base().trim_start_matches("http://");
        let mut flags = String::new();
        if address != ControlConfig::LISTEN {
            flags = format!(" --control {address}");
        }
        if let Some(ca) = &self.trust.ca {
            flags.push_str(" --ca ");
            flags.push_str(&show::quoted(&ca.display().to_string()));
        }
        if self.trust.insecure {
            flags.push_str(" --insecure");
        }
        flags
    }

    /// A call of the control API as a command line, up to the body.
    fn curl(&self, client: &Client, method: &str, path: &str) -> String {
        let has_tls = client.base().starts_with("https://");
        let curl = Curl {
            ca: (self.trust.ca.as_ref().filter(|_| has_tls)).map(|ca| ca.display().to_string()),
            insecure: has_tls && self.trust.insecure,
            token: self.token_file.is_some() || variable("BROWNOUT_TOKEN").is_some(),
        };
        curl.line(method, &format!("{}{path}", client.base()))
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
