//! The JSON Schema of an audit's report.

use serde_json::{Value, json};

use crate::forensics::FindingId;

/// The JSON Schema of `brownout audit --json`.
#[must_use]
pub fn audit_schema() -> Value {
    let number = json!({ "type": "number" });
    let whole = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string" });
    let yes = json!({ "type": "boolean" });
    let maybe = |kind: &str| json!({ "type": [kind, "null"] });
    let list = |items: Value| json!({ "type": "array", "items": items });
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let ids: Vec<&str> = FindingId::ALL.iter().map(|it| it.as_str()).collect();
    let attempt = object(
        &[
            "method", "path", "from_ms", "to_ms", "end", "status", "struck",
        ],
        json!({
            "method": text, "path": text, "from_ms": number, "to_ms": number, "status": maybe("integer"), "struck": yes,
            "end": { "enum": ["answered", "upstream_error", "fault", "client_fin", "client_rst", "still_open"] },
        }),
    );
    let exemplar = object(
        &["took_ms", "status", "degraded", "attempts"],
        json!({
            "took_ms": maybe("number"), "left_ms": maybe("number"), "status": maybe("integer"), "degraded": yes, "request_id": text,
            "attempts": { "type": "array", "maxItems": 16, "items": attempt }, "more": whole,
        }),
    );
    let moment = object(
        &["calls", "whole", "degraded", "failed"],
        json!({ "calls": whole, "whole": whole, "degraded": whole, "failed": whole }),
    );
    let over_time = object(
        &["step_ms", "armed_ms", "removed_ms", "steps"],
        json!({ "step_ms": whole, "armed_ms": maybe("integer"), "removed_ms": maybe("integer"), "steps": list(moment) }),
    );
    let seen = object(
        &["whole", "degraded", "failed", "left", "late", "page_max_ms"],
        json!({
            "whole": whole, "degraded": whole, "failed": whole, "left": whole, "late": whole, "page_max_ms": number,
            "waits_ms": { "type": "array", "maxItems": 64, "items": number }, "exemplar": exemplar, "over_time": over_time,
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "brownout audit",
        "type": "object",
        "required": ["schema", "verdict", "page", "budget", "joined_by", "findings", "calm", "experiments", "stopped", "reproduce"],
        "properties": {
            "schema": { "const": 1 },
            "verdict": { "enum": ["pass", "fail", "inconclusive"] },
            "started_at": { "type": "string", "format": "date-time" },
            "page": object(&["origin", "path"], json!({ "origin": text, "path": text })),
            "budget": { "description": "how long a page may take, such as 1s", "type": "string" },
            "degraded_if": list(text.clone()),
            "joined_by": { "description": "how attempts were joined to pages", "enum": ["id", "serial", "totals"] },
            "findings": list(object(
                &["id", "route", "verdict", "sentence", "why", "severity", "evidence", "fix"],
                json!({
                    "id": { "enum": ids }, "route": text,
                    "verdict": { "enum": ["defect", "ok", "undetermined", "not_applicable"] },
                    "sentence": text, "why": text, "severity": { "enum": ["high", "medium", "low"] },
                    "evidence": { "description": "numbers by name; a name that ends with _us is in microseconds", "type": "object" },
                    "fix": text, "hint": text,
                }),
            )),
            "calm": list(object(
                &["route", "page_p50_ms", "page_p95_ms", "call_p50_ms", "calls_per_page", "background"],
                json!({
                    "route": text, "page_p50_ms": number, "page_p95_ms": number, "call_p50_ms": number,
                    "calls_per_page": { "type": "object", "additionalProperties": number }, "background": yes,
                }),
            )),
            "experiments": list(object(
                &["id", "route", "form", "fault", "pages", "attempts", "struck", "at_ms", "took_ms", "busy", "seen"],
                json!({
                    "id": { "type": "string", "pattern": "^S[0-9]+$" }, "route": text, "form": text, "fault": text, "path": text,
                    "faults": list(json!({ "description": "a fault as it was armed", "type": "object" })),
                    "pages": whole, "attempts": whole, "struck": maybe("integer"), "at_ms": whole, "took_ms": whole,
                    "busy": yes, "seen": seen,
                }),
            )),
            "interrupted": yes,
            "stopped": { "type": "object", "additionalProperties": text },
            "reproduce": text,
            "only": list(json!({ "enum": ids })),
        },
    })
}
