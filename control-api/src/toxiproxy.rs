//! The HTTP API of Toxiproxy 2.12, so that its clients work unchanged: a proxy is a `tcp` route, a toxic a fault of it.
//!
//! What it takes and says follows the original to the letter where a client can see it: `Content-Type` of requests is not
//! looked at, null means the default, keys may be written in any case, errors are `{"error","status"}`.

mod body;
pub(crate) mod metrics;
mod proxies;
mod toxics;
mod wire;

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, get, post},
};

use brownout_proxy::{ListenAddress, NewRoute, Upstream};

use crate::{control::Shared, problem::ApiError};

/// A proxy as Toxiproxy writes it, for its configuration file. May look up a name.
///
/// # Errors
/// In words, when an address is none.
pub fn proxy_route(
    name: &str,
    listen: &str,
    upstream: &str,
    enabled: bool,
) -> Result<NewRoute, String> {
    let listen = ListenAddress::parse(&over_ipv4(listen));
    let listen = listen.map_err(|error| format!("listen {error}"))?;
    let upstream = Upstream::parse(&format!("tcp://{upstream}"));
    Ok(NewRoute {
        name: name.to_owned(),
        listen,
        upstream: upstream.map_err(|error| format!("upstream {error}"))?,
        tls: None,
        enabled,
        caller_faults: false.into(),
        accept_proxy: false,
    })
}

/// `localhost` is its IPv4 address first, as for the original, whatever a resolver puts first.
fn over_ipv4(listen: &str) -> String {
    match listen.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => listen.to_owned(),
    }
}

/// The paths of this API.
pub(crate) fn router() -> Router<Shared> {
    let proxies = get(proxies::list).post(proxies::create);
    let proxy = get(proxies::show)
        .post(proxies::update)
        .patch(proxies::update)
        .delete(proxies::remove);
    let toxic = get(toxics::show)
        .post(toxics::update)
        .patch(toxics::update)
        .delete(toxics::remove);
    Router::new()
        .route("/proxies", only(proxies))
        .route("/populate", only(post(proxies::populate)))
        .route("/reset", only(post(toxics::reset)))
        .route("/proxies/{proxy}", only(proxy))
        .route(
            "/proxies/{proxy}/toxics",
            only(get(toxics::list).post(toxics::add)),
        )
        .route("/proxies/{proxy}/toxics/{toxic}", only(toxic))
}

/// Other methods, `HEAD` and `OPTIONS` too, are told before anybody looks who calls, and without `Allow`.
fn only(methods: MethodRouter<Shared>) -> MethodRouter<Shared> {
    let wrong = async || StatusCode::METHOD_NOT_ALLOWED;
    any(wrong)
        .head(wrong)
        .merge(methods.route_layer(middleware::from_fn(as_the_original)))
}

/// Whether a path that is not known would be looked for here.
pub(crate) fn is_ours(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    matches!(first, Some("proxies" | "populate" | "reset"))
}

/// A refusal in the form of this API.
pub(crate) fn refusal(error: ApiError) -> Response {
    wire::ToxicError::from(error).into_response()
}

/// What the original answers where there is nothing: for a path with two slashes, where it would be without.
pub(crate) fn nothing_here(uri: &Uri) -> Response {
    if uri.path().contains("//") {
        let parts = uri.path().split('/').filter(|part| !part.is_empty());
        let clean: String = parts.map(|part| format!("/{part}")).collect();
        if let Ok(location) = HeaderValue::from_str(&clean) {
            let location = [(header::LOCATION, location)];
            return (StatusCode::MOVED_PERMANENTLY, location).into_response();
        }
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::NOT_FOUND, content_type, "404 page not found\n").into_response()
}

/// Refuses browsers, as the original does, and numbers the answers.
async fn as_the_original(request: Request, next: Next) -> Response {
    let agent = request.headers().get(header::USER_AGENT);
    let is_browser = agent.is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"));
    let mut response = match is_browser {
        true => {
            let content_type = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            (
                StatusCode::FORBIDDEN,
                content_type,
                "User agent not allowed\n",
            )
                .into_response()
        }
        false => next.run(request).await,
    };
    let id = HeaderName::from_static("x-toxiproxy-request-id");
    if let Ok(value) = HeaderValue::from_str(&wire::request_id()) {
        response.headers_mut().insert(id, value);
    }
    response
}
