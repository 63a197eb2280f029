//! Bodies on their way through: streamed, counted, never held.

mod request;
mod response;
mod shaped;

use std::fmt;

pub(crate) use self::{
    request::{Leave, RequestBody, UploadProgress},
    response::ResponseBody,
    shaped::{ShapedResponse, UploadPace},
};

/// Why a body ends before its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The other side broke it off.
    Broken(hyper::Error),
    /// A fault ended it.
    Cut,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(_) => f.write_str("the upstream broke off the answer"),
            Self::Cut => f.write_str("a fault ended the answer"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken(error) => Some(error),
            Self::Cut => None,
        }
    }
}
