//! Why a fault acts on a request or lets it pass.

use brownout_fault::{Explained, FaultWriter, Knowledge, Moment, Subject, Verdict, store};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::{arm, later, start};

/// A POST of `/v1/pay?now=1` by the user 7 on the route `web`.
fn explain(writer: &FaultWriter, knowledge: Knowledge, now: Moment) -> Vec<Explained> {
    let mut fields = HeaderMap::new();
    fields.insert("x-user", HeaderValue::from_static("7"));
    let subject = Subject {
        route: "web",
        method: "POST",
        path: "/v1/pay",
        query: Some("now=1"),
        host: Some("shop.test"),
        fields: &fields,
        peer: ([127, 0, 0, 1], 40_000).into(),
        connection: 0,
        request: 0,
        is_http2: false,
    };
    writer.explain(&subject, knowledge, now.instant)
}

fn one(fault: &Value, knowledge: Knowledge) -> (Verdict, String) {
    let (mut writer, reader) = store(42);
    let now = start();
    arm(&mut writer, fault, now);
    let before = writer.statuses(now.instant).next().unwrap().counters;

    let mut explained = explain(&writer, knowledge, now);

    assert_eq!(explained.len(), 1, "{fault}");
    let after = writer.statuses(now.instant).next().unwrap().counters;
    assert_eq!(before, after, "nothing is counted");
    drop(reader);
    let one = explained.remove(0);
    (one.verdict, one.why)
}

#[test]
fn each_reason_is_told() {
    for (rest, verdict, why) in [
        (json!({}), Verdict::Acts, "it fits and acts on every match"),
        (
            json!({ "route": "other" }),
            Verdict::Passes,
            "it is not for the route `web`",
        ),
        (
            json!({ "match": { "method": "GET", "path": "/v2/*" } }),
            Verdict::Passes,
            "its match does not fit: `method` differs",
        ),
        (
            json!({ "match": { "header": { "x-user": "8" } } }),
            Verdict::Passes,
            "its match does not fit: `header` differs",
        ),
        (
            json!({ "match": { "query": { "now": "1" }, "host": "shop.test" } }),
            Verdict::Acts,
            "it fits and acts on every match",
        ),
        (
            json!({ "start": "90s" }),
            Verdict::Passes,
            "its `start` is still to come, in 90.0 s",
        ),
        (
            json!({ "pulses": [{ "start": "1m", "for": "1s" }] }),
            Verdict::Passes,
            "its schedule keeps it off now (`pulses`)",
        ),
        (
            json!({ "percent": 20 }),
            Verdict::ByChance,
            "it fits; 20 % of matches are hit",
        ),
        (
            json!({ "percent": 0 }),
            Verdict::Passes,
            "it fits; 0 % of matches are hit",
        ),
        (
            json!({ "skip_first": 2 }),
            Verdict::Passes,
            "it fits; its next 2 matches pass first (`skip_first`)",
        ),
        (
            json!({ "every": 3 }),
            Verdict::ByChance,
            "it fits; one match in 3 is taken (`every`)",
        ),
        (
            json!({ "percent": 100, "burst": { "p_bad": 0.1, "p_good": 0.1 } }),
            Verdict::ByChance,
            "it fits; only while matches are in a burst",
        ),
    ] {
        let mut fault = json!({ "route": "web", "abort": 503 });
        fault
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());

        assert_eq!(
            one(&fault, Knowledge::Whole),
            (verdict, why.to_owned()),
            "{fault}"
        );
    }
    let quota = json!({ "route": "*", "rate_limit": {} });
    let told = (
        Verdict::ByChance,
        "it fits; only when the quota is used up".to_owned(),
    );
    assert_eq!(one(&quota, Knowledge::Whole), told);
    let refuse = json!({ "route": "*", "refuse": {} });
    let (verdict, why) = one(&refuse, Knowledge::Whole);
    assert_eq!(verdict, Verdict::Passes);
    assert!(why.starts_with("it acts on the listener"), "{why}");
    let beneath = json!({ "route": "*", "layer": "stream", "reset": {} });
    let why = one(&beneath, Knowledge::Whole).1;
    assert_eq!(why, "it acts on the bytes of connections, not on requests");
}

#[test]
fn a_record_does_not_tell_header_fields() {
    let fault = json!({
        "route": "web", "abort": 503, "match": { "path": "/v1/*", "header": { "x-user": "7" }, "query": { "a": "b" } },
    });

    let (verdict, why) = one(&fault, Knowledge::Record);

    assert_eq!(verdict, Verdict::Unknown);
    assert_eq!(
        why,
        "what its match asks of `header`, `query` is not known of this request"
    );
    let other = json!({ "route": "web", "abort": 503, "match": { "path": "/v2", "header": { "x-user": "7" } } });
    assert_eq!(one(&other, Knowledge::Record).0, Verdict::Passes);
}

#[test]
fn a_sticky_draw_is_told() {
    let mut seen = Vec::new();
    for seed in 0..20 {
        let fault = json!({ "route": "web", "abort": 503, "percent": 50, "per": "header:x-user", "seed": seed });
        seen.push(one(&fault, Knowledge::Whole));
    }

    let hit = "it fits; 50 % of matches are hit, and this `header:x-user` is one of them";
    let missed = "it fits; 50 % of matches are hit, and this `header:x-user` is not one of them";
    assert!(
        seen.contains(&(Verdict::ByChance, hit.to_owned())),
        "{seen:?}"
    );
    assert!(
        seen.contains(&(Verdict::Passes, missed.to_owned())),
        "{seen:?}"
    );
    assert!(seen.iter().all(|(_, why)| why == hit || why == missed));
}

#[test]
fn one_behind_an_ending_is_told_who_came_first() {
    let (mut writer, _reader) = store(42);
    let now = start();
    arm(
        &mut writer,
        &json!({ "id": "cut", "route": "web", "truncate": {} }),
        now,
    );
    arm(
        &mut writer,
        &json!({ "id": "down", "route": "web", "abort": 503 }),
        now,
    );
    arm(
        &mut writer,
        &json!({ "id": "slow", "route": "web", "latency": "1s" }),
        now,
    );
    arm(
        &mut writer,
        &json!({ "id": "maybe", "route": "web", "reset": {}, "percent": 1, "priority": 1 }),
        now,
    );

    let explained = explain(&writer, Knowledge::Whole, now);

    let told: Vec<_> = explained
        .iter()
        .map(|one| (one.id.as_str(), one.verdict, one.why.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "maybe",
                Verdict::ByChance,
                "it fits; 1 % of matches are hit"
            ),
            (
                "down",
                Verdict::ByChance,
                "it fits; only if `maybe` has not ended the exchange before"
            ),
            ("slow", Verdict::Acts, "it fits and acts on every match"),
            (
                "cut",
                Verdict::ByChance,
                "it fits; only if `maybe` has not ended the exchange before"
            ),
        ]
    );
}

#[test]
fn a_fault_that_is_spent_or_over_is_told_so() {
    let (mut writer, reader) = store(42);
    let now = start();
    let fault = json!({ "id": "x", "route": "web", "abort": 503, "limit": 1, "ttl": "10s" });
    arm(&mut writer, &fault, now);
    drop(crate::decide(&reader.plan(), now));

    let spent = explain(&writer, Knowledge::Whole, now).remove(0);
    let over = explain(&writer, Knowledge::Whole, later(now, 11)).remove(0);

    assert_eq!(spent.why, "it is spent: its `limit` is used up");
    assert_eq!(over.why, "its `ttl` is over");
    assert_eq!((spent.share, over.share), (Some(0.0), Some(0.0)));
}
