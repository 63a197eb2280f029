//! TLS on both sides of a route.

mod files;
mod listeners;
mod peers;
mod pinned;
mod tcp_routes;
mod tunnels;
mod upstreams;
