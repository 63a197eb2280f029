//! The reference of all kinds, made from the registry: for people as a page, for programs as a value.

use serde_json::{Map, Value, json};

use crate::{
    faults::{Fault, KindInfo, NOT_YET, Param, object},
    stream::Layer,
};

impl KindInfo {
    /// The fault of its example on the route `web`, or `db` when it acts on connections only, as it is sent.
    ///
    /// # Panics
    /// When the example is no JSON; a test reads all of them.
    #[must_use]
    pub fn example_fault(&self) -> Value {
        let value: Value = serde_json::from_str(self.example).expect("examples are JSON");
        let mut fault = Map::new();
        let route = if self.layers.contains(&Layer::Request) {
            "web"
        } else {
            "db"
        };
        fault.insert("route".to_owned(), json!(route));
        fault.insert(self.name.to_owned(), value);
        Value::Object(fault)
    }

    /// A line for the shell that arms its example.
    #[must_use]
    pub fn curl(&self) -> String {
        format!(
            "curl -X POST localhost:8474/faults -d '{}'",
            self.example_fault()
        )
    }

    /// Its example as lines of a TOML file.
    #[must_use]
    pub fn toml(&self) -> String {
        let fault = self.example_fault();
        format!(
            "[[fault]]\nroute = {}\n{} = {}",
            fault["route"],
            self.name,
            toml_value(&fault[self.name])
        )
    }

    /// The JSON Schema (draft 2020-12) of the value of its key.
    ///
    /// It knows every parameter by itself. What goes together and how long or large a thing may be is left to the
    /// reader of the fault, which has the last word: what the schema refuses is never read.
    #[must_use]
    pub fn schema(&self) -> Value {
        let describe = |param: &Param| {
            let mut schema = param.accepts.schema();
            let (accepts, help) = (param.accepts, param.help);
            schema["title"] = json!(param.name);
            schema["description"] = json!(format!("{accepts}: {help}"));
            schema
        };
        let of = |param: &Param| (param.name, describe(param));
        let parameters = object(self.params.iter().map(of));
        let bare = self
            .params
            .iter()
            .find(|param| param.name == self.shorthand);
        let mut schema = match bare {
            Some(param) => json!({ "anyOf": [parameters, param.accepts.schema()] }),
            None => parameters,
        };
        schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
        schema["title"] = json!(self.name);
        schema["description"] = json!(self.summary);
        schema
    }

    /// Everything about it, for programs.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let param = |param: &Param| {
            let default = match param.default {
                "" => Value::Null,
                default => json!(default),
            };
            json!({
                "name": param.name,
                "accepts": param.accepts.to_string(),
                "default": default,
                "help": param.help,
            })
        };
        let params: Vec<Value> = self.params.iter().map(param).collect();
        json!({
            "name": self.name,
            "summary": self.summary,
            "phase": self.phase.name(),
            "layers": self.layers.iter().map(|layer| layer.name()).collect::<Vec<_>>(),
            "params": params,
            "schema": self.schema(),
            "example": self.example_fault(),
            "curl": self.curl(),
            "toml": self.toml(),
        })
    }
}

/// A value as TOML writes it on one line.
#[must_use]
pub fn toml_value(value: &Value) -> String {
    match value {
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| {
                let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
                let key = if key.chars().all(bare) {
                    key.clone()
                } else {
                    json!(key).to_string()
                };
                format!("{key} = {}", toml_value(value))
            });
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_value).collect();
            format!("[{}]", items.join(", "))
        }
        // JSON's texts, numbers and truths are TOML's as well, for what examples hold.
        other => other.to_string(),
    }
}

/// All kinds, for programs: what `GET /faults/kinds` answers.
#[must_use]
pub fn kinds_value() -> Value {
    let kinds: Vec<Value> = Fault::kinds().iter().map(KindInfo::to_value).collect();
    let not_yet: Map<String, Value> = NOT_YET
        .iter()
        .map(|(name, reason)| ((*name).to_owned(), json!(reason)))
        .collect();
    json!({ "kinds": kinds, "not_yet": not_yet })
}

/// The reference page, in Markdown.
#[must_use]
pub fn page() -> String {
    let kinds = Fault::kinds();
    let row = |kind: &KindInfo| {
        let (name, phase, summary) = (kind.name, kind.phase.name(), kind.summary);
        let layers = kind.layers.iter().map(|layer| layer.name());
        let layers = layers.collect::<Vec<_>>().join(", ");
        format!("| [`{name}`](#{name}) | {layers} | {phase} | {summary} |\n")
    };
    let not_yet = |(name, reason): &(&str, &str)| format!("- `{name}`: {reason}\n");
    [
        INTRODUCTION.to_owned(),
        kinds.iter().map(row).collect(),
        kinds.iter().map(section).collect(),
        NOT_YET_INTRODUCTION.to_owned(),
        NOT_YET.iter().map(not_yet).collect(),
    ]
    .concat()
}

const INTRODUCTION: &str = "\
# Faults

<!-- Made from the registry of kinds; a test compares it. To write it anew:
     BROWNOUT_WRITE=1 cargo test -p brownout-fault the_reference_page_is_up_to_date -->

A fault names one kind and where it applies. `GET /faults/kinds` and `brownout fault kinds` say the same as this page.
Fields that every kind has, such as `match` and `percent`, are described in [matching and schedules](matching.md).

Faults act in the order of their phases. Inside a phase the one with the higher `priority` comes first, then the one that
was made first. Delays add up, and changes and shapes of a body combine in that order. At most one fault ends an exchange.

A fault that matched but did nothing is counted as `skipped`, and does not use up its `limit`. That is so when

- its `percent`, `skip_first` or `every` passes the request by;
- another fault has ended the exchange before;
- the upstream gives no answer, or the client leaves, before it can act;
- it has nothing to act on: a body fault on an answer without content, a `reset`, `truncate` or `stall` behind the end of the
  body, damage that hits no byte, a `bandwidth` or `dribble` that holds no byte back, a `mutate` that changes nothing.

If the length is not known beforehand (chunked), an ending right at the end of the content acts, because it cuts off the last
chunk. A `clean` ending there does not.

Bodies are damaged and cut as they are on the wire: compressed bodies are not unpacked. A JSON edit leaves them as they are.

A kind with the layer `stream` also acts on the connections of `tcp` routes: on the bytes of one `direction`,
`\"upstream\"` (from the client) or `\"downstream\"` (to the client, the default). There a fault draws once for each
connection and keeps that draw, its counters count connections, and `match` can only use `client`. A fault begins and ends to
act on an open connection between two chunks. When it is removed, the bytes that it holds are sent, in order. A fault that a
route cannot carry is refused.

With `layer: \"stream\"` such a kind acts in the same way on an `http` route: on the raw bytes between clients and proxy, heads
included, on open and on new connections. Without `layer` a fault acts on the requests of `http` routes and on the
connections of `tcp` routes. A client whose connection such a fault cuts is not counted as one that left.

| kind | layers | phase | what it does |
|---|---|---|---|
";

const NOT_YET_INTRODUCTION: &str = "
## Not yet

These are refused with 422 and the reason.

";

fn section(kind: &KindInfo) -> String {
    let summary = kind.summary.split_at(1);
    let summary = format!("{}{}", summary.0.to_ascii_uppercase(), summary.1);
    let row = |param: &Param| {
        let default = match param.default {
            "" => "–",
            default => default,
        };
        let (name, accepts, help) = (param.name, param.accepts, param.help);
        format!("| `{name}` | {accepts} | {default} | {help} |\n")
    };
    let rows: String = kind.params.iter().map(row).collect();
    let table = match rows.as_str() {
        "" => String::new(),
        rows => format!("| parameter | accepts | default | meaning |\n|---|---|---|---|\n{rows}\n"),
    };
    let (name, curl, toml) = (kind.name, kind.curl(), kind.toml());
    let stream = match kind.stream {
        "" => String::new(),
        stream => format!("On a connection: {stream}.\n\n"),
    };
    format!(
        "\n## {name}\n\n{summary}.\n\n{stream}{table}```sh\n{curl}\n```\n\n```toml\n{toml}\n```\n"
    )
}
