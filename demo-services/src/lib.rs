//! Services whose clients protect themselves: homepage, authentication, recommendations, popular items.
//!
//! A small system to try outages on, after `abrookins/reliable_service_calls_with_python`. Each service answers
//! with a fixed number of workers, as the original's do; homepage and recommendations call others, under a policy of
//! timeouts, retries, breakers and fallbacks. They are plain services over HTTP: they have no switch for outages, and
//! nothing here knows of a proxy or of faults. What stands behind the URL of an upstream is its own affair.
//!
//! | service | resource | calls |
//! |---|---|---|
//! | homepage | `GET /` | authentication, recommendations, popular items |
//! | authentication | `POST /authenticate` | |
//! | recommendations | `GET /recommendations` | authentication |
//! | popular items | `GET /popular_items` | |
//!
//! Each has `GET /healthz` and `GET /stats` as well ([`Stats`]), which no worker is needed for. Those that call others
//! show their policy at `GET /settings` and take another one at `PUT` and `PATCH /settings`, with the keys of the
//! original or a policy's name or text; calls that are being made end under the one they began with. What resilience4j
//! shows of its breakers is at `GET /actuator/health` and `GET /actuator/circuitbreakerevents`.
//!
//! ```
//! use std::time::Duration;
//!
//! use demo_services::{Service, ServiceConfig, policies, start};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let authentication = start(ServiceConfig::new(Service::Authentication)).await?;
//! let recommendations = start(ServiceConfig {
//!     policy: policies::named("timeout")?,
//!     ..ServiceConfig::new(Service::Recommendations)
//!         .calling(Service::Authentication, format!("http://{}", authentication.address()))
//! })
//! .await?;
//!
//! println!("curl -H 'Authorization: Token 0x132' {}/recommendations", recommendations.address());
//!
//! recommendations.shutdown(Duration::from_secs(5)).await?;
//! authentication.shutdown(Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! One request: `server` accepts it, `front` finds that it is for the service's resource and puts it in line, a worker
//! takes it (`workers`), the service answers it (`homepage`, ...), with the help of its upstreams (`upstream`).

pub mod policies;

mod actuator;
mod answer;
mod authentication;
mod authorization;
mod config;
mod front;
mod homepage;
mod inbound;
pub mod library;
mod popular_items;
mod recommendations;
mod server;
mod service;
mod serving;
mod settings;
mod stats;
mod tally;
mod tls;
mod upstream;
mod word;
mod workers;

pub use crate::{
    config::{ServiceConfig, StartError},
    library::AnyService,
    server::{Running, start},
    service::{Service, UnknownService},
    serving::ShutdownTimeout,
    stats::{BreakerStats, OutcomeStats, RefusalStats, Stats, UpstreamStats},
    tls::ServiceTls,
};
