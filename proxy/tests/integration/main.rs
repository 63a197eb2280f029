//! The proxy seen from outside: real sockets, real resets, real servers on either side.

#![expect(clippy::unwrap_used, reason = "tests: a failure is a panic")]

/// The allocator of the brownout binary: tests measure memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod abort;
mod ambiguous;
mod beneath;
mod blackhole;
mod bodies;
mod caller_faults;
mod client_timeouts;
mod connect_faults;
mod draining;
mod dribbled_heads;
mod early_answers;
mod early_returns;
mod endings;
mod every_kind;
mod fidelity;
mod field_bugs;
mod http2;
mod identity;
mod interim;
mod journal;
mod journal_content;
mod latency;
mod letting_go;
mod malformed;
mod memory;
mod out_of_step;
mod passing;
mod patching;
mod presets;
mod programs;
mod proxy_process;
mod real_servers;
mod request_faults;
mod response_faults;
mod route_options;
mod routes;
mod slow_peers;
mod strictness;
mod table;
mod tcp_faults;
mod tcp_routes;
mod times;
mod tls;
mod traces;
mod transparency;
mod upgrade;
mod upstream_failures;
mod wire_cases;
mod wire_truth;
