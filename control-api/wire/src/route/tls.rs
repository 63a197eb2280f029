//! TLS of a route, as it is written and shown. Files are told by their paths, as the proxy's process finds them.

use std::borrow::Cow;

use brownout_fault::read::{Object, Problem, boolean, text};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// TLS to the upstream: `upstream_tls` of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UpstreamTlsSpec {
    /// A PEM file with the certificates to trust; the system's if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A PEM file with the certificate to show to the upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// A PEM file with the key of `cert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name to ask for and to find in the certificate; the upstream's host if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Take any certificate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// What to offer with ALPN; `http/1.1` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<Vec<String>>,
}

impl UpstreamTlsSpec {
    const KEYS: [&'static str; 6] = ["ca", "cert", "key", "server_name", "insecure", "alpn"];

    /// Reads it. Whether the files are good is for the proxy to say.
    ///
    /// # Errors
    /// The first problem.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        Self::read_all(value).map_err(first)
    }

    /// As [`read`](Self::read).
    ///
    /// # Errors
    /// All problems, one for each key.
    pub fn read_all(value: &Value) -> Result<Self, Vec<Problem>> {
        let object = Object::new(value).map_err(|problem| vec![problem])?;
        let mut problems: Vec<Problem> = object.unknown(&Self::KEYS).collect();
        let read = Self {
            ca: keep(&mut problems, object.optional("ca", path)),
            cert: keep(&mut problems, object.optional("cert", path)),
            key: keep(&mut problems, object.optional("key", path)),
            server_name: keep(&mut problems, object.optional("server_name", owned)),
            insecure: keep(&mut problems, object.optional("insecure", boolean)).unwrap_or(false),
            alpn: keep(&mut problems, object.optional("alpn", texts)),
        };
        match problems.is_empty() {
            true => Ok(read),
            false => Err(problems),
        }
    }
}

/// TLS of a route's listener: `tls` of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub enum ListenerTlsSpec {
    /// `"off"`: none.
    Off,
    /// `"self"`: certificates of the proxy's own authority, for whatever name is asked.
    Own,
    /// `{ "cert": ..., "key": ... }`: certificates in files.
    Files {
        /// The certificate for clients that ask for none of the others.
        main: CertificateSpec,
        /// Certificates for other names.
        others: Vec<CertificateSpec>,
    },
}

/// A certificate and its key, in PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSpec {
    /// The certificate, and behind it those of its issuers.
    pub cert: String,
    /// Its key, not encrypted.
    pub key: String,
    /// The names for which it is shown; those in the certificate if left out.
    pub names: Option<Vec<String>>,
}

impl ListenerTlsSpec {
    /// Reads it.
    ///
    /// # Errors
    /// The first problem.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        Self::read_all(value).map_err(first)
    }

    /// As [`read`](Self::read).
    ///
    /// # Errors
    /// All problems, one for each key.
    pub fn read_all(value: &Value) -> Result<Self, Vec<Problem>> {
        match value.as_str() {
            Some("self") => return Ok(Self::Own),
            Some("off") => return Ok(Self::Off),
            Some(_) => {
                return Err(vec![Problem::here(
                    "is \"self\", \"off\", or an object with `cert` and `key`",
                )]);
            }
            None => {}
        }
        let object = Object::new(value).map_err(|problem| vec![problem])?;
        let known = ["cert", "key", "certificates"];
        let mut problems: Vec<Problem> = object.unknown(&known).collect();
        let cert = keep(&mut problems, object.required("cert", path).map(Some));
        let key = keep(&mut problems, object.required("key", path).map(Some));
        let others = object.optional("certificates", |value| {
            let list = value.as_array();
            let list = list.ok_or_else(|| brownout_fault::read::expected("a list", value))?;
            let read = list.iter().enumerate().map(|(index, item)| {
                CertificateSpec::read(item).map_err(|problem| problem.under(&index.to_string()))
            });
            read.collect::<Result<Vec<_>, _>>()
        });
        let others = keep(&mut problems, others);
        match (cert, key) {
            (Some(cert), Some(key)) if problems.is_empty() => Ok(Self::Files {
                main: CertificateSpec {
                    cert,
                    key,
                    names: None,
                },
                others: others.unwrap_or_default(),
            }),
            _ => Err(problems),
        }
    }

    /// The form in which it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Off => json!("off"),
            Self::Own => json!("self"),
            Self::Files { main, others } => {
                let mut value = main.to_value();
                if !others.is_empty() {
                    value["certificates"] = others.iter().map(CertificateSpec::to_value).collect();
                }
                value
            }
        }
    }
}

/// What was read; what is wrong goes to the others.
fn keep<T>(problems: &mut Vec<Problem>, read: Result<Option<T>, Problem>) -> Option<T> {
    read.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    })
}

fn first(problems: Vec<Problem>) -> Problem {
    let first = problems.into_iter().next();
    first.unwrap_or_else(|| Problem::here("is wrong"))
}

impl JsonSchema for ListenerTlsSpec {
    fn schema_name() -> Cow<'static, str> {
        "ListenerTls".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let path = json!({ "type": "string", "minLength": 1 });
        let names = json!({ "type": "array", "items": { "type": "string" } });
        let certificate = json!({
            "type": "object", "additionalProperties": false, "required": ["cert", "key"],
            "properties": { "cert": path, "key": path, "names": names },
        });
        let files = json!({
            "type": "object", "additionalProperties": false, "required": ["cert", "key"],
            "properties": {
                "cert": path, "key": path, "certificates": { "type": "array", "items": certificate },
            },
        });
        let any = json!({
            "anyOf": [{ "enum": ["self", "off"] }, files],
            "description": "certificates in PEM files, of the proxy's own authority, or none",
        });
        Schema::try_from(any).unwrap_or_default()
    }
}

impl From<ListenerTlsSpec> for Value {
    fn from(spec: ListenerTlsSpec) -> Self {
        spec.to_value()
    }
}

impl TryFrom<Value> for ListenerTlsSpec {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        Self::read(&value).map_err(|problem| problem.to_string())
    }
}

impl CertificateSpec {
    fn read(value: &Value) -> Result<Self, Problem> {
        let object = Object::new(value)?;
        object.only(&["cert", "key", "names"])?;
        Ok(Self {
            cert: object.required("cert", path)?,
            key: object.required("key", path)?,
            names: object.optional("names", texts)?,
        })
    }

    fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("cert".to_owned(), json!(self.cert));
        map.insert("key".to_owned(), json!(self.key));
        if let Some(names) = &self.names {
            map.insert("names".to_owned(), json!(names));
        }
        Value::Object(map)
    }
}

fn owned(value: &Value) -> Result<String, Problem> {
    text(value).map(str::to_owned)
}

fn path(value: &Value) -> Result<String, Problem> {
    match text(value)? {
        "" => Err(Problem::here("is the path of no file")),
        path => Ok(path.to_owned()),
    }
}

fn texts(value: &Value) -> Result<Vec<String>, Problem> {
    let list = value.as_array();
    let list = list.ok_or_else(|| brownout_fault::read::expected("a list of texts", value))?;
    let read = list.iter().enumerate();
    read.map(|(index, item)| owned(item).map_err(|problem| problem.under(&index.to_string())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_of_a_listener_reads_back_as_itself() {
        for value in [
            json!("self"),
            json!("off"),
            json!({ "cert": "a.pem", "key": "a.key" }),
            json!({ "cert": "a.pem", "key": "a.key", "certificates": [
                { "cert": "b.pem", "key": "b.key", "names": ["b.test", "*.b.test"] },
                { "cert": "c.pem", "key": "c.key" },
            ] }),
        ] {
            let spec = ListenerTlsSpec::read(&value).unwrap();
            assert_eq!(spec.to_value(), value);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (value, pointer) in [
            (json!("own"), ""),
            (json!(true), ""),
            (json!({ "cert": "a" }), "/key"),
            (json!({ "cert": "a", "key": "" }), "/key"),
            (
                json!({ "cert": "a", "key": "b", "certificates": [{ "cert": "c", "key": "d", "names": [1] }] }),
                "/certificates/0/names/0",
            ),
        ] {
            let problem = ListenerTlsSpec::read(&value).unwrap_err();
            assert_eq!(problem.pointer, pointer, "{problem}");
        }
        let problem = UpstreamTlsSpec::read(&json!({ "insecur": true })).unwrap_err();
        assert!(problem.detail.contains("did you mean `insecure`"));
    }
}
