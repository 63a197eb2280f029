//! `GET /openapi.json`: this API as a document (`OpenAPI` 3.1), made from the types of its answers and the readers of its bodies.
//!
//! Toxiproxy's API on the same address is not in it: that is described by the original.

mod operation;
mod operations;

use std::sync::OnceLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use brownout_wire::schema;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The document. It never changes while the process runs.
#[must_use]
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(make)
}

/// `GET /openapi.json`.
pub(crate) async fn openapi() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| format!("{}\n", document()));
    ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
}

fn make() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .for_serialize();
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations::all() {
        let (path, method) = (operation.path.clone(), operation.method);
        let described = operation.describe(&mut generator);
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method] = described;
    }
    let mut schemas = bodies(&mut generator);
    schemas.extend(generator.take_definitions(true));
    share_kinds(&mut schemas);
    schemas.sort_keys();
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "brownout's control API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
            "description": "Starts and ends faults in a proxy between services. JSON over HTTP/1.1; the Content-Type of a call \
                is not looked at. Every refusal is a problem (RFC 9457), and nothing is changed then. On the same address lives \
                Toxiproxy's API, which its own documentation describes.",
        },
        "servers": [{ "url": "http://127.0.0.1:8474" }],
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http", "scheme": "bearer",
                    "description": "asked for where the proxy was started with a token; one that only reads may call GET alone",
                },
            },
            "schemas": schemas,
        },
    })
}

/// The schemas of bodies, which their readers give.
fn bodies(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let recent = generator.subschema_for::<brownout_wire::RecentAnswer>();
    let tried = schema::tried(recent.as_value());
    let tried_list = json!({
        "type": "object", "required": ["faults"],
        "properties": { "faults": { "type": "array", "items": { "$ref": "#/components/schemas/DryRun" } } },
    });
    let tls = schema::RouteTls::new(generator);
    let schemas = [
        ("Fault", schema::fault()),
        ("FaultPatch", schema::fault_patch()),
        ("Route", schema::route(&tls)),
        ("RoutePatch", schema::route_patch(&tls)),
        ("Lease", schema::lease()),
        ("LeaseRenewal", schema::lease_renewal()),
        ("Halt", schema::halt()),
        ("ExplainRequest", schema::explain()),
        ("DryRun", tried),
        ("DryRunList", tried_list),
    ];
    schemas
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

/// Describes each kind of fault once: whatever has a member of its name refers to it.
fn share_kinds(schemas: &mut Map<String, Value>) {
    let kinds = brownout_fault::Fault::kinds();
    for schema in schemas.values_mut() {
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            continue;
        };
        if !kinds.iter().all(|kind| properties.contains_key(kind.name)) {
            continue;
        }
        for kind in &kinds {
            // A patch says nothing of its members.
            if properties[kind.name]
                .as_object()
                .is_some_and(|it| it.len() > 1)
            {
                let name = format!("#/components/schemas/kind.{}", kind.name);
                properties.insert(kind.name.to_owned(), json!({ "$ref": name }));
            }
        }
    }
    for kind in kinds {
        let mut schema = kind.schema();
        if let Some(members) = schema.as_object_mut() {
            members.shift_remove("$schema");
        }
        schemas.insert(format!("kind.{}", kind.name), schema);
    }
}
