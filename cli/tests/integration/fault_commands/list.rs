//! `brownout fault ls`: a table of 80 columns, and below each fault what has no place in it.

use std::process::{Command, Stdio};

use brownout_testkit::RawClient;
use serde_json::Value;

use super::World;
use crate::{Server, run};

#[tokio::test]
async fn what_does_not_fit_into_80_columns_stands_below() {
    let world = World::start().await;
    let long = "a-fault-with-a-name-that-is-longer-than-its-column";
    let control = world.server.control();
    run(&[
        "fault",
        "add",
        "abort",
        "web",
        r#"statuses={"503":3,"429":1}"#,
        "--control",
        &control,
        "--id",
        long,
        "--path",
        "/v1/*",
        "--label",
        "run-42",
        "--note",
        "a drill",
        "--wave",
        "period=20s",
    ])
    .ok();

    let listed = world.run("fault ls").ok();

    for line in listed.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for detail in [
        &format!("  id: {long}"),
        r#"  what: abort statuses={"503":3,"429":1}"#,
        r#"  match: {"path":"/v1/*"}"#,
        "  schedule: wave=",
        "  labels: run-42",
        "  note: a drill",
    ] {
        assert!(listed.contains(detail), "{detail} is not in\n{listed}");
    }
}

#[tokio::test]
async fn details_that_are_longer_than_80_columns_go_on_in_further_lines() {
    let world = World::start().await;
    let (note, label) = ("a drill of the checkout team ".repeat(6), "x".repeat(120));
    let note = note.trim();
    let control = world.server.control();
    run(&[
        "fault",
        "add",
        "reset",
        "web",
        "--control",
        &control,
        "--id",
        "long",
        "--layer",
        "stream",
        "--client",
        "10.1.0.0/16",
        "--client",
        "10.2.0.0/16",
        "--client",
        "10.3.0.0/16",
        "--client",
        "10.4.0.0/16",
        "--wave",
        "period=20s,duty=0.5",
        "--start",
        "30s",
        "--note",
        note,
        "--label",
        &label,
    ])
    .ok();

    let listed = world.run("fault ls").ok();

    let lines: Vec<&str> = listed.lines().collect();
    for line in &lines {
        assert!(line.chars().count() <= 80, "{line}\n{listed}");
    }
    assert!(lines.contains(&"  layer: stream"), "{listed}");
    // Nothing of it is lost: what is broken at a blank has that blank, what has none is broken anywhere.
    let rest: Vec<&str> = lines[2..].iter().map(|line| line.trim_start()).collect();
    assert!(
        rest.join(" ").contains(&format!("note: {note}")),
        "{listed}"
    );
    let whole = rest.concat().replace(' ', "");
    for told in [
        r#"match:{"client":["10.1.0.0/16","10.2.0.0/16","10.3.0.0/16","10.4.0.0/16"]}"#,
        r#"schedule:start=30swave={"#,
        &format!("labels:{label}"),
    ] {
        assert!(whole.contains(told), "{told} is not in\n{listed}");
    }
}

#[tokio::test]
async fn a_fault_on_every_route_lists_its_hits_on_each() {
    let world = World::start().await;
    world
        .run("route add two 127.0.0.1:0 http://127.0.0.1:9")
        .ok();
    let routes = world.run("route ls --output json").ok();
    let routes: Value = serde_json::from_str(&routes).unwrap();
    world.run("fault add abort * 503").ok();
    assert!(!world.run("fault ls").ok().contains("hits by route"));
    for route in routes["routes"].as_array().unwrap() {
        let listen = route["listen"].as_str().unwrap().parse().unwrap();
        let mut client = RawClient::connect(listen).await;
        client.get("/").await;
        assert_eq!(client.response().await.status(), 503);
    }

    let listed = world.run("fault ls").ok();

    let hits = "  hits by route: two 1 of 1, web 1 of 1";
    assert!(listed.contains(hits), "{listed}");
}

#[tokio::test]
async fn faults_are_listed_and_removed_by_what_they_have() {
    let world = World::start().await;
    world
        .run("route add two 127.0.0.1:0 http://127.0.0.1:9")
        .ok();
    world.run("fault add reset web --id a --label run-42").ok();
    world.run("fault add reset two --id b --label run-42").ok();
    world.run("fault add reset two --id c").ok();

    let none = world.run("fault ls --label nobody").ok();
    assert_eq!(
        none,
        "no armed fault fits; all of them: brownout fault ls\n"
    );
    let listed = world.run("fault ls --route two --label run-42").ok();
    assert_eq!(listed.lines().count(), 3, "{listed}"); // Its labels stand below.
    assert_eq!(
        world.run("fault clear --label run-42").ok(),
        "removed 2 faults: a, b\n"
    );
    assert_eq!(
        world.run("fault clear --route two").ok(),
        "removed 1 fault: c\n"
    );
    let ended = world.run("fault ls --state ended").ok();
    assert!(ended.contains("removed"), "{ended}");
}

#[tokio::test]
async fn a_watched_list_is_shown_again() {
    let world = World::start().await;
    let control = world.server.control();
    let mut command = Command::new(env!("CARGO_BIN_EXE_brownout"));
    command.args(["fault", "ls", "--watch", "--control", &control]);
    let mut watching = Server::spawn_with(command, Stdio::null());
    assert!(watching.line().starts_with("nothing is armed"));

    world.run("fault add reset web --id x").ok();

    let mut lines = (0..10).map(|_| watching.line());
    assert!(lines.any(|line| line.starts_with("x  ")));
}
