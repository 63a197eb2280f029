//! Reading a body as Go's `encoding/json` does.

use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use super::wire::ToxicError;
use crate::{control::Shared, extract::Body};

/// A body that came whole.
#[derive(Debug)]
pub(super) struct ToxicBody(pub(super) Body);

impl FromRequest<Shared> for ToxicBody {
    type Rejection = ToxicError;

    async fn from_request(request: Request, control: &Shared) -> Result<Self, ToxicError> {
        Ok(Self(Body::from_request(request, control).await?))
    }
}

/// A body's members; none of them where the body is null.
#[derive(Debug)]
pub(super) struct Members(Map<String, Value>);

impl Members {
    pub(super) fn of(value: Value) -> Result<Self, ToxicError> {
        match value {
            Value::Object(members) => Ok(Self(members)),
            Value::Null => Ok(Self(Map::new())),
            other => Err(wrong(&other, "object")),
        }
    }

    /// The last member of this name, in whatever letters; null is as good as none.
    fn get(&self, key: &str) -> Option<&Value> {
        let named = self
            .0
            .iter()
            .rev()
            .find(|(known, _)| known.eq_ignore_ascii_case(key));
        named
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, ToxicError> {
        let value = self.get(key);
        value
            .map(|value| value.as_str().ok_or_else(|| wrong(value, "string")))
            .transpose()
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, ToxicError> {
        let value = self.get(key);
        value
            .map(|value| value.as_bool().ok_or_else(|| wrong(value, "bool")))
            .transpose()
    }

    pub(super) fn float(&self, key: &str) -> Result<Option<f32>, ToxicError> {
        let value = self.get(key);
        let float = |value: &Value| {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is a 32-bit float there"
            )]
            let float = value
                .as_f64()
                .map(|float| float as f32)
                .filter(|float| float.is_finite());
            float.ok_or_else(|| wrong(value, "float32"))
        };
        value.map(float).transpose()
    }

    pub(super) fn object(&self, key: &str) -> Result<Map<String, Value>, ToxicError> {
        match self.get(key) {
            None => Ok(Map::new()),
            Some(Value::Object(members)) => Ok(members.clone()),
            Some(other) => Err(wrong(other, "object")),
        }
    }
}

/// The first JSON value of a body; what comes behind it is not looked at.
pub(super) fn first_value(body: &Body) -> Result<Value, ToxicError> {
    let mut values = serde_json::Deserializer::from_slice(body.bytes()).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => {
            crate::bounds::check_list_of(&value)
                .map_err(|problem| ToxicError::bad(format!("bad request body: {problem}")))?;
            Ok(value)
        }
        Some(Err(error)) => Err(ToxicError::bad(format!("bad request body: {error}"))),
        None => Err(ToxicError::bad("bad request body: EOF")),
    }
}

fn wrong(value: &Value, wanted: &str) -> ToxicError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    ToxicError::bad(format!(
        "bad request body: json: cannot unmarshal {found} into Go value of type {wanted}"
    ))
}
