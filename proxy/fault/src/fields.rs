//! Header fields, whatever a message keeps them in.

use std::{fmt, ops::ControlFlow};

use http::HeaderMap;

/// The header fields of one message.
///
/// A decision only reads fields through this trait, so the proxy can decide on the bytes of a head without making a map.
/// Names that are asked for are in lower case; the names of a message may have any case (RFC 9110 §5.1).
pub trait Fields: fmt::Debug {
    /// Calls `visit` with the name and value of each field, until it breaks. The fields come in the order of the message
    /// as far as the implementation keeps it: those of one name always do.
    fn walk<'f>(&'f self, visit: &mut dyn FnMut(&'f [u8], &'f [u8]) -> ControlFlow<()>);

    /// Calls `visit` with the value of each field of this name, in order, until it breaks.
    fn walk_named<'f>(&'f self, name: &str, visit: &mut dyn FnMut(&'f [u8]) -> ControlFlow<()>) {
        self.walk(&mut |found, value| {
            if found.eq_ignore_ascii_case(name.as_bytes()) {
                visit(value)
            } else {
                ControlFlow::Continue(())
            }
        });
    }

    /// The value of the first field of this name.
    fn first<'f>(&'f self, name: &str) -> Option<&'f [u8]> {
        let mut first = None;
        self.walk_named(name, &mut |value| {
            first = Some(value);
            ControlFlow::Break(())
        });
        first
    }
}

/// Whether a request with these fields is a call of gRPC: its content type is `application/grpc`, maybe with more behind.
pub(crate) fn is_grpc(fields: &dyn Fields) -> bool {
    let content_type = fields.first("content-type");
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

impl dyn Fields + '_ {
    /// Whether the value of some field of this name passes `test`.
    pub fn any<'f>(&'f self, name: &str, mut test: impl FnMut(&'f [u8]) -> bool) -> bool {
        let mut passed = false;
        self.walk_named(name, &mut |value| {
            passed = test(value);
            if passed {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        passed
    }

    /// Whether there is a field of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }
}

/// A map keeps the order of the values of one name, and forgets the order between names.
impl Fields for HeaderMap {
    fn walk<'f>(&'f self, visit: &mut dyn FnMut(&'f [u8], &'f [u8]) -> ControlFlow<()>) {
        for (name, value) in self {
            if visit(name.as_str().as_bytes(), value.as_bytes()).is_break() {
                return;
            }
        }
    }

    fn walk_named<'f>(&'f self, name: &str, visit: &mut dyn FnMut(&'f [u8]) -> ControlFlow<()>) {
        for value in self.get_all(name) {
            if visit(value.as_bytes()).is_break() {
                return;
            }
        }
    }

    fn first<'f>(&'f self, name: &str) -> Option<&'f [u8]> {
        self.get(name).map(http::HeaderValue::as_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields as they were written.
    #[derive(Debug)]
    struct Written(&'static [(&'static str, &'static str)]);

    impl Fields for Written {
        fn walk<'f>(&'f self, visit: &mut dyn FnMut(&'f [u8], &'f [u8]) -> ControlFlow<()>) {
            for (name, value) in self.0 {
                if visit(name.as_bytes(), value.as_bytes()).is_break() {
                    return;
                }
            }
        }
    }

    #[test]
    fn a_name_is_found_in_any_case_and_its_values_in_order() {
        let written = Written(&[("Via", "a"), ("host", "x"), ("VIA", "b"), ("via", "c")]);
        let mut map = HeaderMap::new();
        for (name, value) in written.0 {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, http::HeaderValue::from_static(value));
        }
        for fields in [&written as &dyn Fields, &map] {
            let mut values = Vec::new();
            let found = fields.any("via", |value| {
                values.push(value);
                value == b"b"
            });

            assert!(found);
            assert_eq!(values, [b"a", b"b"], "it ends with the first that passes");
            assert_eq!(fields.first("via"), Some(&b"a"[..]));
            assert_eq!(fields.first("not a name"), None);
            assert!(fields.has("host") && !fields.has("cookie"));
        }
    }
}
