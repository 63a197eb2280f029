//! What a call brings along to answer with when there is no answer.

use crate::report::Cause;

/// Something to fall back to, or nothing.
pub trait Fallback<T> {
    /// The value that takes the answer's place, if there is one.
    fn value(self, cause: Cause) -> Option<T>;
}

/// Nothing to fall back to: a failure stays a failure, whatever the policy says.
#[derive(Debug, Clone, Copy)]
pub struct NoFallback;

impl<T> Fallback<T> for NoFallback {
    fn value(self, _: Cause) -> Option<T> {
        None
    }
}

impl<T, F: FnOnce(Cause) -> T> Fallback<T> for F {
    fn value(self, cause: Cause) -> Option<T> {
        Some(self(cause))
    }
}
