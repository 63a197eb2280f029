//! Options of routes on the command line: behind `--route`, and as flags of `route add`.

use brownout_testkit::{
    FullListener, RawClient, RawMessage, TestAuthority, TestUpstream, TlsFront,
};
use serde_json::{Value, json};

use crate::{Ran, Server, brownout, run};

async fn get(server: &Server, route: &str, path: &str) -> RawMessage {
    let mut client = RawClient::connect(server.route(route)).await;
    client.get(path).await;
    client.response().await
}

/// A route as the API shows it, without what is counted.
fn shown(server: &Server, name: &str) -> Value {
    let listed = server.listed("route");
    let routes = listed["routes"].as_array().unwrap();
    let mut route = routes.iter().find(|it| it["name"] == name).unwrap().clone();
    let counted = [
        "connections",
        "requests",
        "bytes_in",
        "bytes_out",
        "unanswered_syns",
        "faults",
    ];
    for key in counted {
        route.as_object_mut().unwrap().remove(key);
    }
    route
}

#[tokio::test]
async fn options_of_a_route_stand_behind_it_in_one_word() {
    let (one, two) = (
        TestUpstream::replying("one").await,
        TestUpstream::replying("two").await,
    );
    let route = format!(
        "web=127.0.0.1:0={}/v1,{}/v1 host=shop.test path_prefix=/api connect_timeout=2s head_timeout=3s pool.max_connections=32 \
         pool.max_idle=8 pool.idle_timeout=20s",
        one.url(),
        two.url()
    );

    let server = Server::on_a_free_port(&["proxy", "--route", &route]);

    let mut texts = Vec::new();
    for _ in 0..4 {
        texts.push(get(&server, "web", "/api/items").await.text());
    }
    assert_eq!(texts, ["one", "two", "one", "two"]);
    let received = &one.received()[0];
    assert_eq!(received.target, "/v1/items");
    assert_eq!(received.headers["host"], "shop.test");
    let shown = shown(&server, "web");
    assert_eq!(shown["head_timeout"], "3s");
    let pool = json!({ "max_connections": 32, "max_idle": 8, "idle_timeout": "20s" });
    assert_eq!(shown["pool"], pool);
}

#[tokio::test]
async fn a_time_behind_a_route_is_kept() {
    let full = FullListener::new();
    let route = format!(
        "web=127.0.0.1:0=http://{} connect_timeout=100ms",
        full.address()
    );
    let server = Server::on_a_free_port(&["proxy", "--route", &route]);

    let answer = get(&server, "web", "/").await;

    assert_eq!(answer.status(), 504);
    assert!(answer.text().contains("within 100ms"), "{}", answer.text());
}

#[tokio::test]
async fn routes_of_the_environment_have_options_as_well() {
    let upstream = TestUpstream::replying("hello").await;
    let routes = format!(
        "web=127.0.0.1:0={0},{0} host=upstream, other=127.0.0.1:0={0} accept_proxy",
        upstream.url()
    );

    let server = Server::with_environment(&["proxy"], &[("BROWNOUT_ROUTE", &routes)]);

    assert_eq!(shown(&server, "web")["host"], "upstream");
    assert_eq!(
        shown(&server, "web")["servers"].as_array().unwrap().len(),
        2
    );
    assert_eq!(shown(&server, "other")["accept_proxy"], true);
    let mut client = RawClient::connect(server.route("other")).await;
    let request = "PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(request).await;
    assert_eq!(client.response().await.text(), "hello");
}

#[tokio::test]
async fn tls_on_both_sides_is_said_behind_a_route() {
    let authority = TestAuthority::new();
    let upstream = TestUpstream::replying("hello").await;
    let front = TlsFront::before(upstream.address(), &authority.issue(&["api.test"])).await;
    let listener = authority.issue(&["web.test"]);
    let route = format!(
        "web=127.0.0.1:0={} tls.cert={} tls.key={} upstream_tls.ca={} upstream_tls.server_name=api.test",
        front.url(),
        listener.cert.display(),
        listener.key.display(),
        authority.file().display()
    );

    let server = Server::on_a_free_port(&["proxy", "--route", &route]);

    let address = server.route("web");
    let tunnel = brownout_testkit::TlsTunnel::to(address, "web.test", &authority).await;
    let mut client = RawClient::connect(tunnel.address()).await;
    client.get("/").await;
    assert_eq!(client.response().await.text(), "hello");
}

#[test]
fn a_wrong_option_of_a_route_is_a_usage_error_that_names_the_nearest() {
    let route = "web=127.0.0.1:0=http://127.0.0.1:9 head-timeout=3s";

    let ran = run(&["proxy", "--control", "127.0.0.1:0", "--route", route]);

    assert_eq!(ran.code(), 2);
    let told = format!(
        "error: `--route {route}`: unknown key `head-timeout`; did you mean `head_timeout`?\n"
    );
    assert_eq!(ran.err(), told);
}

struct World(Server);

impl World {
    async fn start() -> Self {
        let upstream = TestUpstream::replying("hello").await;
        let route = format!("web=127.0.0.1:0={}", upstream.url());
        Self(Server::on_a_free_port(&["proxy", "--route", &route]))
    }

    fn add(&self, words: &[&str]) -> Ran {
        let control = self.0.control();
        run(&[&["route", "add"], words, &["--control", &control]].concat())
    }
}

#[tokio::test]
async fn every_option_of_a_route_is_a_flag_of_route_add() {
    let world = World::start().await;
    let authority = TestAuthority::new();
    let [main, other, client] =
        ["a.test", "b.test", "client.test"].map(|name| authority.issue(&[name]));
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let tls = format!("--tls={},{}", path(&main.cert), path(&main.key));
    let more = format!("{},{},b.test,c.test", path(&other.cert), path(&other.key));
    let (ca, cert, key) = (
        path(&authority.file()),
        path(&client.cert),
        path(&client.key),
    );

    world
        .add(&[
            "new",
            "127.0.0.1:0",
            "https://127.0.0.1:9/v1,https://127.0.0.1:10/v1",
            "--protocol=http",
            "--host=upstream",
            "--path-prefix=/api",
            "--connect-timeout=250ms",
            "--head-timeout=3s",
            "--pool-max=32",
            "--pool-max-idle=8",
            "--pool-idle-timeout=20s",
            "--accept-proxy",
            "--caller-faults",
            "--disabled",
            &tls,
            "--tls-certificate",
            &more,
            "--upstream-ca",
            &ca,
            "--upstream-cert",
            &cert,
            "--upstream-key",
            &key,
            "--upstream-server-name=api.test",
            "--upstream-alpn=http/1.1",
        ])
        .ok();

    let mut shown = shown(&world.0, "new");
    assert!(shown["listen"].as_str().unwrap().starts_with("127.0.0.1:"));
    shown.as_object_mut().unwrap().remove("listen");
    let server = |url| json!({ "url": url, "state": "ok", "connect_failures": 0 });
    let servers = ["https://127.0.0.1:9/v1", "https://127.0.0.1:10/v1"].map(server);
    let wanted = json!({
        "name": "new",
        "upstream": "https://127.0.0.1:9/v1,https://127.0.0.1:10/v1",
        "servers": servers,
        "protocol": "http",
        "host": "upstream",
        "path_prefix": "/api",
        "connect_timeout": "250ms",
        "head_timeout": "3s",
        "pool": { "max_connections": 32, "max_idle": 8, "idle_timeout": "20s" },
        "accept_proxy": true,
        "caller_faults": true,
        "enabled": false,
        "tls": {
            "cert": main.cert, "key": main.key,
            "certificates": [{ "cert": other.cert, "key": other.key, "names": ["b.test", "c.test"] }],
        },
        "upstream_tls": {
            "ca": ca, "cert": cert, "key": key, "server_name": "api.test", "alpn": ["http/1.1"],
        },
    });
    assert_eq!(shown, wanted);
}

#[tokio::test]
async fn the_few_options_that_exclude_others_are_flags_as_well() {
    let world = World::start().await;

    world
        .add(&[
            "one",
            "127.0.0.1:0",
            "http://127.0.0.1:9",
            "--send-proxy=v2",
        ])
        .ok();
    world
        .add(&[
            "two",
            "127.0.0.1:0",
            "https://127.0.0.1:9",
            "--upstream-insecure",
        ])
        .ok();
    world
        .add(&["three", "127.0.0.1:0", "127.0.0.1:9", "--protocol", "tcp"])
        .ok();

    world
        .add(&["four", "127.0.0.1:0", "http://127.0.0.1:9", "--protocol=h2"])
        .ok();
    let upstream = "tls://127.0.0.1:9";
    let both = "--upstream-alpn=postgresql,other";
    world
        .add(&["five", "127.0.0.1:0", upstream, "--upstream-insecure", both])
        .ok();

    assert_eq!(shown(&world.0, "four")["protocol"], "h2");
    let tls = json!({ "insecure": true, "alpn": ["postgresql", "other"] });
    assert_eq!(shown(&world.0, "five")["upstream_tls"], tls);
    assert_eq!(shown(&world.0, "one")["send_proxy"], "v2");
    assert_eq!(shown(&world.0, "two")["upstream_tls"]["insecure"], true);
    assert_eq!(shown(&world.0, "three")["protocol"], "tcp");
}

#[tokio::test]
async fn a_wrong_value_is_told_with_its_flag() {
    let world = World::start().await;
    for (flags, code, wanted) in [
        (
            "--head-timeout=2h",
            2,
            "--head-timeout: 2h is outside 1ms to 1h",
        ),
        ("--pool-max=0", 2, "--pool-max: "),
        ("--send-proxy=v3", 2, "--send-proxy: unknown version `v3`"),
        (
            "--protocol=htpp",
            2,
            "--protocol: unknown protocol `htpp`; did you mean `http`?",
        ),
        ("--host=upstraem", 1, "--host: `upstraem` is neither"),
        ("--host=upstraem", 1, "did you mean `upstream`?"),
        (
            "--upstream-ca=ca.pem",
            1,
            "the upstream http://127.0.0.1:9 is not reached with TLS",
        ),
        ("--path-prefix=api", 1, "--path-prefix: is no path"),
        ("--head-timeuot=1s", 2, "--head-timeout"),
        ("--tls=cert.pem", 2, "is not self, off, or the files"),
        (
            "--tls=self --tls-certificate=a,b",
            2,
            "stands beside `--tls=CERT,KEY`",
        ),
        ("--tls=a.pem,b.pem", 1, "--tls: could not read `a.pem`"),
    ] {
        let mut words = vec!["new", "127.0.0.1:0", "http://127.0.0.1:9"];
        words.extend(flags.split_whitespace());
        let ran = world.add(&words);
        assert_eq!(ran.code(), code, "{flags}: {}", ran.err());
        assert!(ran.err().contains(wanted), "{flags}: {}", ran.err());
    }
    let wrong = world.add(&["New", "nowhere", "http://127.0.0.1:9"]);
    assert!(
        wrong.err().contains("NAME: is not a route name"),
        "{}",
        wrong.err()
    );
}

#[tokio::test]
async fn a_server_that_refuses_is_seen_in_the_list_of_routes() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = free.local_addr().unwrap();
    drop(free);
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0=http://{refusing},{}", upstream.url());
    let server = Server::on_a_free_port(&["proxy", "--route", &route]);
    for _ in 0..2 {
        assert_eq!(get(&server, "web", "/").await.text(), "hello");
    }

    let listed = run(&["route", "ls", "--control", &server.control()]).ok();

    assert!(listed.contains("enabled, 1 of 2 servers fail"), "{listed}");
}

#[test]
fn the_help_of_both_tells_of_them() {
    for (words, wanted) in [
        (["proxy", "--help"].as_slice(), "KEY=VALUE"),
        (&["route", "add", "--help"], "--upstream-server-name"),
    ] {
        let help = brownout(words).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(help.contains(wanted), "{help}");
    }
}
