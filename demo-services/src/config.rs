//! How a service is set up, and what is wrong with a setup.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use brownout_resilience::{InvalidPolicy, Policy};
use brownout_telemetry::{Metrics, Tracer};
use http::{Uri, uri};
use thiserror::Error;

use crate::{service::Service, tls::ServiceTls};

/// What one service needs to start.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// Which of them.
    pub service: Service,
    /// Where it listens; port 0 asks for a free one. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// TLS on its listener, and to upstreams whose URL says `https`. Default none.
    pub tls: Option<ServiceTls>,
    /// The base URL, `http://HOST:PORT` or with TLS `https://HOST:PORT`, of each service that it [calls](Service::upstreams), and of no other.
    pub upstreams: BTreeMap<Service, String>,
    /// How it protects itself when it calls them. Default none.
    pub policy: Policy,
    /// Requests that are worked on at once. Default 8, as the original's; from 1 to 1024.
    pub workers: usize,
    /// Further requests that may wait for a worker; what comes beyond is answered 503. Default 2048, at most 1,000,000.
    pub queue: usize,
    /// How long a request occupies its worker besides what its calls take. Default [`Service::default_work`].
    pub work: Duration,
    /// Where all chance comes from: the jitter of retries, and the users that tokens belong to.
    pub seed: u64,
    /// Where it counts.
    pub metrics: Metrics,
    /// Where its spans go.
    pub tracer: Tracer,
}

impl ServiceConfig {
    /// The most workers that a service may have.
    pub const WORKERS_MAX: usize = 1024;
    /// The longest queue that a service may have.
    pub const QUEUE_MAX: usize = 1_000_000;

    /// The defaults: any free port of loopback, no upstreams, no protection, metrics and spans for nobody.
    #[must_use]
    pub fn new(service: Service) -> Self {
        Self {
            service,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: None,
            upstreams: BTreeMap::new(),
            policy: Policy::none("none"),
            workers: 8,
            queue: 2048,
            work: service.default_work(),
            seed: 0,
            metrics: Metrics::new(),
            tracer: Tracer::off(),
        }
    }

    /// The same with the base URL of one more upstream.
    #[must_use]
    pub fn calling(mut self, upstream: Service, url: impl Into<String>) -> Self {
        self.upstreams.insert(upstream, url.into());
        self
    }

    /// Refuses numbers that are out of bounds, and upstreams that the service does not call.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if !(1..=Self::WORKERS_MAX).contains(&self.workers) {
            return Err(StartError::Workers(self.workers));
        }
        if self.queue > Self::QUEUE_MAX {
            return Err(StartError::Queue(self.queue));
        }
        let called = self.service.upstreams();
        match self.upstreams.keys().find(|it| !called.contains(it)) {
            None => Ok(()),
            Some(&upstream) => Err(StartError::SuperfluousUpstream {
                service: self.service,
                upstream,
            }),
        }
    }

    /// Where `upstream` is asked.
    pub(crate) fn target(&self, upstream: Service) -> Result<Uri, StartError> {
        let Some(base) = self.upstreams.get(&upstream) else {
            return Err(StartError::MissingUpstream {
                service: self.service,
                upstream,
            });
        };
        let scheme = match self.tls {
            Some(_) if base.starts_with("https:") => uri::Scheme::HTTPS,
            Some(_) | None => uri::Scheme::HTTP,
        };
        target(base, &scheme, upstream.path()).ok_or_else(|| StartError::InvalidUpstream {
            upstream,
            url: base.clone(),
        })
    }
}

/// Why a service could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// It calls an upstream of which it has no URL.
    #[error("{service} calls {upstream}, whose URL is missing")]
    MissingUpstream {
        /// The service.
        service: Service,
        /// Whom it calls.
        upstream: Service,
    },
    /// It was given the URL of a service that it does not call.
    #[error("{service} does not call {upstream}")]
    SuperfluousUpstream {
        /// The service.
        service: Service,
        /// Whom it does not call.
        upstream: Service,
    },
    /// An upstream's URL is none, or more than scheme, host and port.
    #[error("`{url}` is no URL of {upstream}; write it like \"http://127.0.0.1:9000\"")]
    InvalidUpstream {
        /// Whose URL.
        upstream: Service,
        /// As configured.
        url: String,
    },
    /// Too few or too many workers.
    #[error("workers: {0} is outside 1 to {max}", max = ServiceConfig::WORKERS_MAX)]
    Workers(usize),
    /// Too long a queue.
    #[error("queue: {0} is above {max}", max = ServiceConfig::QUEUE_MAX)]
    Queue(usize),
    /// The policy was put together in code, and is not valid.
    #[error("could not use the policy")]
    Policy(#[source] InvalidPolicy),
    /// The address is taken, or not one of this machine.
    #[error("could not listen on {address}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// `path` at `base`, if that is `SCHEME://HOST:PORT` and nothing more. Without a port it is that of the scheme.
fn target(base: &str, scheme: &uri::Scheme, path: &'static str) -> Option<Uri> {
    at(scheme, authority(base, scheme)?, path)
}

/// `path_and_query` at this host and port.
pub(crate) fn at(
    scheme: &uri::Scheme,
    authority: uri::Authority,
    path_and_query: &str,
) -> Option<Uri> {
    Uri::builder()
        .scheme(scheme.clone())
        .authority(authority)
        .path_and_query(path_and_query)
        .build()
        .ok()
}

/// The host and port of `base`, if it is `SCHEME://HOST:PORT` and nothing more.
pub(crate) fn authority(base: &str, scheme: &uri::Scheme) -> Option<uri::Authority> {
    let base: Uri = base.parse().ok()?;
    let authority = base.authority()?;
    let has_port = authority.as_str().len() > authority.host().len();
    let well_formed = base.scheme() == Some(scheme)
        && base.path() == "/"
        && base.query().is_none()
        && !authority.as_str().contains('@')
        && !authority.host().is_empty()
        && (!has_port || authority.port_u16().is_some_and(|port| port != 0));
    well_formed.then(|| authority.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_put_behind_the_base_url() {
        for (base, expected) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000/things"),
            ("http://127.0.0.1:9000/", "http://127.0.0.1:9000/things"),
            ("http://[::1]:9000", "http://[::1]:9000/things"),
            ("http://shop.internal", "http://shop.internal/things"),
        ] {
            let target = target(base, &uri::Scheme::HTTP, "/things");
            assert_eq!(target.unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_more_or_less_than_a_base_url_is_refused() {
        for base in [
            "",
            "127.0.0.1:9000",
            "/things",
            "https://shop.internal",
            "http://shop.internal/v1",
            "http://shop.internal?x=1",
            "http://me:secret@shop.internal",
            "http://:9000",
            "http://shop.internal:0",
            "http://shop.internal:x",
            "http://shop.internal:99999",
        ] {
            assert_eq!(target(base, &uri::Scheme::HTTP, "/things"), None, "{base}");
        }
    }
}
