//! Every operation of the API, in the order of the document.

use brownout_telemetry::prometheus;
use brownout_wire::{
    ConnectionList, ExplainAnswer, FaultAnswer, FaultList, Health, LeaseAnswer, LeaseList, Ready,
    Removed, RequestList, RouteAnswer, RouteList, Version,
};
use serde_json::{Value, json};

use super::operation::Operation;

/// All of them.
pub(super) fn all() -> Vec<Operation> {
    let mut all = routes();
    all.extend(leases());
    all.extend(faults());
    all.extend(evidence());
    all.extend(process());
    all
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn routes() -> Vec<Operation> {
    let named = |operation: Operation| operation.at("name", "recommendations", "the route's name");
    let example = json!({
        "name": "recommendations", "listen": "127.0.0.1:0", "upstream": "http://127.0.0.1:9003",
    });
    vec![
        Operation::new(
            "get",
            "/routes",
            "listRoutes",
            "Lists the routes, sorted by name",
        )
        .refuses(&[422])
        .answers::<RouteList>(200, "the routes"),
        Operation::new(
            "post",
            "/routes",
            "addRoute",
            "Makes a route; when this is answered, its address accepts connections",
        )
        .body(&schema("Route"), true, &example)
        .answers::<RouteAnswer>(201, "the route, with the port that it got")
        .with_field("Location", "where it is")
        .refuses(&[409, 429]),
        named(Operation::new(
            "get",
            "/routes/{name}",
            "showRoute",
            "Shows a route",
        ))
        .answers::<RouteAnswer>(200, "the route"),
        named(Operation::new(
            "patch",
            "/routes/{name}",
            "changeRoute",
            "Changes a route; if a new address cannot be listened on, all stays as it was",
        ))
        .body(
            &schema("RoutePatch"),
            true,
            &json!({ "caller_faults": true }),
        )
        .answers::<RouteAnswer>(200, "the route as it is now")
        .refuses(&[409]),
        named(Operation::new(
            "delete",
            "/routes/{name}",
            "removeRoute",
            "Deletes a route, and the faults of which no other route is left",
        ))
        .answers_nothing(204, "it is gone"),
    ]
}

fn leases() -> Vec<Operation> {
    let named = |operation: Operation| operation.at("id", "ci-1234", "the lease's id");
    vec![
        Operation::new(
            "get",
            "/leases",
            "listLeases",
            "Lists the leases, sorted by id",
        )
        .answers::<LeaseList>(200, "the leases"),
        Operation::new(
            "post",
            "/leases",
            "addLease",
            "Makes a lease: its faults end when nobody renews it",
        )
        .body(
            &schema("Lease"),
            true,
            &json!({ "id": "ci-1234", "ttl": "15s", "owner": "checkout" }),
        )
        .answers::<LeaseAnswer>(201, "the lease")
        .with_field("Location", "where it is")
        .refuses(&[409, 429]),
        named(Operation::new(
            "get",
            "/leases/{id}",
            "showLease",
            "Shows a lease",
        ))
        .answers::<LeaseAnswer>(200, "the lease"),
        named(Operation::new(
            "put",
            "/leases/{id}",
            "renewLease",
            "Renews a lease from now on",
        ))
        .body(&schema("LeaseRenewal"), false, &json!({ "ttl": "1m" }))
        .answers::<LeaseAnswer>(200, "the lease as it is now"),
        named(Operation::new(
            "delete",
            "/leases/{id}",
            "removeLease",
            "Ends a lease with its faults",
        ))
        .answers_nothing(204, "it is gone"),
    ]
}

fn faults() -> Vec<Operation> {
    let named = |operation: Operation| operation.at("id", "flaky", "the fault's id");
    let tagged = |operation: Operation| operation.with_field("ETag", "the revision of the fault");
    let filtered = |operation: Operation| {
        operation
            .query("route", &text(), "those that act on this route")
            .query("label", &text(), "those with this label")
            .query("group", &text(), "those of this group")
    };
    let example = json!({
        "id": "flaky", "route": "recommendations", "percent": 20, "abort": { "status": 503, "retry_after": "2s" },
        "match": { "method": ["GET"], "path": "/v1/*", "header": { "x-user": "user-7" } }, "ttl": "2m", "labels": ["run-42"],
    });
    let mut same = example.clone();
    same["percent"] = json!(30);
    let list = json!({ "type": "array", "items": schema("Fault") });
    let states = json!({ "enum": ["waiting", "active", "spent", "expired", "ended"] });
    let one_or_list = |one: &str, list: &str| json!({ "anyOf": [schema(one), schema(list)] });
    vec![
        filtered(Operation::new("get", "/faults", "listFaults", "Lists faults, in the order of creation"))
            .query("state", &states, "those in this state; `ended` for the last 1,000 that have ended, `expired` for those of them whose `ttl` was over")
            .answers::<FaultList>(200, "the faults"),
        tagged(
            Operation::new("post", "/faults", "armFaults", "Arms one fault, or all of a list or none")
                .query("dry_run", &json!({ "type": "boolean" }), "arms nothing, and says what would be")
                .body(&json!({ "anyOf": [schema("Fault"), list] }), true, &example)
                .answers_in(200, "a dry run: what would be armed", "application/json", one_or_list("DryRun", "DryRunList"))
                .answers_in(201, "what is armed", "application/json", one_or_list("FaultAnswer", "FaultList")),
        )
        .with_field("Location", "where it is, of one fault")
        .refuses(&[409, 423, 429]),
        filtered(Operation::new("delete", "/faults", "clearFaults", "Removes faults; what they hold is let go within 100 ms"))
            .answers::<Removed>(200, "those that are gone, with what they had done"),
        Operation::new("get", "/faults/kinds", "listKinds", "Tells every kind of fault: parameters, example, JSON Schema")
            .refuses(&[422])
            .answers_in(200, "the kinds", "application/json", json!({ "type": "object", "required": ["kinds"] })),
        tagged(named(Operation::new("get", "/faults/{id}", "showFault", "Shows a fault, or the last one of this id that has ended"))
            .answers::<FaultAnswer>(200, "the fault")),
        tagged(
            tagged(
                named(Operation::new("put", "/faults/{id}", "putFault", "Arms a fault under an id, in place of the one that has it; again is safe"))
                    .conditional()
                    .body(&schema("Fault"), true, &same)
                    .answers::<FaultAnswer>(200, "it took another's place, or was armed already"),
            )
            .answers::<FaultAnswer>(201, "it is armed"),
        )
        .with_field("Location", "where it is")
        .refuses(&[409, 423, 429]),
        tagged(named(Operation::new("patch", "/faults/{id}", "patchFault", "Changes a fault by a JSON merge patch (RFC 7396); its counts go on"))
            .conditional()
            .body(&schema("FaultPatch"), true, &json!({ "percent": 50 }))
            .answers::<FaultAnswer>(200, "the fault as it is now"))
        .refuses(&[409, 423]),
        tagged(named(Operation::new("delete", "/faults/{id}", "removeFault", "Removes a fault; what it holds is let go within 100 ms"))
            .conditional()
            .answers::<FaultAnswer>(200, "the fault with what it had done")),
        Operation::new("post", "/halt", "halt", "Removes every fault at once")
            .body(&schema("Halt"), false, &json!({ "rearm_after": "0s" }))
            .answers::<Removed>(200, "what is gone"),
        Operation::new("post", "/explain", "explain", "Says which faults look at a request, and why each acts or lets it pass")
            .body(
                &schema("ExplainRequest"),
                true,
                &json!({ "route": "recommendations", "path": "/v1/items?page=2", "headers": { "x-user": "user-7" } }),
            )
            .answers::<ExplainAnswer>(200, "the faults with their reasons"),
    ]
}

fn evidence() -> Vec<Operation> {
    let paged = |operation: Operation, states: &Value| {
        operation
            .query("route", &text(), "of this route alone")
            .query("state", states, "in progress, or ended")
            .query(
                "after",
                &json!({ "type": "integer", "minimum": 0 }),
                "those that ended with a greater `seq`, the lowest first",
            )
            .query(
                "limit",
                &json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
                "so many of each sort",
            )
    };
    let states = json!({ "enum": ["any", "open", "ended"], "default": "any" });
    let requests = Operation::new(
        "get",
        "/requests",
        "listRequests",
        "Tells what happened to the requests that routes carried",
    );
    let connections = Operation::new(
        "get",
        "/connections",
        "listConnections",
        "Tells of the clients' connections to the routes",
    );
    let events = Operation::new(
        "get",
        "/events",
        "listenToEvents",
        "Tells what happens, as server-sent events, until the caller leaves",
    );
    vec![
        paged(requests, &states)
            .query("fault", &text(), "those that this fault struck")
            .answers::<RequestList>(200, "the records"),
        paged(connections, &states).answers::<ConnectionList>(200, "the records"),
        events
            .query(
                "after",
                &json!({ "type": "integer", "minimum": 0 }),
                "goes on behind this event",
            )
            .answers_in(
                200,
                "events whose data is an EventRecord",
                "text/event-stream",
                text(),
            )
            .refuses(&[429]),
    ]
}

fn process() -> Vec<Operation> {
    vec![
        Operation::new(
            "get",
            "/healthz",
            "health",
            "Whether it is there; asks for no token",
        )
        .answers::<Health>(200, "it is"),
        Operation::new(
            "get",
            "/readyz",
            "ready",
            "Whether its routes take connections; asks for no token, but tells the routes only with it",
        )
        .answers::<Ready>(200, "they do; a disabled route is told as such")
        .answers::<Ready>(503, "the process ends, and takes no more"),
        Operation::new("get", "/version", "version", "Which version it is")
            .answers::<Version>(200, "the version of Toxiproxy's API, and its own"),
        Operation::new(
            "get",
            "/metrics",
            "metrics",
            "Everything that is counted, for Prometheus",
        )
        .answers_in(
            200,
            "text of version 0.0.4",
            prometheus::CONTENT_TYPE,
            text(),
        ),
        Operation::new("get", "/openapi.json", "openapi", "This document").answers_in(
            200,
            "OpenAPI 3.1",
            "application/json",
            json!({ "type": "object" }),
        ),
    ]
}
