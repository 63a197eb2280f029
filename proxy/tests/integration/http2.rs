//! HTTP/2: with clients, and the frames that no client would send.

mod client;
mod faults;
mod floods;
mod malformed;
mod own_faults;
mod passing;
mod raw;
mod streams;
mod upstreams;
mod websocket;
