//! Who may call: nobody through a browser's back door.
//!
//! A page in a developer's browser can send requests to loopback. Its requests carry an `Origin`, or, after DNS
//! rebinding, a foreign name in `Host`; neither is served (api.md §7).

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{control::Control, problem::ApiError};

/// The names under which the API may be called.
#[derive(Debug)]
pub(crate) struct Guard {
    bound: SocketAddr,
    allowed: Vec<String>,
}

impl Guard {
    pub(crate) fn new(bound: SocketAddr, allowed: Vec<String>) -> Self {
        let allowed = allowed
            .into_iter()
            .map(|host| host.to_lowercase())
            .collect();
        Self { bound, allowed }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| self.is_ours(host)) {
            let shown = host.unwrap_or_default();
            return Err(ApiError::Forbidden(format!(
                "the Host `{shown}` is neither loopback, the bound address nor in --allow-host"
            )));
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            let own = origin
                .strip_prefix("http://")
                .is_some_and(|host| Some(host) == headers_host(headers));
            if !own {
                return Err(ApiError::Forbidden(format!(
                    "the Origin `{origin}` is not this API's own; pages of other sites may not call it"
                )));
            }
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let name = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_lowercase();
        if self.allowed.contains(&name) || self.allowed.contains(&host.to_lowercase()) {
            return true;
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return true;
        }
        match name.parse::<IpAddr>() {
            // Rebinding needs a name; whoever writes an address means that address.
            Ok(ip) => ip.is_loopback() || ip == self.bound.ip() || self.bound.ip().is_unspecified(),
            Err(_) => false,
        }
    }
}

fn headers_host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// Refuses foreign callers, and counts everybody else.
pub(crate) async fn admit(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> Response {
    match control.guard.check(request.headers()) {
        Ok(()) => control.count(request, next).await,
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bound: &str, host: &str, origin: Option<&str>) -> bool {
        let guard = Guard::new(bound.parse().unwrap(), vec!["Proxy".to_owned()]);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        guard.check(&headers).is_ok()
    }

    #[test]
    fn loopback_the_bound_address_and_allowed_names_may_call() {
        for host in [
            "localhost:8474",
            "127.0.0.1:8474",
            "127.9.9.9",
            "[::1]:8474",
            "proxy:8474",
            "api.localhost",
        ] {
            assert!(verdict("127.0.0.1:8474", host, None), "{host}");
        }
        assert!(verdict("10.0.0.5:8474", "10.0.0.5:8474", None));
        assert!(verdict("0.0.0.0:8474", "192.168.1.9:8474", None));
    }

    #[test]
    fn foreign_names_and_origins_may_not() {
        for host in [
            "evil.example",
            "evil.example:8474",
            "localhost.evil.example",
            "10.0.0.5",
            "",
            "a b",
        ] {
            assert!(!verdict("127.0.0.1:8474", host, None), "{host}");
        }
        assert!(!verdict("0.0.0.0:8474", "evil.example", None));
        assert!(verdict(
            "127.0.0.1:8474",
            "localhost:8474",
            Some("http://localhost:8474")
        ));
        for origin in [
            "http://evil.example",
            "null",
            "https://localhost:8474",
            "http://localhost:3000",
        ] {
            assert!(
                !verdict("127.0.0.1:8474", "localhost:8474", Some(origin)),
                "{origin}"
            );
        }
    }
}
