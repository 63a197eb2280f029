//! Parameters that several kinds have.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use crate::{
    edits::Field,
    read::{Object, Problem, one_or_many, text, whole},
    written::single_or_list,
};

/// Fields that say how the message is framed or carried: the proxy writes those itself.
const FRAMING: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A status that an answer may have.
pub(super) fn status(value: &Value) -> Result<StatusCode, Problem> {
    let code = whole(200, 599)(value)?;
    Ok(u16::try_from(code)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok())
        .expect("200 to 599 are status codes"))
}

/// Names and values of header fields.
pub(super) type FieldValues = Vec<(HeaderName, Vec<HeaderValue>)>;

/// Header fields that a fault sets. `own` are set by parameters of their own, which are named.
pub(super) fn headers(
    own: &'static [(HeaderName, &'static str)],
) -> impl Fn(&Value) -> Result<FieldValues, Problem> {
    move |value| {
        let field = |name: &str, values: &Value| {
            let name = header_name(name)?;
            if let Some((_, parameter)) = own.iter().find(|(taken, _)| *taken == name) {
                return Err(Problem::here(format!("is said by `{parameter}`")));
            }
            let values = one_or_many(|value| {
                HeaderValue::from_str(text(value)?)
                    .map_err(|_| Problem::here("is not a header value"))
            })(values)?;
            Ok((name, values))
        };
        let object = Object::new(value)?;
        object
            .iter()
            .map(|(name, values)| field(name, values).map_err(|problem| problem.under(name)))
            .collect()
    }
}

/// The name of a field that does not frame the message.
pub(super) fn header_name(name: &str) -> Result<HeaderName, Problem> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Problem::here("is not a header name"))?;
    if FRAMING.contains(&name) {
        return Err(Problem::here(
            "is written by the proxy, as it frames the message",
        ));
    }
    Ok(name)
}

/// The form in which header fields are written.
pub(super) fn headers_value(fields: &FieldValues) -> Value {
    let members = fields.iter().map(|(name, values)| {
        (
            name.to_string(),
            single_or_list(values.iter().map(value_text)),
        )
    });
    Value::Object(members.collect::<Map<_, _>>())
}

/// A field's value as the text that it was read from, which may be any Unicode.
pub(super) fn value_text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// One field for each value.
pub(super) fn flat(fields: &FieldValues) -> impl Iterator<Item = Field> {
    fields
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| field(name, value)))
}

/// A field of a checked name and value.
pub(super) fn field(name: &HeaderName, value: &HeaderValue) -> Field {
    let value = Bytes::copy_from_slice(value.as_bytes());
    Field::new(name.as_str().to_owned(), value)
}
