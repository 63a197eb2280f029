//! TLS on both sides of a route.

mod files;
mod listeners;
mod peers;
mod tunnels;
mod upstreams;
