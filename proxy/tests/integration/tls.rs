//! TLS on both sides of a route.

mod listeners;
mod peers;
mod tunnels;
mod upstreams;
