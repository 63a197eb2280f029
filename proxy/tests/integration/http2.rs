//! HTTP/2: with clients, and the frames that no client would send.

mod client;
mod faults;
mod malformed;
mod passing;
mod streams;
mod upstreams;
