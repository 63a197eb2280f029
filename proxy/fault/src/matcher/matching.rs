//! Whether a request fits a `match`.

use super::{
    FieldMatch, MatchSpec, Pattern,
    members::{Member, any_baggage, any_cookie, host_of, members},
};
use crate::{fields::is_grpc, subject::Subject};

impl<N> FieldMatch<N> {
    fn fits(&self, value: &[u8]) -> bool {
        self.values.iter().any(|pattern| pattern.matches(value))
    }
}

impl FieldMatch<String> {
    fn is(&self, (name, value): Member<'_>) -> bool {
        name == self.name.as_bytes() && self.fits(value)
    }
}

impl MatchSpec {
    /// What every path that fits begins with.
    pub(crate) fn path_prefix(&self) -> &[u8] {
        let mut prefixes = self.path.iter().map(Pattern::literal_prefix);
        let Some(first) = prefixes.next() else {
            return &[];
        };
        prefixes.fold(first, |common, prefix| {
            let pairs = common.iter().zip(prefix);
            &common[..pairs.take_while(|(one, other)| one == other).count()]
        })
    }

    /// Whether all conditions hold for `subject`.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        let path = subject.path.as_bytes();
        let any = |patterns: &[Pattern], text: &[u8]| patterns.iter().any(|one| one.matches(text));
        let is_method = |method: &http::Method| method.as_str() == subject.method;
        (self.method.is_empty() || self.method.iter().any(is_method))
            && (self.path.is_empty() || any(&self.path, path))
            && !any(&self.not_path, path)
            && self.header.iter().all(|field| {
                let name = field.name.as_str();
                subject.fields.any(name, |value| field.fits(value))
            })
            && self.matches_rest(subject)
    }

    /// The conditions that few faults have.
    fn matches_rest(&self, subject: &Subject<'_>) -> bool {
        self.connection_seq
            .is_none_or(|places| places.has(subject.request))
            && (self.host.is_empty()
                || host_of(subject)
                    .is_some_and(|host| self.host.iter().any(|one| one.matches(&host))))
            && self.matches_client(subject.peer)
            && (self.grpc_method.is_empty() || self.is_grpc_method(subject))
            && self.query.iter().all(|field| {
                let query = subject.query.unwrap_or_default();
                members(query.as_bytes(), b'&').any(|member| field.is(member))
            })
            && self
                .cookie
                .iter()
                .all(|field| any_cookie(subject.fields, |member| field.is(member)))
            && self
                .baggage
                .iter()
                .all(|field| any_baggage(subject.fields, |member| field.is(member)))
    }

    /// gRPC's path is `/package.Service/Method`, its content type `application/grpc`, maybe with more behind.
    fn is_grpc_method(&self, subject: &Subject<'_>) -> bool {
        let is_grpc = is_grpc(subject.fields);
        let path = subject.path.as_bytes();
        let method = path.strip_prefix(b"/").unwrap_or(path);
        is_grpc && self.grpc_method.iter().any(|one| one.matches(method))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fits(spec: Value, request: http::request::Builder) -> bool {
        fits_at(spec, 0, request)
    }

    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn fits_at(spec: Value, number: u64, request: http::request::Builder) -> bool {
        let request = request.body(()).unwrap();
        let matching = MatchSpec::read(&spec).unwrap();
        assert_eq!(MatchSpec::read(&matching.to_value()), Ok(matching.clone()));
        matching.matches(&Subject {
            route: "web",
            method: request.method().as_str(),
            path: request.uri().path(),
            query: request.uri().query(),
            host: match request.uri().authority() {
                Some(authority) => Some(authority.as_str()),
                None => (request.headers().get("host")).map(|host| host.to_str().unwrap()),
            },
            fields: request.headers(),
            peer: ([127, 0, 0, 1], 40_000).into(),
            connection: 0,
            request: number,
            is_http2: false,
        })
    }

    fn get(target: &str) -> http::request::Builder {
        http::Request::get(target)
    }

    #[test]
    fn all_conditions_must_hold() {
        let spec = json!({
            "method": ["GET", "HEAD"],
            "path": "/v1/*",
            "header": { "X-User": "user-7" },
        });
        let good = || get("/v1/items?q=1").header("x-user", "user-7");

        assert!(fits(spec.clone(), good()));
        assert!(!fits(spec.clone(), good().method("POST")));
        assert!(!fits(spec.clone(), good().uri("/v2/items")));
        assert!(!fits(spec, get("/v1/items").header("x-user", "user-8")));
    }

    #[test]
    fn the_path_is_matched_raw_and_without_the_query() {
        assert!(fits(json!({ "path": "/a%20b" }), get("/a%20b?c=d")));
        assert!(!fits(json!({ "path": "*c=d" }), get("/a?c=d")));
        assert!(fits(json!({ "path": "re:^/a/[0-9]+$" }), get("/a/17?x")));
    }

    #[test]
    fn not_path_spares_what_it_names() {
        let spec = json!({ "path": "/*", "not_path": ["/healthz", "re:^/internal/"] });

        assert!(fits(spec.clone(), get("/a")));
        assert!(!fits(spec.clone(), get("/healthz")));
        assert!(!fits(spec, get("/internal/x")));
    }

    #[test]
    fn any_value_of_a_repeated_header_may_fit() {
        let request = get("/").header("via", "a").header("via", "b");

        assert!(fits(json!({ "header": { "via": "b" } }), request));
    }

    #[test]
    fn a_query_parameter_fits_by_name_and_raw_value() {
        let spec = json!({ "query": { "q": ["shoes", "re:^h.t"] } });

        assert!(fits(spec.clone(), get("/?page=2&q=shoes")));
        assert!(fits(spec.clone(), get("/?q=x&q=hats")));
        assert!(!fits(spec.clone(), get("/?qq=shoes")));
        assert!(!fits(spec.clone(), get("/q=shoes")));
        assert!(fits(json!({ "query": { "debug": "" } }), get("/?debug")));
    }

    #[test]
    fn a_cookie_fits_in_any_of_the_fields() {
        let spec = json!({ "cookie": { "sid": "7*" } });

        assert!(fits(spec.clone(), get("/").header("cookie", "a=1; sid=77")));
        let two = get("/").header("cookie", "a=1").header("cookie", "sid=7");
        assert!(fits(spec.clone(), two));
        assert!(!fits(spec, get("/").header("cookie", "xsid=7")));
    }

    #[test]
    fn baggage_fits_without_its_properties() {
        let spec = json!({ "baggage": { "tenant": "blue" } });
        let with = |field: &str| get("/").header("baggage", field);

        assert!(fits(spec.clone(), with("user=7,tenant = blue;prio=1")));
        assert!(!fits(spec, with("tenant=red;tenant=blue")));
    }

    #[test]
    fn a_host_fits_without_port_and_case() {
        let spec = json!({ "host": "*.example" });

        assert!(fits(
            spec.clone(),
            get("/").header("host", "Shop.Example:80")
        ));
        assert!(fits(spec.clone(), get("http://shop.example:81/")));
        assert!(!fits(spec, get("/")));
        let six = json!({ "host": "[::1]" });
        assert!(fits(six, get("/").header("host", "[::1]:9000")));
    }

    #[test]
    fn a_client_fits_by_range_and_a_grpc_method_by_its_name() {
        assert!(fits(
            json!({ "client": ["10.0.0.0/8", "127.0.0.0/8"] }),
            get("/")
        ));
        assert!(!fits(json!({ "client": "10.0.0.0/8" }), get("/")));
        let spec = json!({ "grpc_method": "shop.Cart/*" });
        let call = || http::Request::post("/shop.Cart/Add");
        assert!(fits(
            spec.clone(),
            call().header("content-type", "application/grpc+proto")
        ));
        assert!(!fits(
            spec,
            call().header("content-type", "application/json")
        ));
    }

    #[test]
    fn a_request_fits_by_its_place_on_the_connection() {
        let reused = || json!({ "connection_seq": ">1" });

        assert!(!fits_at(reused(), 0, get("/")));
        assert!(fits_at(reused(), 1, get("/")));
        assert!(!fits_at(
            json!({ "connection_seq": "=2", "path": "/a" }),
            1,
            get("/")
        ));
    }

    #[test]
    fn an_empty_match_fits_everything() {
        assert!(fits(json!({}), http::Request::options("*")));
    }
}
