//! A route in one word of the command line: `NAME=LISTEN=UPSTREAM`, with options behind it.

use brownout_control_api::new_route;
use brownout_fault::{is_name, read::Problem};
use brownout_proxy::NewRoute;
use brownout_wire::RouteSpec;
use serde_json::{Map, Value, json};

use crate::exit::{Exit, Failure};

/// Options that are true when they are said without a value.
const SWITCHES: [&str; 4] = [
    "accept_proxy",
    "caller_faults",
    "enabled",
    "upstream_tls.insecure",
];
const NUMBERS: [&str; 3] = [
    "pool.max_connections",
    "pool.max_idle",
    "caller_faults.percent",
];
/// Options that may be said more than once.
const LISTS: [&str; 3] = ["upstream_tls.alpn", "caller_faults", "caller_faults.from"];

/// Reads the routes of a command line, which was split at its commas.
pub(crate) fn parse_routes(words: &[String]) -> Result<Vec<NewRoute>, Failure> {
    // `http://b` behind a comma is another server of the route before it.
    let is_server = |word: &str| {
        word.find(['=', ':'])
            .is_some_and(|at| word[at..].starts_with(':'))
    };
    let mut whole: Vec<String> = Vec::new();
    for word in words {
        let word = word.trim();
        match whole.last_mut() {
            Some(route) if is_server(word) => {
                route.push(',');
                route.push_str(word);
            }
            Some(_) | None => whole.push(word.to_owned()),
        }
    }
    let routes: Result<Vec<NewRoute>, String> = whole.iter().map(|word| one_route(word)).collect();
    routes.map_err(|why| Failure::new(Exit::Usage, why))
}

/// Reads `NAME=LISTEN=UPSTREAM`, behind which options may stand with spaces between, each as `KEY=VALUE` with the keys of
/// `[[route]]`. A dot goes one level down.
pub(crate) fn one_route(word: &str) -> Result<NewRoute, String> {
    let mut parts = word.splitn(3, '=');
    let (Some(name), Some(listen), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!(
            "`--route {word}` is not of the form NAME=LISTEN=UPSTREAM, \
             such as web=127.0.0.1:9100=http://127.0.0.1:9000"
        ));
    };
    if !is_name(name) {
        return Err(format!(
            "`--route {word}`: `{name}` is not a route name: up to 64 of a-z, 0-9, `.`, `_` and `-`"
        ));
    }
    let mut words = rest.split_whitespace();
    let mut route = Map::new();
    route.insert("name".to_owned(), json!(name));
    route.insert("listen".to_owned(), json!(listen));
    let upstream = words.next().unwrap_or_default();
    route.insert("upstream".to_owned(), json!(upstream));
    let wrong = |why: String| format!("`--route {word}`: {why}");
    for option in words {
        add(&mut route, option).map_err(wrong)?;
    }
    let read = RouteSpec::read(&Value::Object(route)).and_then(|spec| new_route(&spec));
    read.map_err(|problems| {
        let told: Vec<String> = problems.iter().map(shown).collect();
        wrong(told.join("; "))
    })
}

/// Adds `KEY=VALUE` to a route.
fn add(route: &mut Map<String, Value>, option: &str) -> Result<(), String> {
    let (key, said) = match option.split_once('=') {
        Some((key, said)) => (key, Some(said)),
        None => (option, None),
    };
    let value = match said {
        None if SWITCHES.contains(&key) => json!(true),
        Some("true") if SWITCHES.contains(&key) => json!(true),
        Some("false") if SWITCHES.contains(&key) => json!(false),
        Some(said) if NUMBERS.contains(&key) => {
            let number = serde_json::from_str(said).ok();
            number
                .filter(Value::is_number)
                .unwrap_or_else(|| json!(said))
        }
        Some(said) if LISTS.contains(&key) => json!([said]),
        Some(said) => json!(said),
        // Whether there is such an option is told when the whole is read.
        None => Value::Null,
    };
    let mut table = route;
    let mut path = key.split('.').peekable();
    while let Some(part) = path.next() {
        if path.peek().is_none() {
            return put(table, part, value).map_err(|why| format!("`{key}` {why}"));
        }
        let within = table.entry(part).or_insert_with(|| json!({}));
        let Value::Object(members) = within else {
            return Err(format!("`{option}`: `{part}` is said already, as {within}"));
        };
        table = members;
    }
    Ok(())
}

fn put(table: &mut Map<String, Value>, key: &str, value: Value) -> Result<(), &'static str> {
    match (table.get_mut(key), value) {
        (None, value) => drop(table.insert(key.to_owned(), value)),
        (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
        (Some(_), _) => return Err("is said twice"),
    }
    Ok(())
}

/// A problem with its key as it is written here.
fn shown(problem: &Problem) -> String {
    let key = problem.pointer.trim_start_matches('/').replace('/', ".");
    let detail = &problem.detail;
    if detail.starts_with("unknown key") {
        let within = key.rsplit_once('.').map(|(within, _)| within);
        return within.map_or_else(|| detail.clone(), |within| format!("{within}: {detail}"));
    }
    if detail.contains("found null") {
        return format!("`{key}` needs a value, written as {key}=VALUE");
    }
    if detail.starts_with("expected") {
        return format!("{key}: {detail}");
    }
    format!("{key} {detail}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use brownout_fault::MayAsk;
    use brownout_proxy::{HostField, ListenerTlsOptions, ProxyVersion};

    use super::*;

    #[test]
    fn a_route_is_a_name_an_address_and_an_upstream() {
        let route = one_route("web=127.0.0.1:0=http://127.0.0.1:9000").unwrap();

        assert_eq!(route.name, "web");
        assert_eq!(route.upstream.to_string(), "http://127.0.0.1:9000");
    }

    #[test]
    fn options_stand_behind_it_with_the_keys_of_a_file() {
        let route = one_route(
            "web=127.0.0.1:0=https://127.0.0.1:9000/v1 host=upstream path_prefix=/api connect_timeout=250ms head_timeout=3s \
             pool.max_connections=32 pool.max_idle=8 pool.idle_timeout=20s send_proxy=v2 accept_proxy caller_faults enabled=false \
             tls=self upstream_tls.insecure upstream_tls.server_name=shop.test",
        );

        let route = route.unwrap();
        let options = route.upstream.options();
        assert_eq!(options.connect_timeout, Duration::from_millis(250));
        assert_eq!(options.head_timeout, Some(Duration::from_secs(3)));
        assert_eq!(options.pool.max_connections, Some(32));
        assert_eq!(options.pool.max_idle, 8);
        assert_eq!(options.pool.idle_timeout, Duration::from_secs(20));
        assert_eq!(options.path_prefix.as_deref(), Some("/api"));
        assert_eq!(options.send_proxy, Some(ProxyVersion::V2));
        assert_eq!(route.upstream.host_field(), &HostField::Upstream);
        let tls = route.upstream.tls().unwrap().options();
        assert!(tls.insecure);
        assert_eq!(tls.server_name.as_deref(), Some("shop.test"));
        assert_eq!(route.tls.unwrap().options(), &ListenerTlsOptions::Own);
        assert!(route.accept_proxy && !route.enabled);
        assert_eq!(route.caller_faults, MayAsk::Anybody);
    }

    #[test]
    fn how_many_callers_are_given_what_they_ask_for_is_said_with_dots() {
        let behind = "web=:0=http://127.0.0.1:9000 caller_faults.percent=";
        for (said, wanted) in [
            (
                "12.5 caller_faults.from=10.0.0.0/8 caller_faults.from=::1",
                json!({ "percent": 12.5, "from": ["10.0.0.0/8", "::1/128"] }),
            ),
            ("1/1000", json!({ "percent": "1/1000" })),
        ] {
            let route = one_route(&format!("{behind}{said}")).unwrap();
            assert_eq!(route.caller_faults.to_value(), wanted);
        }
        let refused = one_route(&format!("{behind}101")).unwrap_err();
        assert!(
            refused.contains("caller_faults.percent 101 is outside 0 to 100"),
            "{refused}"
        );
    }

    #[test]
    fn an_option_that_is_a_list_is_said_more_than_once() {
        let route = one_route(
            "db=:0=tls://127.0.0.1:9000 upstream_tls.insecure upstream_tls.alpn=postgresql upstream_tls.alpn=other",
        );

        let route = route.unwrap();
        let tls = route.upstream.tls().unwrap().options();
        assert_eq!(tls.alpn.as_ref().unwrap(), &["postgresql", "other"]);
    }

    #[test]
    fn a_url_behind_a_comma_is_another_server_of_the_route() {
        let words = [
            "web=:0=http://a:1/x,y",
            " http://b:2/x,y host=upstream",
            "db=:0=tcp://c:3",
        ];

        let routes = parse_routes(&words.map(str::to_owned)).unwrap();

        let upstreams: Vec<String> = routes.iter().map(|it| it.upstream.to_string()).collect();
        assert_eq!(upstreams, ["http://a:1/x,y,http://b:2/x,y", "tcp://c:3"]);
        assert_eq!(routes[0].upstream.host_field(), &HostField::Upstream);
    }

    #[test]
    fn a_wrong_route_says_what_is_wrong_with_it() {
        let cases = [
            ("web", "is not of the form NAME=LISTEN=UPSTREAM"),
            ("web=127.0.0.1:0", "is not of the form NAME=LISTEN=UPSTREAM"),
            (
                "We b=127.0.0.1:0=http://127.0.0.1:1",
                "`We b` is not a route name",
            ),
            (
                "web=nowhere=http://127.0.0.1:1",
                "listen is not an address to listen on",
            ),
            (
                "web=127.0.0.1:0=127.0.0.1:1",
                "upstream is not the URL of an upstream",
            ),
        ];
        for (word, wanted) in cases {
            let why = one_route(word).unwrap_err();
            assert!(why.contains(wanted), "{why}");
        }
    }

    #[test]
    fn a_wrong_option_names_its_key_and_the_nearest_right_one() {
        let cases = [
            (
                "head-timeout=3s",
                "unknown key `head-timeout`; did you mean `head_timeout`?",
            ),
            (
                "pool.max_conections=3",
                "pool: unknown key `max_conections`; did you mean `max_connections`?",
            ),
            ("junk", "unknown key `junk`; known: "),
            ("host", "`host` needs a value, written as host=VALUE"),
            ("host=upstraem", "host `upstraem` is neither"),
            ("host=upstraem", "did you mean `upstream`?"),
            ("head_timeout=2h", "head_timeout 2h is outside 1ms to 1h"),
            (
                "pool.max_connections=many",
                "pool.max_connections: expected",
            ),
            ("accept_proxy=yes", "accept_proxy: expected true or false"),
            ("send_proxy=v3", "send_proxy unknown version `v3`"),
            (
                "head_timeout=1s head_timeout=2s",
                "`head_timeout` is said twice",
            ),
            ("listen=:1", "`listen` is said twice"),
            (
                "tls=self tls.cert=a.pem",
                "`tls.cert=a.pem`: `tls` is said already, as \"self\"",
            ),
            ("pool=3", "pool: expected an object"),
            ("upstream_tls.ca=ca.pem", "upstream_tls the upstream"),
        ];
        for (options, wanted) in cases {
            let word = format!("web=127.0.0.1:0=http://127.0.0.1:1 {options}");
            let why = one_route(&word).unwrap_err();
            assert!(why.starts_with(&format!("`--route {word}`: ")), "{why}");
            assert!(why.contains(wanted), "{why}");
        }
    }
}
