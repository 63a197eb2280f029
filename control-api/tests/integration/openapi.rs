//! The document of the API: the committed file is what the API gives, each operation's example is sent, and every answer is as it says.

use std::path::PathBuf;

use brownout_testkit::{RawClient, RawMessage, TestUpstream};
use serde_json::{Value, json};

use crate::World;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json")
}

async fn document(world: &World) -> Value {
    let response = world.raw("GET", "/openapi.json", "").await;
    assert_eq!(response.values("content-type"), ["application/json"]);
    serde_json::from_slice(&response.body).unwrap()
}

#[tokio::test]
async fn the_committed_document_is_up_to_date() {
    let world = World::start().await;
    let served = format!("{:#}\n", document(&world).await);

    if std::env::var_os("BROWNOUT_WRITE").is_some() {
        std::fs::write(file(), &served).unwrap();
    }

    let committed = std::fs::read_to_string(file()).unwrap_or_default();
    assert_eq!(
        committed, served,
        "write it anew: BROWNOUT_WRITE=1 cargo test -p brownout-control-api the_committed_document_is_up_to_date"
    );
}

/// One operation of the document.
struct Operation<'d> {
    path: &'d str,
    method: &'d str,
    value: &'d Value,
}

impl Operation<'_> {
    /// Its path with the examples of its parameters.
    fn target(&self) -> String {
        let mut target = self.path.to_owned();
        for parameter in self.value["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "path" {
                let name = parameter["name"].as_str().unwrap();
                let example = parameter["example"].as_str().unwrap();
                target = target.replace(&format!("{{{name}}}"), example);
            }
        }
        target
    }

    fn example(&self) -> Option<&Value> {
        let body = self.value.get("requestBody")?;
        Some(&body["content"]["application/json"]["example"])
    }

    /// What is made first, and removed last; the red button at the end.
    fn order(&self) -> usize {
        let order = ["post", "put", "get", "patch", "delete"];
        match (self.method, self.path) {
            ("post", "/halt") => order.len() + 1,
            // One fault first, then all of them, and those of a route or a lease.
            ("delete", path) if path != "/faults/{id}" => order.len(),
            (method, _) => order.iter().position(|it| *it == method).unwrap(),
        }
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, value) in methods.as_object().unwrap() {
            all.push(Operation {
                path,
                method,
                value,
            });
        }
    }
    // Routes and leases stand before the faults that name them.
    all.sort_by_key(Operation::order);
    all
}

/// Checks values against schemas of the document.
struct Checker {
    compiler: boon::Compiler,
    schemas: boon::Schemas,
}

impl Checker {
    fn of(document: &Value) -> Self {
        let mut compiler = boon::Compiler::new();
        compiler.set_default_draft(boon::Draft::V2020_12);
        compiler
            .add_resource("openapi.json", document.clone())
            .unwrap();
        Self {
            compiler,
            schemas: boon::Schemas::new(),
        }
    }

    fn check(&mut self, pointer: &str, value: &Value) {
        let location = format!("openapi.json#{pointer}");
        let index = self.compiler.compile(&location, &mut self.schemas);
        let index = index.unwrap_or_else(|error| panic!("{pointer}: {error:#}"));
        let valid = self.schemas.validate(value, index);
        assert!(
            valid.is_ok(),
            "{pointer}: {value:#}\n{}",
            valid.unwrap_err()
        );
    }

    /// Checks that an answer is one that the operation documents.
    fn check_answer(&mut self, operation: &Operation<'_>, answer: &RawMessage) {
        let Operation {
            path,
            method,
            value,
        } = operation;
        let status = answer.status().to_string();
        let told = &value["responses"][&status];
        let text = answer.text();
        assert!(
            !told.is_null(),
            "{method} {path}: {status} is not in the document: {text}"
        );
        let media_type = answer.values("content-type");
        let Some((wanted, _)) = told["content"].as_object().and_then(|it| it.iter().next()) else {
            assert!(answer.body.is_empty(), "{method} {path}");
            return;
        };
        assert_eq!(media_type, [wanted.as_str()], "{method} {path}: {status}");
        if wanted.ends_with("json") {
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            let (path, wanted) = (escaped(path), escaped(wanted));
            self.check(
                &format!("/paths/{path}/{method}/responses/{status}/content/{wanted}/schema"),
                &body,
            );
        }
    }
}

fn escaped(path: &str) -> String {
    path.replace('~', "~0").replace('/', "~1")
}

#[tokio::test]
async fn the_example_of_each_operation_is_answered_well() {
    let world = World::before(TestUpstream::replying("hello").await).await;
    let document = document(&world).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut checker = Checker::of(&document);

    for operation in operations(&document) {
        let (method, target) = (operation.method.to_uppercase(), operation.target());
        let body = operation
            .example()
            .map(Value::to_string)
            .unwrap_or_default();
        if let Some(example) = operation.example() {
            let (path, method) = (escaped(operation.path), operation.method);
            let pointer =
                format!("/paths/{path}/{method}/requestBody/content/application~1json/schema");
            checker.check(&pointer, example);
        }
        if operation.path == "/events" {
            let mut client = RawClient::connect(world.api.address()).await;
            let host = world.api.address();
            client
                .send(format!("GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .await;
            let head = client.head().await;
            assert_eq!(head.values("content-type"), ["text/event-stream"]);
            continue;
        }
        let answer = world.raw(&method, &target, &body).await;
        assert!(
            answer.status() < 300,
            "{method} {target}: {}",
            answer.text()
        );
        checker.check_answer(&operation, &answer);
    }
}

#[tokio::test]
async fn a_refusal_of_each_operation_is_documented() {
    let world = World::start().await;
    let document = document(&world).await;
    let mut checker = Checker::of(&document);

    for operation in operations(&document) {
        if operation.path == "/events" {
            continue;
        }
        let method = operation.method.to_uppercase();
        let target = operation
            .target()
            .replace("flaky", "none")
            .replace("ci-1234", "none");
        for body in ["{", "[]", r#"{"nonsense":1}"#, ""] {
            let answer = world.raw(&method, &target, body).await;
            checker.check_answer(&operation, &answer);
        }
    }
}

#[tokio::test]
async fn every_kind_of_fault_is_shown_as_the_document_says() {
    let world = World::start().await;
    let document = document(&world).await;
    let mut checker = Checker::of(&document);
    let bytes = json!({ "name": "db", "listen": "127.0.0.1:0", "upstream": "tcp://127.0.0.1:9" });
    assert_eq!(world.call("POST", "/routes", bytes).await.0, 201);

    for kind in brownout_fault::Fault::kinds() {
        let mut fault = kind.example_fault();
        fault["route"] = json!("*");
        checker.check("/components/schemas/Fault", &fault);

        let (_, tried) = world
            .call("POST", "/faults?dry_run=true", fault.clone())
            .await;
        checker.check("/components/schemas/DryRun", &tried);
        let (status, armed) = world.call("POST", "/faults", fault.clone()).await;
        assert_eq!(status, 201, "{fault}: {armed}");
        checker.check("/components/schemas/FaultAnswer", &armed);
        let id = armed["id"].as_str().unwrap();
        let ended = world.delete(&format!("/faults/{id}")).await;
        assert_eq!(ended.0, 200);
        let ended = world.get(&format!("/faults/{id}")).await.1;
        checker.check("/components/schemas/FaultAnswer", &ended);
    }
}

#[tokio::test]
async fn every_path_is_in_the_document() {
    let world = World::start().await;
    let document = document(&world).await;
    let (_, hint) = world.get("/nothing-like-it").await;
    let told = hint["detail"].as_str().unwrap();
    let (_, paths) = told.split_once("there are ").unwrap();

    for path in paths.split(", ") {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
}
