//! A request's place on its connection.

use serde_json::{Map, Value, json};

use crate::read::{Object, Problem, expected, shorten, whole};

/// Places of requests on their connections: 1 is the first request of a connection.
///
/// Written `">1"`, `">=2"`, `"<3"`, `"<=2"`, `"=1"`, as a whole number, or as `{"min": 2, "max": 5}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    min: u64,
    max: Option<u64>,
}

impl Places {
    /// The greatest place that can be named.
    pub const MAX: u64 = 1_000_000_000;

    /// Reads any of the forms.
    ///
    /// # Errors
    /// When it is none of them, or no request has such a place.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        let place = whole(1, Self::MAX);
        match value {
            Value::Number(_) => place(value).map(Self::only),
            Value::String(text) => Self::parse(text),
            Value::Object(_) => {
                let object = Object::new(value)?;
                object.only(&["min", "max"])?;
                let (min, max) = (
                    object.optional("min", &place)?,
                    object.optional("max", &place)?,
                );
                match (min, max) {
                    (None, None) => Err(Problem::here("needs `min` or `max`")),
                    (Some(min), Some(max)) if max < min => {
                        Err(Problem::at("max", format!("{max} is below min ({min})")))
                    }
                    (min, max) => Ok(Self {
                        min: min.unwrap_or(1),
                        max,
                    }),
                }
            }
            other => Err(expected(Self::FORMS, other)),
        }
    }

    const FORMS: &'static str = "a place such as \">1\" or \"=1\", counted from 1";

    fn only(place: u64) -> Self {
        Self {
            min: place,
            max: Some(place),
        }
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = || {
            let shown = shorten(text);
            Problem::here(format!("`{shown}` is not {}", Self::FORMS))
        };
        let digits = text.trim_start_matches(['<', '>', '=']);
        let (operator, digits) = (&text[..text.len() - digits.len()], digits.trim());
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let place: u64 = digits.parse().unwrap_or(u64::MAX);
        if place > Self::MAX {
            return Err(Problem::here(format!(
                "{} is outside 1 to {}",
                shorten(digits),
                Self::MAX
            )));
        }
        let places = match operator {
            "" | "=" => Self::only(place),
            ">" => Self {
                min: place + 1,
                max: None,
            },
            ">=" => Self {
                min: place.max(1),
                max: None,
            },
            "<" => Self {
                min: 1,
                max: Some(place.saturating_sub(1)),
            },
            "<=" => Self {
                min: 1,
                max: Some(place),
            },
            _ => return Err(wrong()),
        };
        if places.max == Some(0) {
            return Err(Problem::here(format!(
                "`{text}` fits no request; the first of a connection is 1"
            )));
        }
        Ok(places)
    }

    /// Whether the request with this number on its connection, from 0, is at one of them.
    pub(crate) fn has(self, number: u64) -> bool {
        let place = number.saturating_add(1);
        place >= self.min && self.max.is_none_or(|max| place <= max)
    }

    /// The form in which they are written.
    pub(crate) fn to_value(self) -> Value {
        match self.max {
            Some(max) if max == self.min => json!(format!("={max}")),
            Some(max) if self.min == 1 => json!(format!("<={max}")),
            None if self.min > 1 => json!(format!(">{}", self.min - 1)),
            None => json!(">=1"),
            Some(max) => {
                let members = [("min", self.min), ("max", max)];
                Value::Object(Map::from_iter(
                    members.map(|(key, n)| (key.to_owned(), json!(n))),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_written_back() {
        for (written, has, canonical) in [
            (json!(">1"), [false, true, true, true], json!(">1")),
            (json!(">=2"), [false, true, true, true], json!(">1")),
            (json!("=1"), [true, false, false, false], json!("=1")),
            (json!("2"), [false, true, false, false], json!("=2")),
            (json!(3), [false, false, true, false], json!("=3")),
            (json!("<3"), [true, true, false, false], json!("<=2")),
            (json!("<= 3"), [true, true, true, false], json!("<=3")),
            (
                json!({ "min": 2, "max": 3 }),
                [false, true, true, false],
                json!({ "min": 2, "max": 3 }),
            ),
            (json!({ "min": 2 }), [false, true, true, true], json!(">1")),
            (
                json!({ "max": 1 }),
                [true, false, false, false],
                json!("=1"),
            ),
            (json!(">=1"), [true, true, true, true], json!(">=1")),
        ] {
            let places = Places::read(&written).unwrap();
            assert_eq!(
                [0, 1, 2, 3].map(|number| places.has(number)),
                has,
                "{written}"
            );
            assert_eq!(places.to_value(), canonical);
            assert_eq!(Places::read(&canonical), Ok(places));
        }
    }

    #[test]
    fn what_fits_no_request_is_refused() {
        for (written, pointer) in [
            (json!("<1"), ""),
            (json!("=0"), ""),
            (json!(0), ""),
            (json!("=>2"), ""),
            (json!("second"), ""),
            (json!(">-1"), ""),
            (json!(">99999999999999999999"), ""),
            (json!(1.5), ""),
            (json!([1]), ""),
            (json!({}), ""),
            (json!({ "min": 3, "max": 2 }), "/max"),
            (json!({ "from": 3 }), "/from"),
        ] {
            let problem = Places::read(&written).unwrap_err();
            assert_eq!(problem.pointer, pointer, "{written}: {problem}");
        }
    }
}
