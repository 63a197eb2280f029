//! `brownout fault` and `brownout route`: what they do, and what they say to people.

mod list;

use std::process::{Command, Stdio};

use brownout_testkit::{RawClient, TestUpstream, eventually};
use serde_json::Value;

use crate::{Ran, Server, run};

struct World {
    server: Server,
    _upstream: TestUpstream,
}

impl World {
    async fn start() -> Self {
        let upstream = TestUpstream::replying("hello").await;
        let route = format!("web=127.0.0.1:0={}", upstream.url());
        Self {
            server: Server::on_a_free_port(&["proxy", "--route", &route]),
            _upstream: upstream,
        }
    }

    fn run(&self, line: &str) -> Ran {
        let control = self.server.control();
        let mut args: Vec<&str> = line.split_whitespace().collect();
        args.extend(["--control", &control]);
        run(&args)
    }
}

#[test]
fn a_reader_that_has_seen_enough_breaks_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brownout"));
    let mut kinds = command
        .args(["fault", "kinds"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(kinds.stdout.take());

    let ended = kinds.wait_with_output().unwrap();

    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert_eq!(said, "");
}

#[tokio::test]
async fn a_fault_is_added_listed_shown_and_removed() {
    let world = World::start().await;
    assert_eq!(
        world.run("fault ls").ok(),
        "nothing is armed; start an outage with: brownout fault add reset ROUTE\n"
    );

    let added = world
        .run("fault add latency web 250ms --percent 20 --for 2m")
        .ok();
    let control = world.server.control();
    assert_eq!(
        added,
        format!(
            "armed latency-1 on web: latency value=250ms mode=add side=request\n\
             it ends by itself after 2m\n\
             \n\
             the same with curl:\n  \
               curl -X POST http://{control}/faults -d '{{\"route\":\"web\",\"latency\":\"250ms\",\"percent\":20,\"ttl\":\"2m\"}}'\n\
             to end it:\n  \
               brownout fault rm latency-1 --control {control}\n"
        )
    );

    let listed = world.run("fault ls").ok();
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        ["ID", "ROUTE", "WHAT", "%", "STATE", "HITS", "ENDS"]
    );
    assert_eq!(
        rows[1][..7],
        ["latency-1", "web", "latency", "250ms", "20", "active", "0"]
    );

    let shown: Value = serde_json::from_str(&world.run("fault show latency-1").ok()).unwrap();
    assert_eq!(shown["latency"]["value"], "250ms");
    let json: Value = serde_json::from_str(&world.run("fault ls --output json").ok()).unwrap();
    assert_eq!(json["faults"][0]["id"], "latency-1");

    assert_eq!(world.run("fault rm latency-1").ok(), "removed latency-1\n");
    assert_eq!(world.run("fault clear").ok(), "nothing was armed\n");
}

#[tokio::test]
async fn what_is_refused_says_why_and_ends_with_1() {
    let world = World::start().await;

    let unknown_route = world.run("fault add reset wbe");
    let gone = world.run("fault rm nobody");

    assert_eq!((unknown_route.code(), gone.code()), (1, 1));
    assert_eq!(
        unknown_route.err(),
        "error: the request was understood, but there is a problem with it\n  \
         ROUTE: there is no route `wbe`; did you mean `web`?\n"
    );
    assert_eq!(
        gone.err(),
        "error: there is no fault `nobody`; it may have expired\n"
    );
}

#[test]
fn a_proxy_that_is_not_there_ends_with_69() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();

    let ran = run(&["fault", "ls", "--control", &free]);

    assert_eq!(ran.code(), 69);
    assert_eq!(
        ran.err(),
        format!(
            "error: could not reach the control API at http://{free}; is brownout running there?\n"
        )
    );
}

#[tokio::test]
async fn routes_are_made_listed_and_deleted() {
    let world = World::start().await;

    let added = world
        .run("route add two 127.0.0.1:0 http://127.0.0.1:9")
        .ok();
    assert!(added.starts_with("two: 127.0.0.1:"), "{added}");
    let listed = world.run("route ls").ok();
    let names: Vec<&str> = listed
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, ["two", "web"]);
    assert_eq!(world.run("route rm two").ok(), "deleted two\n");
    assert_eq!(world.run("route rm two").code(), 1);
}

#[tokio::test]
async fn halt_removes_everything() {
    let world = World::start().await;
    world.run("fault add reset web").ok();
    world.run("fault add abort * 503").ok();

    assert_eq!(
        world.run("halt --rearm-after 1h").ok(),
        "removed 2 faults: reset-1, abort-1\narming is locked for 1h; unlock with: brownout halt --rearm-after 0s\n"
    );

    let refused = world.run("fault add reset web");
    assert_eq!(refused.code(), 1);
    assert!(
        refused.err().contains("nothing may be armed for another"),
        "{}",
        refused.err()
    );
    assert_eq!(
        world.run("halt --rearm-after 0s").ok(),
        "nothing was armed\nfaults can be armed again\n"
    );
    world.run("fault add reset web").ok();
}

#[test]
fn kinds_are_listed_with_their_parameters() {
    let kinds = run(&["fault", "kinds"]).ok();

    for wanted in [
        "latency\n",
        "p50",
        "abort\n",
        "status",
        "[default: 503]",
        "reset\n",
        "blackhole\n",
    ] {
        assert!(kinds.contains(wanted), "{wanted} is not in\n{kinds}");
    }
    // The names of parameters stand in a column of their own.
    for line in kinds.lines().filter(|line| line.starts_with("    ")) {
        let (name, text) = line.trim_start().split_once(' ').unwrap();
        let is_name = name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        assert!(is_name && !text.trim().is_empty(), "{line}");
    }
}

#[test]
fn help_and_version_are_there() {
    let help = run(&["--help"]).ok();

    assert!(help.contains("Exit codes:"), "{help}");
    assert_eq!(
        run(&["--version"]).ok(),
        format!("brownout {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(run(&["fualt"]).code(), 2);
}

#[tokio::test]
async fn of_several_faults_to_remove_one_that_is_gone_saves_no_other() {
    let world = World::start().await;
    world.run("fault add reset web").ok();

    let ran = world.run("fault rm nobody reset-1");

    assert_eq!(ran.code(), 1);
    assert_eq!(ran.out(), "removed reset-1\n");
    assert!(ran.err().contains("there is no fault `nobody`"));
}

#[tokio::test]
async fn parameters_that_cannot_be_are_refused_and_nothing_breaks() {
    let world = World::start().await;
    for line in [
        "fault add abort web 503 body=hello",
        "fault add latency web min=1 min.x=2",
        "--log inof fault ls",
    ] {
        let ran = world.run(line);
        assert_eq!(ran.code(), 2, "{line}: {}", ran.err());
    }
}

#[tokio::test]
async fn a_fault_that_lets_requests_pass_says_so() {
    let world = World::start().await;
    world
        .run("fault add blackhole web --max-active 1 --id hole")
        .ok();
    let mut held = RawClient::connect(world.server.route("web")).await;
    held.get("/").await;
    let mut passed = RawClient::connect(world.server.route("web")).await;
    eventually("one request to be held", || {
        let shown: Value = serde_json::from_str(&world.run("fault show hole").ok()).unwrap();
        shown["counters"]["active"] == 1
    })
    .await;
    passed.get("/").await;
    assert_eq!(passed.response().await.text(), "hello");

    let ran = world.run("fault ls");

    assert!(ran.ok().contains("hole"));
    let wanted = "hole let 1 requests pass untouched: it holds at most 1 at a time (max_active)";
    assert!(ran.err().contains(wanted), "{}", ran.err());
}

#[tokio::test]
async fn a_fault_is_shown_as_curl_and_a_file_have_it_and_not_sent() {
    let world = World::start().await;

    let shown = world
        .run("fault add abort web statuses.503=3 statuses.429=1 --for 2m --show")
        .ok();

    let control = world.server.control();
    assert_eq!(
        shown,
        format!(
            "with curl:\n  \
               curl -X POST http://{control}/faults -d '{{\"route\":\"web\",\"abort\":{{\"statuses\":{{\"503\":3,\"429\":1}}}},\"ttl\":\"2m\"}}'\n\
             \n\
             in a file:\n  \
               [[fault]]\n  route = \"web\"\n  abort = {{ statuses = {{ 503 = 3, 429 = 1 }} }}\n  ttl = \"2m\"\n"
        )
    );
    assert!(world.run("fault ls").ok().starts_with("nothing is armed"));
}

#[tokio::test]
async fn routes_are_disabled_and_enabled() {
    let world = World::start().await;
    let address = world.server.route("web");

    let said = world.run("route disable web").ok();
    assert_eq!(said, format!("web refuses connections at {address}\n"));
    assert!(std::net::TcpStream::connect(address).is_err());

    let said = world.run("route enable web").ok();
    assert_eq!(said, format!("web accepts connections at {address}\n"));
    assert!(std::net::TcpStream::connect(address).is_ok());
    assert_eq!(world.run("route disable nobody").code(), 1);
}

#[tokio::test]
async fn what_is_refused_names_the_flag() {
    let world = World::start().await;
    for (line, told) in [
        (
            "fault add latency web 250ms --for 0s",
            "--for: must be longer than 0s",
        ),
        ("fault add latency web soon", "VALUE: "),
        ("fault add latency web p50=1s p99=1ms", "p99: is below p50"),
        ("fault add reset web --percent 101", "--percent: "),
        (
            "fault add reset web --lease none",
            "--lease: there is no lease",
        ),
        (
            "fault add reset web --connection-seq first",
            "--connection-seq: ",
        ),
        ("fault add reset wbe", "ROUTE: there is no route `wbe`"),
    ] {
        let ran = world.run(line);
        assert_eq!(ran.code(), 1, "{line}");
        assert!(ran.err().contains(told), "{line}: {}", ran.err());
    }
}

#[test]
fn words_of_other_tools_get_the_right_one() {
    for (word, told) in [
        ("delay", "`latency`"),
        ("timeout", "`blackhole`"),
        ("hang", "`blackhole`"),
        ("down", "`refuse` for new connections, or `reset`"),
        ("error", "`abort`"),
        ("throttle", "`bandwidth`"),
    ] {
        let ran = run(&["fault", "add", word, "web"]);
        assert_eq!(ran.code(), 2);
        assert!(ran.err().contains(told), "{word}: {}", ran.err());
    }
}

#[tokio::test]
async fn bytes_are_counted_without_a_unit() {
    let world = World::start().await;
    world
        .run("fault add truncate web after_bytes=100 --id x")
        .ok();

    let shown: Value = serde_json::from_str(&world.run("fault show x").ok()).unwrap();

    assert_eq!(shown["truncate"]["after_bytes"], "100B");
}

#[test]
fn completions_are_there_for_each_shell() {
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef brownout"),
        ("fish", "complete -c brownout"),
    ] {
        let script = run(&["completions", shell]).ok();
        assert!(
            script.contains(word) && script.contains("explain"),
            "{shell}"
        );
    }
}
