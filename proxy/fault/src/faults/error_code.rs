//! Error codes of HTTP/2, as parameters.

use serde_json::{Value, json};

use super::Accepts;
use crate::{
    injection::ErrorCode,
    read::{Problem, one_of, whole},
};

/// What a parameter with an error code takes.
pub(super) const ACCEPTS: Accepts = Accepts::Any(&[
    Accepts::Words(ErrorCode::NAMES),
    Accepts::Whole(0, u32::MAX as u64),
]);

/// When alone a kind of HTTP/2 acts, behind "only".
pub(super) const ON_HTTP2: &str = "if it comes over HTTP/2";

/// A name of RFC 9113 §7, or any number that fits.
pub(super) fn error_code(value: &Value) -> Result<ErrorCode, Problem> {
    if value.is_number() {
        let code = whole(0, u32::MAX.into())(value)?;
        return Ok(ErrorCode(u32::try_from(code).unwrap_or(u32::MAX)));
    }
    let name = one_of("error code", ErrorCode::NAMES)(value)?;
    let place = ErrorCode::NAMES.iter().position(|it| *it == name);
    Ok(ErrorCode(
        place
            .and_then(|place| u32::try_from(place).ok())
            .unwrap_or(0),
    ))
}

pub(super) fn to_value(code: ErrorCode) -> Value {
    code.name()
        .map_or_else(|| json!(code.0), |name| json!(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_name_or_a_number() {
        assert_eq!(
            error_code(&json!("REFUSED_STREAM")),
            Ok(ErrorCode::REFUSED_STREAM)
        );
        assert_eq!(error_code(&json!(8)).map(to_value), Ok(json!("CANCEL")));
        assert_eq!(
            error_code(&json!(4_000_000_000_u32)).map(to_value),
            Ok(json!(4_000_000_000_u32))
        );
        for wrong in [
            json!("REFUSED"),
            json!(-1),
            json!(4_294_967_296_u64),
            json!(true),
        ] {
            assert!(error_code(&wrong).is_err(), "{wrong}");
        }
    }
}
