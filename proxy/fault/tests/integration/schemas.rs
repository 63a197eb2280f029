//! The JSON Schema of each kind holds what is read, and refuses what never is.

use boon::{Compiler, SchemaIndex, Schemas};
use brownout_fault::{Fault, FaultSpec};
use serde_json::{Value, json};

/// The compiled schema of each kind.
struct Known {
    schemas: Schemas,
    of: Vec<(&'static str, SchemaIndex)>,
}

impl Known {
    fn all() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let mut of = Vec::new();
        for kind in Fault::kinds() {
            let at = format!("mem:///{}.json", kind.name);
            compiler.add_resource(&at, kind.schema()).unwrap();
            let compiled = compiler.compile(&at, &mut schemas);
            let compiled = compiled.unwrap_or_else(|error| panic!("{}: {error:#}", kind.name));
            of.push((kind.name, compiled));
        }
        Self { schemas, of }
    }

    fn takes(&self, kind: &str, value: &Value) -> bool {
        let (_, schema) = self.of.iter().find(|(name, _)| *name == kind).unwrap();
        self.schemas.validate(value, *schema).is_ok()
    }
}

fn reads(kind: &str, value: &Value) -> bool {
    let mut fault = json!({ "route": "web" });
    fault[kind] = value.clone();
    FaultSpec::read(&fault).is_ok()
}

#[test]
fn every_example_and_what_it_reads_back_as_fits_the_schema_of_its_kind() {
    let known = Known::all();
    for kind in Fault::kinds() {
        let example = &kind.example_fault()[kind.name];
        let spec = FaultSpec::read(&kind.example_fault()).unwrap();
        let written = spec.fault.to_value();

        assert!(known.takes(kind.name, example), "{}: {example}", kind.name);
        assert!(known.takes(kind.name, &written), "{}: {written}", kind.name);
    }
}

#[test]
fn every_way_to_write_a_kind_fits_its_schema() {
    let known = Known::all();
    for (kind, value) in [
        ("latency", json!("59m30s")),
        ("latency", json!("PT0.25S")),
        ("latency", json!({ "min": "1ms", "max": " 2 s " })),
        (
            "latency",
            json!({ "samples": ["1ms", "2ms"], "times": 2.5 }),
        ),
        (
            "latency",
            json!({ "mode": "until_deadline", "margin": "-5ms" }),
        ),
        ("abort", json!(418)),
        (
            "abort",
            json!({ "statuses": { "503": 3, "200": 1 }, "headers": { "x-a": ["1", "2"] } }),
        ),
        ("abort", json!({ "retry_after": "date:1m" })),
        ("abort", json!({ "retry_after": "date:-1m" })),
        ("mutate", json!({ "preset": "empty_object" })),
        ("dribble", json!({ "include_head": true })),
        ("blackhole", json!({ "at": "syn" })),
        ("bandwidth", json!("1.5mb/s")),
        ("limit_data", json!("64 KiB")),
        ("blackhole", json!({ "hold": "until_removed" })),
        ("stall", json!({ "for": "until_removed" })),
        ("rate_limit", json!(10)),
        (
            "rate_limit",
            json!({ "key": "header:x-user", "retry_after": "date:auto" }),
        ),
        ("rate_limit", json!({ "retry_after": "2s" })),
        ("redirect", json!("/elsewhere")),
        ("redirect", json!({ "loop": true, "status": 308 })),
        (
            "saturate",
            json!({ "service_time": { "mean": "10ms", "sd": "1ms" } }),
        ),
        ("saturate", json!({ "service_time": "10ms" })),
        ("duplicate", json!({ "methods": ["POST", "GET"] })),
        ("duplicate", json!({ "methods": "POST" })),
        ("slow_close", json!("1s")),
        (
            "mutate",
            json!({ "request": { "remove": ["cookie", "x-a"] } }),
        ),
        (
            "mutate",
            json!({ "response": { "json_patch": [{ "op": "remove", "path": "/a" }] } }),
        ),
        ("mutate", json!({ "response": { "json_merge": null } })),
    ] {
        assert!(reads(kind, &value), "it is read: {kind} {value}");
        assert!(known.takes(kind, &value), "{kind} {value}");
    }
}

#[test]
fn what_is_never_read_does_not_fit() {
    let known = Known::all();
    for kind in Fault::kinds() {
        for value in [json!({ "no_such_key": 1 }), json!([1]), Value::Null] {
            assert!(!reads(kind.name, &value), "{} {value}", kind.name);
            assert!(!known.takes(kind.name, &value), "{} {value}", kind.name);
        }
    }
    for (kind, value) in [
        ("latency", json!(250)),
        ("latency", json!("250")),
        ("latency", json!({ "value": 250 })),
        ("latency", json!({ "value": "1s", "mode": "flor" })),
        ("latency", json!({ "samples": [] })),
        ("latency", json!({ "median": "1s", "sigma": 11 })),
        ("abort", json!(199)),
        ("abort", json!({ "status": "503" })),
        ("abort", json!({ "statuses": { "99": 1 } })),
        ("abort", json!({ "retry_after": 2 })),
        ("bandwidth", json!("64KiB")),
        ("bandwidth", json!({ "share": "none" })),
        ("truncate", json!({ "fraction": 1 })),
        ("truncate", json!({ "after_bytes": -5 })),
        ("corrupt", json!({ "rate": 0 })),
        ("reset", json!({ "after_bytes": "1.5" })),
        ("stall", json!({ "for": "forever" })),
        ("rate_limit", json!({ "key": "request" })),
        ("redirect", json!({ "to": "/x", "status": 304 })),
        ("saturate", json!({ "service_time": { "value": 1 } })),
        ("mutate", json!({ "response": { "stauts": 200 } })),
        (
            "mutate",
            json!({ "response": { "json_patch": [{ "op": "ad", "path": "/a" }] } }),
        ),
    ] {
        assert!(!reads(kind, &value), "it is not read: {kind} {value}");
        assert!(!known.takes(kind, &value), "{kind} {value}");
    }
}
