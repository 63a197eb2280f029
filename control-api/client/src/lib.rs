//! The control API, typed, over HTTP.
