//! Which requests a fault is meant for.

mod choice;
mod fit;
mod key;
mod link;
mod match_spec;
mod matching;
mod members;
mod network;
mod pattern;
mod place;

pub use self::{
    choice::Choice,
    fit::{Conditions, Fit, Knowledge},
    key::Per,
    match_spec::{FieldMatch, MatchSpec},
    network::Network,
    pattern::{Glob, Pattern},
    place::Places,
};
pub(crate) use self::{key::client_key, match_spec::method};
