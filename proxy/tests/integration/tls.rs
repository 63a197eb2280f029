//! TLS on both sides of a route.

mod files;
mod listeners;
mod peers;
mod pinned;
mod tunnels;
mod upstreams;
