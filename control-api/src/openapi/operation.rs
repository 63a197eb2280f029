//! One operation of the document.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// What a schema is made by: from a type, or by its name.
type MakeSchema = Box<dyn Fn(&mut SchemaGenerator) -> Value>;
/// A media type and its schema.
type MediaType = (&'static str, MakeSchema);

/// One operation: what may be sent, and what may come back.
pub(super) struct Operation {
    pub(super) path: String,
    pub(super) method: &'static str,
    id: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<(u16, Value, Option<MediaType>)>,
    refusals: Vec<u16>,
}

impl Operation {
    /// An operation that takes nothing and may be refused by whoever guards the API.
    pub(super) fn new(
        method: &'static str,
        path: &str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            path: path.to_owned(),
            method,
            id,
            summary,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: vec![400, 401, 403, 404, 405, 414, 431, 503],
        }
    }

    /// A part of the path.
    pub(super) fn at(mut self, name: &str, example: &str, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": description, "example": example,
            "schema": { "type": "string", "minLength": 1 },
        }));
        self
    }

    /// A parameter of the query.
    pub(super) fn query(mut self, name: &str, schema: &Value, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "required": false, "description": description, "schema": schema,
        }));
        self.refusals.push(422);
        self
    }

    /// `If-Match` and `If-None-Match` (RFC 9110 §13.1).
    pub(super) fn conditional(mut self) -> Self {
        for (name, description) in [
            (
                "If-Match",
                "refused with 412 unless this is the entity tag of the fault, or `*`",
            ),
            (
                "If-None-Match",
                "refused with 412 if this is the entity tag of the fault; `*` for any",
            ),
        ] {
            self.parameters.push(json!({
                "name": name, "in": "header", "required": false, "description": description,
                "schema": { "type": "string" },
            }));
        }
        self.refusals.push(412);
        self
    }

    /// The body, by the name of its schema.
    pub(super) fn body(mut self, schema: &Value, is_required: bool, example: &Value) -> Self {
        self.body = Some(json!({
            "required": is_required,
            "content": { "application/json": { "schema": schema, "example": example } },
        }));
        self.refusals.extend([413, 422]);
        self
    }

    /// An answer of this type.
    pub(super) fn answers<T: JsonSchema>(self, status: u16, description: &str) -> Self {
        let make: MakeSchema = Box::new(|generator| generator.subschema_for::<T>().to_value());
        self.answers_with(status, description, "application/json", make)
    }

    /// An answer of this media type with this schema.
    pub(super) fn answers_in(
        self,
        status: u16,
        description: &str,
        media_type: &'static str,
        schema: Value,
    ) -> Self {
        self.answers_with(
            status,
            description,
            media_type,
            Box::new(move |_| schema.clone()),
        )
    }

    fn answers_with(
        mut self,
        status: u16,
        description: &str,
        media_type: &'static str,
        make: MakeSchema,
    ) -> Self {
        let content = Some((media_type, make));
        self.answers
            .push((status, json!({ "description": description }), content));
        self
    }

    /// An answer without content.
    pub(super) fn answers_nothing(mut self, status: u16, description: &str) -> Self {
        self.answers
            .push((status, json!({ "description": description }), None));
        self
    }

    /// The last answer has this header field.
    pub(super) fn with_field(mut self, name: &str, description: &str) -> Self {
        if let Some((_, answer, _)) = self.answers.last_mut() {
            answer["headers"][name] =
                json!({ "description": description, "schema": { "type": "string" } });
        }
        self
    }

    /// It may also be refused with these statuses.
    pub(super) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// As the document has it.
    pub(super) fn describe(self, generator: &mut SchemaGenerator) -> Value {
        let mut responses: Vec<(u16, Value)> = Vec::new();
        for (status, mut answer, content) in self.answers {
            if let Some((media_type, make)) = content {
                answer["content"] = json!({ media_type: { "schema": make(generator) } });
            }
            responses.push((status, answer));
        }
        let problem = generator.subschema_for::<brownout_wire::ProblemAnswer>();
        for status in self.refusals {
            if !responses.iter().any(|(told, _)| *told == status) {
                responses.push((
                    status,
                    json!({
                        "description": refusal(status),
                        "content": { "application/problem+json": { "schema": problem } },
                    }),
                ));
            }
        }
        responses.sort_by_key(|(status, _)| *status);
        let responses: Map<String, Value> = (responses.into_iter())
            .map(|(status, response)| (status.to_string(), response))
            .collect();
        let mut described = json!({ "operationId": self.id, "summary": self.summary });
        if !self.parameters.is_empty() {
            described["parameters"] = json!(self.parameters);
        }
        if let Some(body) = self.body {
            described["requestBody"] = body;
        }
        described["responses"] = Value::Object(responses);
        described
    }
}

/// When a call is refused with this status.
const fn refusal(status: u16) -> &'static str {
    match status {
        400 => "the body is not JSON or did not come whole, or the head contradicts itself",
        401 => "no token, or a wrong one",
        403 => "a token that only reads, or a Host, Origin or Sec-Fetch-Site that is not allowed",
        404 => "there is no such thing",
        405 => "the path is known, the method is not",
        409 => "an id, name or address is taken",
        412 => "If-Match or If-None-Match does not hold",
        413 => "the body is too large",
        414 => "the target is over 8 KiB",
        422 => "understood and refused: each problem with its place",
        423 => "halted: nothing may be armed until Retry-After is over",
        429 => "there are as many as there may be",
        431 => "too many header fields, or too large ones",
        _ => "the process is about to end, or every place of the API is taken",
    }
}
