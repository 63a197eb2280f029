//! The control API, typed, over HTTP.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use brownout_client::Client;
//!
//! let brownout = Client::new("127.0.0.1:8474")?;
//! let outage = serde_json::json!({ "route": "recommendations", "reset": {} });
//! let fault = brownout.arm(&outage).await?;
//! // ... see what the service does ...
//! brownout.remove_fault(&fault.id).await?;
//! # Ok(())
//! # }
//! ```

mod events;
mod trust;

pub use events::EventStream;
pub use trust::{InvalidTrust, Trust};

use std::{fmt, time::Duration};

use brownout_wire::{
    ConnectionList, ConnectionQuery, ExplainAnswer, ExplainSpec, FaultAnswer, FaultList, Health,
    ProblemAnswer, Removed, RequestList, RequestQuery, RouteAnswer, RouteList, RoutePatch,
    RouteSpec, Version,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{client::legacy, rt::TokioExecutor};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Calls one control API. Cheap to clone; connections are kept between calls.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    /// `Bearer TOKEN`, if one is asked for.
    authorization: Option<HeaderValue>,
    http: legacy::Client<Connector, Full<Bytes>>,
}

type Connector = hyper_rustls::HttpsConnector<legacy::connect::HttpConnector>;

/// An address that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{address}` is not the address of a control API; write it like \"127.0.0.1:8474\"")]
pub struct InvalidAddress {
    /// As given.
    address: String,
}

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("could not reach the control API at {base}; is brownout running there?")]
    Unreachable {
        /// The base URL.
        base: String,
        /// What went wrong.
        source: legacy::Error,
    },
    /// Somebody answers there, and no TLS connection came about.
    #[error("could not speak TLS with the control API at {base}: {why}")]
    Tls {
        /// The base URL.
        base: String,
        /// The reason.
        why: String,
    },
    /// No answer in time.
    #[error("the control API at {base} did not answer within {TIMEOUT:?}")]
    Timeout {
        /// The base URL.
        base: String,
    },
    /// It said no.
    #[error("{0}")]
    Refused(Box<ProblemAnswer>),
    /// Something else answers there.
    #[error("what answers at {base} is no brownout: {what}")]
    Foreign {
        /// The base URL.
        base: String,
        /// What it said.
        what: String,
    },
}

impl Client {
    /// A client for the API at `address`: `HOST:PORT`, or a URL `http://HOST:PORT` or `https://HOST:PORT`. With TLS it trusts
    /// what the system [trusts](Self::with_trust).
    ///
    /// # Errors
    /// When it is neither.
    pub fn new(address: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress {
            address: address.to_owned(),
        };
        let (scheme, authority) = match address.strip_prefix("https://") {
            Some(authority) => ("https", authority),
            None => ("http", address.strip_prefix("http://").unwrap_or(address)),
        };
        let authority = authority.trim_end_matches('/');
        // A port alone is one of this machine, as the proxy's `--control :8474` is of every address.
        let base = match authority.strip_prefix(':') {
            Some(port) => format!("{scheme}://127.0.0.1:{port}"),
            None => format!("{scheme}://{authority}"),
        };
        let uri: Uri = base.parse().map_err(|_| invalid())?;
        if authority.is_empty() || uri.path() != "/" || uri.query().is_some() {
            return Err(invalid());
        }
        let trust = match scheme {
            "https" => Trust::System,
            // Nobody is asked for a certificate, so the system's need not be read.
            _ => Trust::Anybody,
        };
        let connector = trust.connector().map_err(|_| invalid())?;
        Ok(Self {
            base,
            authorization: None,
            http: legacy::Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// The same, that takes others for the control API, where that speaks TLS.
    ///
    /// # Errors
    /// When a file cannot be read, or has no certificate in it.
    pub fn with_trust(self, trust: &Trust) -> Result<Self, InvalidTrust> {
        if !self.base.starts_with("https://") {
            return Ok(self);
        }
        let connector = trust.connector()?;
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, ..self })
    }

    /// The same with a token, which each call shows. One that cannot stand in a header field is left out.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}")).ok();
        if let Some(authorization) = &mut authorization {
            authorization.set_sensitive(true);
        }
        Self {
            authorization,
            ..self
        }
    }

    /// The URL it calls.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Arms one fault.
    ///
    /// # Errors
    /// When it is refused or the API cannot be reached, as with every call.
    pub async fn arm(&self, fault: &Value) -> Result<FaultAnswer, ClientError> {
        self.call(Method::POST, "/faults", Some(fault)).await
    }

    /// Arms all of these faults, or none.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn arm_all(&self, faults: &[Value]) -> Result<Vec<FaultAnswer>, ClientError> {
        let list: FaultList = self
            .call(Method::POST, "/faults", Some(&json!(faults)))
            .await?;
        Ok(list.faults)
    }

    /// Creates or replaces a fault.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn put_fault(&self, id: &str, fault: &Value) -> Result<FaultAnswer, ClientError> {
        self.call(Method::PUT, &path("faults", id), Some(fault))
            .await
    }

    /// Changes a fault by a JSON merge patch.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn patch_fault(&self, id: &str, patch: &Value) -> Result<FaultAnswer, ClientError> {
        self.call(Method::PATCH, &path("faults", id), Some(patch))
            .await
    }

    /// All faults, in the order of creation.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn faults(&self) -> Result<Vec<FaultAnswer>, ClientError> {
        self.faults_where(&[]).await
    }

    /// The faults of which all of this holds, as pairs of the query: `route`, `label`, `group` and `state`.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn faults_where(
        &self,
        query: &[(&str, String)],
    ) -> Result<Vec<FaultAnswer>, ClientError> {
        let path = with_query("/faults", query);
        let list: FaultList = self.call(Method::GET, &path, None).await?;
        Ok(list.faults)
    }

    /// One fault.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn fault(&self, id: &str) -> Result<FaultAnswer, ClientError> {
        self.call(Method::GET, &path("faults", id), None).await
    }

    /// Removes a fault, letting go what it holds.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn remove_fault(&self, id: &str) -> Result<(), ClientError> {
        let IgnoredAny = self.call(Method::DELETE, &path("faults", id), None).await?;
        Ok(())
    }

    /// Removes every fault.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn clear_faults(&self) -> Result<Removed, ClientError> {
        self.clear_where(&[]).await
    }

    /// Removes the faults of which all of this holds, as pairs of the query: `route`, `label` and `group`.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn clear_where(&self, query: &[(&str, String)]) -> Result<Removed, ClientError> {
        let path = with_query("/faults", query);
        self.call(Method::DELETE, &path, None).await
    }

    /// Removes every fault at once; with `rearm_after`, a duration as text, nothing may be armed until then.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn halt(&self, rearm_after: Option<&str>) -> Result<Removed, ClientError> {
        let body = rearm_after.map(|span| json!({ "rearm_after": span }));
        self.call(Method::POST, "/halt", body.as_ref()).await
    }

    /// Makes a route.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn add_route(&self, route: &RouteSpec) -> Result<RouteAnswer, ClientError> {
        self.call(Method::POST, "/routes", Some(&route.to_value()))
            .await
    }

    /// All routes, sorted by name.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn routes(&self) -> Result<Vec<RouteAnswer>, ClientError> {
        let list: RouteList = self.call(Method::GET, "/routes", None).await?;
        Ok(list.routes)
    }

    /// One route.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn route(&self, name: &str) -> Result<RouteAnswer, ClientError> {
        self.call(Method::GET, &path("routes", name), None).await
    }

    /// Changes a route.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn patch_route(
        &self,
        name: &str,
        patch: &RoutePatch,
    ) -> Result<RouteAnswer, ClientError> {
        self.call(
            Method::PATCH,
            &path("routes", name),
            Some(&patch.to_value()),
        )
        .await
    }

    /// Deletes a route, with the faults that name it alone.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn remove_route(&self, name: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &path("routes", name), None).await
    }

    /// What the routes carried, one record a request, the newest first.
    ///
    /// # Errors
    /// As [`arm`](Self::arm); also when the proxy keeps no records.
    pub async fn requests(&self, query: &RequestQuery) -> Result<RequestList, ClientError> {
        let path = with_query("/requests", &query.pairs());
        self.call(Method::GET, &path, None).await
    }

    /// The clients' connections to the routes, the newest first.
    ///
    /// # Errors
    /// As [`requests`](Self::requests).
    pub async fn connections(
        &self,
        query: &ConnectionQuery,
    ) -> Result<ConnectionList, ClientError> {
        let path = with_query("/connections", &query.pairs());
        self.call(Method::GET, &path, None).await
    }

    /// Which faults look at a request, and why each acts or lets it pass.
    ///
    /// # Errors
    /// As [`arm`](Self::arm); also when the request is not recorded any more.
    pub async fn explain(&self, request: &ExplainSpec) -> Result<ExplainAnswer, ClientError> {
        let body = request.to_value();
        self.call(Method::POST, "/explain", Some(&body)).await
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.call(Method::GET, "/healthz", None).await
    }

    /// Which version it is.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.call(Method::GET, "/version", None).await
    }

    /// What happens from now on, or behind the event with the number `after`, as it happens.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    pub async fn events(&self, after: Option<u64>) -> Result<EventStream, ClientError> {
        self.events_with(after, &[]).await
    }

    /// As [`events`](Self::events), with more sorts of [`EventRecord::INCLUDES`](brownout_wire::EventRecord::INCLUDES).
    ///
    /// # Errors
    /// As of [`events`](Self::events); and where a sort is not known, or the proxy keeps no records of requests.
    pub async fn events_with(
        &self,
        after: Option<u64>,
        include: &[&str],
    ) -> Result<EventStream, ClientError> {
        let after = after.map(|after| ("after", after.to_string()));
        let include = (!include.is_empty()).then(|| ("include", include.join(",")));
        let pairs: Vec<_> = after.into_iter().chain(include).collect();
        let request = self.request(Method::GET, &with_query("/events", &pairs), Bytes::new())?;
        let answer = tokio::time::timeout(TIMEOUT, self.http.request(request)).await;
        let answer = answer.map_err(|_| ClientError::Timeout {
            base: self.base.clone(),
        })?;
        let answer = answer.map_err(|source| self.unreachable(source))?;
        let (head, body) = answer.into_parts();
        if head.status.is_success() {
            let content_type = head.headers.get(http::header::CONTENT_TYPE);
            let is_stream =
                content_type.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
            return match is_stream {
                true => Ok(EventStream::new(body, &self.base)),
                false => Err(self.foreign("it has no stream of events")),
            };
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.foreign(error))?.to_bytes();
        Err(self.refused(head.status, &body))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .body(Full::new(body));
        let mut request = request.map_err(|error| self.foreign(error))?;
        if let Some(authorization) = &self.authorization {
            let field = http::header::AUTHORIZATION;
            request.headers_mut().insert(field, authorization.clone());
        }
        Ok(request)
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice(body) {
            Ok(problem) => ClientError::Refused(Box::new(problem)),
            Err(_) => self.foreign(format!("it answers {status}")),
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ClientError> {
        let body = body.map_or_else(Bytes::new, |value| Bytes::from(value.to_string()));
        let request = self.request(method, path, body)?;
        let exchange = async {
            let response = self.http.request(request).await;
            let response = response.map_err(|source| self.unreachable(source))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.foreign(error))?.to_bytes();
            Ok((head.status, body))
        };
        let timeout = || ClientError::Timeout {
            base: self.base.clone(),
        };
        let (status, body) = tokio::time::timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| timeout())??;
        if !status.is_success() {
            return Err(self.refused(status, &body));
        }
        let body = if status == StatusCode::NO_CONTENT {
            Bytes::from_static(b"null")
        } else {
            body
        };
        serde_json::from_slice(&body).map_err(|error| self.foreign(error))
    }

    fn unreachable(&self, source: legacy::Error) -> ClientError {
        let base = self.base.clone();
        match trust::why_no_tls(&source) {
            Some(why) => ClientError::Tls { base, why },
            None => ClientError::Unreachable { base, source },
        }
    }

    fn foreign(&self, what: impl fmt::Display) -> ClientError {
        ClientError::Foreign {
            base: self.base.clone(),
            what: what.to_string(),
        }
    }
}

/// The path of one thing, whatever is in its name.
fn path(collection: &str, name: &str) -> String {
    format!(
        "/{collection}/{}",
        utf8_percent_encode(name, NON_ALPHANUMERIC)
    )
}

fn with_query(path: &str, pairs: &[(&str, String)]) -> String {
    let mut target = path.to_owned();
    for (index, (key, value)) in pairs.iter().enumerate() {
        let separator = if index == 0 { '?' } else { '&' };
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        target.extend([separator.to_string(), format!("{key}={value}")]);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_port_or_a_url() {
        assert_eq!(
            Client::new("127.0.0.1:8474").unwrap().base(),
            "http://127.0.0.1:8474"
        );
        assert_eq!(
            Client::new("http://proxy:8474/").unwrap().base(),
            "http://proxy:8474"
        );
        assert_eq!(
            Client::new("https://proxy:8474").unwrap().base(),
            "https://proxy:8474"
        );
        for address in ["", "http://", "proxy:8474/v1", "a b:1"] {
            assert!(Client::new(address).is_err(), "{address}");
        }
    }
}
