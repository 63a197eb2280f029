//! `brownout run`: experiments against real services, in short.

mod repeated;
pub(crate) mod world;

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use brownout_testkit::within;
use serde_json::Value;

use self::world::{Page, World, ask, free_port};
use crate::{Ran, Server, brownout, run};

const RESET: &str = "[steady]\nduration = \"1s\"\nexpect = [\"edge.error_rate < 1%\"]\n\
    [[fault]]\nid = \"dead\"\nroute = \"up\"\nreset = {}\n";

fn judged<'r>(result: &'r Value, text: &str) -> &'r Value {
    let all = result["judgements"].as_array().unwrap();
    let found = all.iter().find(|it| it["text"] == text);
    found.unwrap_or_else(|| panic!("no {text}: {result:#}"))
}

#[test]
fn a_service_with_a_fallback_passes() {
    let world = World::new(true);

    let (ran, result) = world.run(&format!(
        "{RESET}[[phase]]\nname = \"outage\"\nduration = \"2s\"\nfaults = [\"dead\"]\n\
         expect = [\"edge.success_rate >= 99%\", \"edge.fallback_rate(header x-degraded) > 90%\",\n\
         \"fault(dead).injected >= 20\", \"up.error_rate > 90%\"]\n\
         [recovery]\nobserve = \"3s\"\n\
         expect = [\"edge.fallback_rate(header x-degraded) < 1% within 2s\", \"up.rate >= 0.8x baseline\"]\n"
    ));

    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());
    assert_eq!(result["verdict"], "passed");
    assert!(
        ran.out().contains("PASS          edge.success_rate >= 99%"),
        "{}",
        ran.out()
    );
    let sentence = result["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("Passed: 7 of 7 expectations held while fault dead was injected into"),
        "{sentence}"
    );
    assert!(
        result["faults"][0]["counters"]["injected"]
            .as_u64()
            .unwrap()
            >= 20
    );
    assert!(result["faults"][0]["struck_ms"].is_u64());
    assert!(result["exemplars"][0]["trace_id"].as_str().unwrap().len() == 32);
}

#[test]
fn a_run_says_how_an_outage_began_and_ended_who_noticed_and_what_helped() {
    let world = World::new(true);

    // No [recovery]: what comes after the last fault is watched all the same.
    let (ran, result) = world.run(&format!(
        "{RESET}[[phase]]\nname = \"outage\"\nduration = \"2s\"\nfaults = [\"dead\"]\n\
         expect = [\"edge.success_rate >= 99%\"]\n"
    ));

    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());
    let outage = &result["account"]["outages"][0];
    let at = |what: &str| {
        let moments = outage["moments"].as_array().unwrap();
        let found = moments.iter().find(|it| it["what"] == what);
        let found = found.unwrap_or_else(|| panic!("no {what}: {outage:#}"));
        found["at_ms"].as_u64().unwrap()
    };
    assert!(at("fault_on") <= at("first_error"), "{outage:#}");
    assert!(at("first_error") <= at("first_fallback"), "{outage:#}");
    assert!(at("fault_on") + 2_000 <= at("fault_off"), "{outage:#}");
    assert!(at("fault_off") <= at("first_good_call"), "{outage:#}");
    assert_eq!(outage["saved"][0]["by"], "fallback", "{outage:#}");
    let readers = outage["readers"].as_str().unwrap();
    assert!(readers.starts_with("no page failed, but"), "{readers}");
    // The calls that a phase tells of are those that began in it.
    let routes = result["account"]["routes"].as_array().unwrap();
    let up = routes.iter().find(|it| it["route"] == "up").unwrap();
    // Its service passes no id of a page on: its calls are joined to pages by time, or where pages overlap not at all.
    let by = up["joined_by"].as_str().unwrap();
    assert!(["serial", "totals"].contains(&by), "{routes:?}");
    assert_eq!(up["of_pages"] == 0, by == "totals", "{routes:?}");
    assert_eq!(up.get("called_by").is_none(), by == "totals", "{routes:?}");
    let phases: Vec<&Value> = result["phases"].as_array().unwrap().iter().collect();
    assert_eq!(phases.last().unwrap()["kind"], "recovery");
}

#[test]
fn a_service_without_a_fallback_fails_and_says_where() {
    let world = World::new(false);

    let (ran, result) = world.run(&format!(
        "{RESET}[[phase]]\nname = \"outage\"\nduration = \"2s\"\nfaults = [\"dead\"]\n\
         expect = [\"edge.success_rate >= 99%\"]\n"
    ));

    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    let failed = judged(&result, "edge.success_rate >= 99%");
    assert_eq!(failed["verdict"], "failed");
    let line = fs::read_to_string(world.path("it.toml")).unwrap();
    let number = line.lines().position(|it| it.contains(">= 99%")).unwrap() + 1;
    assert_eq!(failed["line"], number);
    let out = ran.out();
    assert!(out.contains(&format!("it.toml:{number}, outage")), "{out}");
    assert!(
        out.contains("reproduce: brownout run ") && out.contains("--seed 7"),
        "{out}"
    );
}

#[test]
fn another_code_may_be_asked_for() {
    let world = World::new(false);
    let file = world.file(&format!(
        "{RESET}[[phase]]\nname = \"outage\"\nduration = \"1s\"\nfaults = [\"dead\"]\n\
         expect = [\"edge.success_rate >= 99%\"]\n"
    ));

    assert_eq!(
        run(&["run", &file, "--exit-code-on-fail", "99", "--quiet"]).code(),
        99
    );
}

#[test]
fn a_fault_that_never_struck_is_never_green() {
    let world = World::new(true);

    let (ran, result) = world.run(
        "[[fault]]\nid = \"elsewhere\"\nroute = \"up\"\nabort = 503\nmatch = { path = \"/nowhere\" }\n\
         [[phase]]\nname = \"quiet\"\nduration = \"1s\"\nfaults = [\"elsewhere\"]\n\
         expect = [\"edge.success_rate >= 99%\"]\n",
    );

    assert_eq!(ran.code(), 4, "{}", ran.out());
    assert_eq!(
        judged(&result, "fault elsewhere was injected")["verdict"],
        "inconclusive"
    );
    assert_eq!(
        judged(&result, "edge.success_rate >= 99%")["verdict"],
        "passed"
    );
}

/// Runs a fault that acts on the listening socket of a route: callers of `up` connect for each call, nobody calls `idle`, and the
/// load keeps its connections to `edge`.
fn at_listener(fault: &str, route: &str) -> (Ran, Value) {
    World::new(true).run(&format!(
        "[routes.idle]\nupstream = \"http://127.0.0.1:9\"\n\
         [steady]\nduration = \"1s\"\nexpect = [\"edge.error_rate < 1%\"]\n\
         [[fault]]\nid = \"gone\"\nroute = \"{route}\"\n{fault}\n\
         [[phase]]\nname = \"outage\"\nduration = \"1s\"\nfaults = [\"gone\"]\n\
         expect = [\"edge.success_rate >= 99%\"]\n"
    ))
}

const REFUSE: &str = "refuse = {}";
const NO_SYN_ACK: &str = "blackhole = { at = \"syn\" }";

#[test]
fn who_met_a_fault_at_the_listener_is_told_by_calls_that_are_missing_or_connects_without_an_answer()
{
    for (fault, observed) in [
        (REFUSE, " calls came to up, of "),
        (NO_SYN_ACK, " SYNs were not answered"),
    ] {
        let (ran, result) = at_listener(fault, "up");

        assert_eq!(ran.code(), 0, "{fault}: {}{}", ran.out(), ran.err());
        let met = judged(&result, "fault gone was injected");
        let told = met["observed"].as_str().unwrap();
        assert!(told.contains(observed), "{fault}: {told}");
    }
}

#[test]
fn a_fault_at_the_listener_that_nobody_met_is_never_green() {
    for (fault, route, why) in [
        (REFUSE, "idle", "too few calls came before it"),
        (REFUSE, "edge", "over connections that were open before"),
        (NO_SYN_ACK, "idle", "nobody tried to connect"),
        (NO_SYN_ACK, "edge", "nobody tried to connect"),
    ] {
        let (ran, result) = at_listener(fault, route);

        assert_eq!(ran.code(), 4, "{fault} on {route}: {}", ran.out());
        let met = judged(&result, "fault gone was injected");
        assert_eq!(met["verdict"], "inconclusive");
        let told = met["why"].as_str().unwrap();
        assert!(told.contains(why), "{fault} on {route}: {told}");
        assert!(result["faults"][0]["struck_ms"].is_null(), "{result:#}");
    }
}

#[test]
fn nothing_is_injected_where_the_steady_state_does_not_hold() {
    let world = World::new(true);

    let (ran, result) = world.run(
        "[steady]\nduration = \"1s\"\nexpect = [\"edge.p50 < 1us\"]\n\
         [[fault]]\nid = \"dead\"\nroute = \"up\"\nreset = {}\n\
         [[phase]]\nname = \"outage\"\nduration = \"1s\"\nfaults = [\"dead\"]\n",
    );

    assert_eq!(ran.code(), 3, "{}", ran.out());
    assert_eq!(result["verdict"], "steady_not_met");
    assert_eq!(result["faults"], serde_json::json!([]));
}

#[test]
fn a_guard_halts_and_rolls_back() {
    let world = World::new(false);

    let (ran, result) = world.run(&format!(
        "{RESET}[[phase]]\nname = \"outage\"\nduration = \"30s\"\nfaults = [\"dead\"]\n\
         [guard]\nhalt_if = [\"edge.error_rate > 50% for 1s\"]\nmin_samples = 10\n"
    ));

    assert_eq!(ran.code(), 5, "{}", ran.out());
    assert_eq!(result["guard"][0], "edge.error_rate > 50% for 1s");
    assert_eq!(
        judged(&result, "no fault is left behind")["verdict"],
        "passed"
    );
    assert!(result["length_ms"].as_u64().unwrap() < 20_000, "{result:#}");
}

#[test]
fn single_attempts_are_judged_by_the_journal() {
    let world = World::new(true);

    let (ran, result) = world.run(
        "[[fault]]\nid = \"hole\"\nroute = \"up\"\nblackhole = {}\n\
         [[phase]]\nname = \"outage\"\nduration = \"2s\"\nfaults = [\"hole\"]\n\
         expect = [\"up.attempt.client_timeout <= 1s\", \"up.attempt.client_timeout >= 150ms\",\n\
         \"up.connections_reused_after_error == 0\"]\n",
    );

    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());
    let timeout = judged(&result, "up.attempt.client_timeout >= 150ms");
    assert!(timeout["samples"].as_u64().unwrap() >= 20, "{timeout}");
}

#[test]
fn what_needs_the_journal_says_so_where_there_is_none() {
    let world = World::new(true);
    let settings = world.directory.path().join("proxy.toml");
    fs::write(&settings, "[evidence]\ncapacity = 0\n").unwrap();
    let proxy = Server::on_a_free_port(&["proxy", "--config", settings.to_str().unwrap()]);
    let file = world.file(&format!(
        "{RESET}[[phase]]\nname = \"outage\"\nduration = \"1s\"\nfaults = [\"dead\"]\n\
         expect = [\"up.amplification <= 1.3\"]\n"
    ));
    let json = world.path("result.json");

    let ran = run(&["run", &file, "--json", &json, "--control", &proxy.control()]);

    assert_eq!(ran.code(), 4, "{}{}", ran.out(), ran.err());
    let result: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let why = judged(&result, "up.amplification <= 1.3")["why"].to_string();
    assert!(why.contains("needs GET /requests"), "{why}");
}

#[tokio::test]
async fn ctrl_c_rolls_back_at_an_attached_proxy() {
    let world = World::new(true);
    let proxy = Server::on_a_free_port(&["proxy"]);
    let control = proxy.control();
    let file = world.file(
        "[[fault]]\nid = \"dead\"\nroute = \"up\"\nreset = {}\n\
         [[phase]]\nname = \"outage\"\nduration = \"60s\"\nfaults = [\"dead\"]\n",
    );
    let events = world.path("events.jsonl");
    let running =
        Server::start_quietly(&["run", &file, "--control", &control, "--events", &events]);
    let armed = |wanted: bool| {
        let listed = run(&["fault", "ls", "--control", &control]).ok();
        listed.contains("dead") == wanted
    };
    brownout_testkit::eventually("the fault to be armed", || armed(true)).await;

    running.signal("-INT");
    let (out, status) = running.ended().await;

    assert_eq!(status.code(), Some(130), "{out}");
    assert!(armed(false));
    let routes = run(&["route", "ls", "--control", &control]).ok();
    assert!(
        !routes.contains("edge"),
        "the routes that it made are gone: {routes}"
    );
    let told = fs::read_to_string(&events).unwrap();
    assert!(
        told.lines()
            .last()
            .unwrap()
            .contains("\"verdict\":\"interrupted\""),
        "{told}"
    );
    drop(proxy);
}

#[tokio::test]
async fn a_serial_load_arms_a_fault_for_some_of_its_pages() {
    let world = World::new(true);
    let (file, json) = (world.path("serial.toml"), world.path("result.json"));
    let text = format!(
        "name = \"serial\"\n[routes]\nup = {{ listen = \"{}\", upstream = \"http://{}\" }}\n\
         [load.serial]\nto = \"http://{}\"\npages = 12\n\
         [[phase]]\nname = \"each-third\"\n\
         faults = [{{ id = \"third\", route = \"up\", abort = 503, pages = {{ every = 3 }} }}]\n\
         expect = [\"fault(third).injected == 4\", \"load.requests == 12\", \"load.answered within 2s\"]\n\
         [verdict]\nmin_samples = 1\n",
        world.page.upstream, world.upstream.address, world.page.address
    );
    fs::write(&file, text).unwrap();

    let mut command = brownout(&["run", &file, "--json", &json]);
    let ran = tokio::task::spawn_blocking(move || Ran(command.output().unwrap()));
    let ran = within("the run", ran).await.unwrap();

    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());
}

#[test]
fn others_may_make_the_load() {
    let world = World::new(true);
    let edge = free_port();
    let (file, json) = (world.path("external.toml"), world.path("result.json"));
    let text = format!(
        "name = \"external\"\n[routes]\nweb = {{ listen = \"{edge}\", upstream = \"http://{}\" }}\n\
         [load]\nexternal = true\n\
         [[phase]]\nname = \"aborted\"\nduration = \"2s\"\n\
         faults = [{{ id = \"no\", route = \"web\", abort = 503 }}]\n\
         expect = [\"web.error_rate > 90%\", \"fault(no).injected >= 5\"]\n[verdict]\nmin_samples = 1\n",
        world.upstream.address
    );
    fs::write(&file, text).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let asking = Arc::clone(&over);
    let others = thread::spawn(move || {
        while !asking.load(Ordering::Relaxed) {
            ask(edge, Duration::from_millis(200));
        }
    });

    let ran = run(&["run", &file, "--json", &json]);

    over.store(true, Ordering::Relaxed);
    others.join().unwrap();
    assert_eq!(ran.code(), 0, "{}{}", ran.out(), ran.err());
}

#[test]
fn a_wrong_file_is_refused_before_anything_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wrong.toml");
    fs::write(&path, "name = \"x\"\n[[phase]]\ndurtion = \"1s\"\n").unwrap();

    let ran = run(&["run", path.to_str().unwrap()]);

    assert_eq!(ran.code(), 2);
    let told = ran.err();
    assert!(
        told.contains("wrong.toml:3:1: `durtion` unknown key `durtion`; did you mean `duration`?"),
        "{told}"
    );
    let planned = run(&["plan", path.to_str().unwrap()]);
    assert_eq!(planned.code(), 2);
}

#[test]
fn schemas_are_printed() {
    for of in ["experiment", "result"] {
        let schema: Value = serde_json::from_str(&run(&["schema", of]).ok()).unwrap();
        assert_eq!(schema["type"], "object");
    }
}

#[test]
fn every_report_is_written_and_can_be_made_again_from_the_events() {
    let world = World::new(true);
    let file = world.file(&format!(
        "{RESET}[[phase]]\nname = \"outage\"\nduration = \"1s\"\nfaults = [\"dead\"]\n\
         expect = [\"edge.fallback_rate(header x-degraded) < 1%\"]\n\
         [report]\njunit = \"{}\"\nhtml = \"{}\"\n",
        world.path("out/junit.xml"),
        world.path("out/{name}.html")
    ));
    let (events, summary) = (world.path("events.jsonl"), world.path("summary.md"));
    fs::write(&summary, "what was there before\n").unwrap();

    let mut command = brownout(&["run", &file, "--events", &events]);
    command
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env("GITHUB_ACTIONS", "true");
    let ran = Ran(command.output().unwrap());

    assert_eq!(ran.code(), 1, "{}{}", ran.out(), ran.err());
    let read = |name: &str| fs::read_to_string(world.path(name)).unwrap();
    let junit = read("out/junit.xml");
    assert!(junit.contains("<failure type=\"threshold\""), "{junit}");
    assert!(read("out/it.html").contains("Failed"));
    let told = read("summary.md");
    assert!(
        told.starts_with("what was there before\n### ❌ it"),
        "{told}"
    );
    let annotation = ran.out();
    let annotation = annotation
        .lines()
        .find(|it| it.starts_with("::error "))
        .unwrap();
    assert!(
        annotation.contains("it.toml,line=") && annotation.contains("FAIL in outage"),
        "{annotation}"
    );
    let again = run(&[
        "report",
        &events,
        "--junit",
        &world.path("again.xml"),
        "--html",
        &world.path("again.html"),
    ]);
    assert!(again.ok().contains("Failed: 1 of 2 expectations"));
    assert_eq!(read("again.xml"), junit);
    assert_eq!(read("again.html"), read("out/it.html"));
}

#[tokio::test]
async fn a_proxy_that_dies_may_leave_faults() {
    let world = World::new(true);
    let proxy = Server::on_a_free_port(&["proxy"]);
    let control = proxy.control();
    let file = world.file(
        "[[fault]]\nid = \"dead\"\nroute = \"up\"\nreset = {}\n\
         [[phase]]\nname = \"outage\"\nduration = \"3s\"\nfaults = [\"dead\"]\n",
    );
    let running = Server::start_quietly(&["run", &file, "--control", &control]);
    brownout_testkit::eventually("the fault to be armed", || {
        run(&["fault", "ls", "--control", &control])
            .ok()
            .contains("dead")
    })
    .await;

    proxy.signal("-KILL");
    let (out, status) = running.ended().await;

    assert_eq!(status.code(), Some(6), "{out}");
    assert!(out.contains("dead may still be armed"), "{out}");
}

#[test]
fn a_proxy_that_is_not_there_is_unreachable() {
    let world = World::new(true);
    let file = world.file("[[phase]]\nname = \"a\"\nduration = \"1s\"\n");

    let ran = run(&["run", &file, "--control", &free_port().to_string()]);

    assert_eq!(ran.code(), 69, "{}", ran.err());
}

/// A server that answers one request at a time, each after 30 ms: 33 a second, however many come.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of a server that does nothing else"
)]
fn one_at_a_time() -> Page {
    let turn = Arc::new(Mutex::new(()));
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    let answer = move || {
        let _turn = turn.lock().unwrap();
        thread::sleep(Duration::from_millis(30));
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned()
    };
    Page::serving(answer, nobody)
}

#[test]
fn waiting_before_a_page_is_sent_counts_as_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let measured = |load: &str| {
        // Its own server: what is left of one load would hold up the next.
        let server = one_at_a_time();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let text = format!(
            "name = \"it\"\n[load]\nto = \"http://{}\"\n{load}\n\
             [[phase]]\nname = \"all\"\nduration = \"3s\"\nexpect = [\"load.requests > 0\"]\n",
            server.address
        );
        fs::write(path("it.toml"), text).unwrap();
        run(&["run", &path("it.toml"), "--json", &path("it.json")]);
        let text = fs::read_to_string(path("it.json")).unwrap();
        let result: Value = serde_json::from_str(&text).unwrap();
        let quantiles = result["phases"][0]["hops"][0]["quantiles"]
            .as_array()
            .unwrap()
            .clone();
        let median = quantiles.iter().find(|it| it[0] == 0.5).unwrap();
        median[1].as_f64().unwrap()
    };

    let open = measured("rate = \"60/s\"");
    let closed = measured("connections = 1");

    // Twice as many pages come as can be answered, so the queue grows; one connection that waits never sees that.
    assert!(open > closed * 4.0, "open {open} ms, closed {closed} ms");
}

#[test]
fn callers_that_leave_on_purpose_are_no_errors() {
    let world = World::new(true);

    let (ran, result) = world.run(
        "[[fault]]\nid = \"slow\"\nroute = \"edge\"\nlatency = \"1s\"\n\
         [[phase]]\nname = \"leaving\"\nduration = \"2s\"\nfaults = [\"slow\"]\nload = { leave_after = \"100ms\" }\n\
         expect = [\"edge.error_rate <= 0%\", \"fault(slow).client_gave_up >= 20\"]\n",
    );

    assert_eq!(ran.code(), 0, "{}{result:#}", ran.out());
}
