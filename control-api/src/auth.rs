//! Who may call: nobody through a browser's back door.
//!
//! A page in a developer's browser can send requests to loopback. Its requests carry an `Origin` or a
//! `Sec-Fetch-Site`, or, after DNS rebinding, a foreign name in `Host`; none is served (api.md §7).

mod tokens;

pub(crate) use self::tokens::Tokens;
pub use self::tokens::{InvalidToken, Token};

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use brownout_fault::read::shorten;

use crate::{
    connections::Place,
    control::{Control, Shared},
    problem::ApiError,
    toxiproxy,
};

/// The longest target of a call, in bytes.
const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Fields of a call's head.
const FIELDS_MAX: usize = 100;
/// Bytes of all their names and values.
const FIELD_BYTES_MAX: usize = 16 * 1024;

/// The names under which the API may be called.
#[derive(Debug)]
pub(crate) struct Guard {
    bound: SocketAddr,
    /// What its own origin begins with, before the `://`.
    scheme: &'static str,
    allowed: Vec<String>,
}

impl Guard {
    pub(crate) fn new(bound: SocketAddr, scheme: &'static str, allowed: Vec<String>) -> Self {
        let allowed = allowed
            .into_iter()
            .map(|host| host.to_lowercase())
            .collect();
        Self {
            bound,
            scheme,
            allowed,
        }
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        check_size(uri, headers)?;
        let host = single(headers, &header::HOST)?;
        let host = host.ok_or_else(|| ApiError::Malformed("there is no Host".to_owned()))?;
        if let Some(authority) = uri.authority()
            && !authority.as_str().eq_ignore_ascii_case(host)
        {
            return Err(ApiError::Malformed(format!(
                "the target names `{}`, but the Host is `{}`",
                shorten(authority.as_str()),
                shorten(host)
            )));
        }
        // Containers' health checks and scrapers call by whatever name the network gives us (decision 29).
        let anybody = matches!(uri.path(), "/healthz" | "/readyz" | "/metrics");
        if !anybody && !self.is_ours(host) {
            return Err(ApiError::Forbidden(format!(
                "the Host `{0}` is neither loopback nor the address listened on; start the proxy with \
                 --allow-host {0} if it is meant to be called so",
                shorten(&host_name(host))
            )));
        }
        if let Some(origin) = single(headers, &header::ORIGIN)?
            && origin.split_once("://") != Some((self.scheme, host))
        {
            return Err(ApiError::Forbidden(format!(
                "the Origin `{}` is not this API's own; pages of other sites may not call it",
                shorten(origin)
            )));
        }
        match single(headers, &HeaderName::from_static("sec-fetch-site"))? {
            None | Some("none" | "same-origin") => Ok(()),
            Some(other) => Err(ApiError::Forbidden(format!(
                "the request comes from another site (Sec-Fetch-Site: {}); pages of other sites may not call this API",
                shorten(other)
            ))),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        if self.allowed.iter().any(|allowed| allowed == "*") {
            return true;
        }
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

/// The host without its port.
fn host_name(host: &str) -> String {
    match host.parse::<Authority>() {
        Ok(authority) => authority.host().to_owned(),
        Err(_) => host.to_owned(),
    }
}

fn check_size(uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let target = uri.path_and_query().map_or(0, |it| it.as_str().len());
    if target > TARGET_BYTES_MAX {
        return Err(ApiError::TargetTooLong(target, TARGET_BYTES_MAX));
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if headers.len() > FIELDS_MAX || bytes > FIELD_BYTES_MAX {
        return Err(ApiError::TooManyFields(format!(
            "there are {} header fields of {bytes} bytes; at most {FIELDS_MAX} of {FIELD_BYTES_MAX} bytes are read",
            headers.len()
        )));
    }
    Ok(())
}

/// The only value of a field: whoever sends two wants one of them to be overlooked.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::Malformed(format!(
            "there is more than one {name}"
        )));
    }
    match value.to_str() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(ApiError::Malformed(format!("the {name} is not ASCII"))),
    }
}

/// Refuses foreign callers, and on a kept place what it is not kept for.
pub(crate) async fn admit(State(control): State<Shared>, request: Request, next: Next) -> Response {
    if let Err(refused) = check(&control, &request) {
        return match toxiproxy::is_ours(request.uri().path()) {
            true => toxiproxy::refusal(refused),
            false => refused.into_response(),
        };
    }
    next.run(request).await
}

fn check(control: &Control, request: &Request) -> Result<(), ApiError> {
    control.guard.check(request.uri(), request.headers())?;
    control.tokens.check(request)?;
    let is_kept = request.extensions().get() == Some(&Place::Kept);
    match is_kept && !matches!(request.uri().path(), "/halt" | "/healthz" | "/readyz") {
        true => Err(ApiError::Full),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(bound: &str, host: &str, origin: Option<&str>) -> bool {
        let mut fields = vec![("host", host)];
        fields.extend(origin.map(|origin| ("origin", origin)));
        status(bound, "/faults", &fields).is_none()
    }

    /// The status of a refusal.
    fn status(bound: &str, target: &str, fields: &[(&'static str, &str)]) -> Option<u16> {
        let guard = Guard::new(bound.parse().unwrap(), "http", vec!["Proxy".to_owned()]);
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let refused = guard.check(&target.parse().unwrap(), &headers).err()?;
        Some(refused.into_response().status().as_u16())
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

    #[test]
    fn health_and_metrics_are_told_to_whoever_asks_by_any_name_but_to_no_page() {
        let status = |target, fields: &[_]| status("0.0.0.0:8474", target, fields);
        for target in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(status(target, &[("host", "brownout:8474")]), None);
            let page = [("host", "brownout:8474"), ("origin", "http://evil.example")];
            assert_eq!(status(target, &page), Some(403));
        }
        assert_eq!(status("/faults", &[("host", "brownout:8474")]), Some(403));
    }

    #[test]
    fn a_call_that_says_two_things_is_refused() {
        let status = |target, fields: &[_]| status("127.0.0.1:8474", target, fields);
        let ours = ("host", "localhost:8474");
        type Case<'c> = (&'c str, &'c [(&'static str, &'c str)], Option<u16>);
        let cases: [Case<'_>; 9] = [
            ("/faults", &[], Some(400)),
            ("/faults", &[ours, ("host", "evil.example")], Some(400)),
            ("/faults", &[ours, ours], Some(400)),
            ("http://evil.example/faults", &[ours], Some(400)),
            ("http://localhost:8474/faults", &[ours], None),
            (
                "/faults",
                &[
                    ours,
                    ("origin", "http://localhost:8474"),
                    ("origin", "http://evil.example"),
                ],
                Some(400),
            ),
            (
                "/faults",
                &[ours, ("sec-fetch-site", "cross-site")],
                Some(403),
            ),
            (
                "/faults",
                &[ours, ("sec-fetch-site", "same-site")],
                Some(403),
            ),
            ("/faults", &[ours, ("sec-fetch-site", "same-origin")], None),
        ];
        for (target, fields, wanted) in cases {
            assert_eq!(status(target, fields), wanted, "{target} {fields:?}");
        }
    }
}
