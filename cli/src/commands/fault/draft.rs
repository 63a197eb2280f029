//! The fault that the arguments of `brownout fault add` describe, as it is sent.

use brownout_fault::{Fault, inexact_number, read::shorten, unknown_kind};
use serde_json::{Map, Value, json};

use crate::{
    args::FaultAddArgs,
    exit::{Exit, Failure},
};

/// The fault that the arguments describe, as it is sent.
pub(super) fn spec(args: &FaultAddArgs) -> Result<Value, Failure> {
    let mut fault = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            fault.insert(key.to_owned(), value);
        }
    };
    let usage = |message: String| Failure::new(Exit::Usage, message);
    if !Fault::NAMES.contains(&args.kind.as_str()) {
        return Err(usage(unknown_kind(
            "kind of fault",
            &args.kind,
            Fault::NAMES,
        )));
    }
    let routes: Vec<&str> = args.route.split(',').map(str::trim).collect();
    put("id", args.id.as_ref().map(|id| json!(id)));
    put("route", Some(texts(&routes)));
    put(&args.kind, Some(params(&args.params).map_err(usage)?));

    put("layer", args.layer.as_ref().map(|layer| json!(layer)));
    put("direction", args.direction.as_ref().map(|it| json!(it)));

    let mut matching = match &args.matching {
        None => Map::new(),
        Some(written) => match serde_json::from_str(written) {
            Ok(Value::Object(members)) => members,
            Ok(_) | Err(_) => {
                let form = "is no JSON object, such as '{\"method\":\"GET\",\"path\":\"/v1/*\"}'";
                return Err(usage(format!("`--match {written}` {form}")));
            }
        },
    };
    let lists = [
        ("method", &args.methods),
        ("path", &args.paths),
        ("not_path", &args.not_paths),
        ("host", &args.hosts),
        ("client", &args.clients),
        ("grpc_method", &args.grpc_methods),
    ];
    for (key, words) in lists.into_iter().filter(|(_, words)| !words.is_empty()) {
        matching.insert(key.to_owned(), texts(words));
    }
    let fields = [
        ("header", &args.headers),
        ("query", &args.queries),
        ("cookie", &args.cookies),
        ("baggage", &args.baggage),
    ];
    for (key, words) in fields.into_iter().filter(|(_, words)| !words.is_empty()) {
        let named = named(key, words).map_err(usage)?;
        matching.insert(key.to_owned(), named);
    }
    if let Some(place) = &args.connection_seq {
        matching.insert("connection_seq".to_owned(), json!(place));
    }
    put(
        "match",
        (!matching.is_empty()).then_some(Value::Object(matching)),
    );
    let percent = args.percent.as_deref().map(scalar).transpose();
    put("percent", percent.map_err(usage)?);
    put("per", args.per.as_ref().map(|key| json!(key)));
    put("skip_first", args.skip_first.map(|n| json!(n)));
    put("every", args.every.map(|n| json!(n)));
    put("offset", args.offset.map(|n| json!(n)));
    put("limit", args.limit.map(|n| json!(n)));
    put("priority", args.priority.map(|n| json!(n)));
    put("max_active", args.max_active.map(|n| json!(n)));
    put("seed", args.seed.map(|n| json!(n)));
    put("group", args.group.as_ref().map(|name| json!(name)));
    let schedules = [
        ("ramp", &args.ramp),
        ("wave", &args.wave),
        ("nemesis", &args.nemesis),
        ("burst", &args.burst),
    ];
    for (key, written) in schedules {
        if let Some(written) = written {
            put(key, Some(pairs(written).map_err(usage)?));
        }
    }
    if !args.pulses.is_empty() {
        let pulses: Result<Vec<Value>, String> = args.pulses.iter().map(|one| pairs(one)).collect();
        put("pulses", Some(Value::Array(pulses.map_err(usage)?)));
    }
    put("start", args.start.as_ref().map(|span| json!(span)));
    put("ttl", args.ttl.as_ref().map(|span| json!(span)));
    put("stealth", args.stealth.then_some(json!(true)));
    put("note", args.note.as_ref().map(|note| json!(note)));
    put(
        "labels",
        (!args.labels.is_empty()).then(|| texts(&args.labels)),
    );
    put("owner", args.owner.as_ref().map(|owner| json!(owner)));
    put("lease", args.lease.as_ref().map(|lease| json!(lease)));
    Ok(Value::Object(fault))
}

/// Members written as NAME=PATTERN; one name may be given more than once.
fn named(flag: &str, words: &[String]) -> Result<Value, String> {
    let mut members: Map<String, Value> = Map::new();
    for word in words {
        let (name, pattern) = word
            .split_once('=')
            .ok_or_else(|| format!("`--{flag} {word}` is not of the form NAME=PATTERN"))?;
        match members.get_mut(name) {
            None => drop(members.insert(name.to_owned(), json!(pattern))),
            Some(Value::Array(patterns)) => patterns.push(json!(pattern)),
            Some(first) => *first = json!([first.clone(), pattern]),
        }
    }
    Ok(Value::Object(members))
}

/// Members written as `up=5m,down=1m`.
fn pairs(written: &str) -> Result<Value, String> {
    let words: Vec<String> = written
        .split(',')
        .map(|word| word.trim().to_owned())
        .collect();
    if let Some(word) = words.iter().find(|word| !word.contains('=')) {
        return Err(format!("`{word}` is not of the form KEY=VALUE"));
    }
    params(&words)
}

/// The waits in a file, one to a line, for a latency that draws from them. Empty lines do not count.
fn samples(path: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("could not read samples from `{path}`: {error}"))?;
    let lines = text.lines().map(str::trim);
    Ok(lines.filter(|line| !line.is_empty()).collect())
}

/// A kind's parameters: nothing, a single value, or KEY=VALUE pairs; a dot in a key goes one level down.
fn params(words: &[String]) -> Result<Value, String> {
    match words {
        [] => Ok(json!({})),
        [single] if !single.contains('=') || single.trim_start().starts_with('{') => scalar(single),
        pairs => {
            let mut params = json!({});
            for pair in pairs {
                let (path, value) = pair.split_once('=').ok_or_else(|| {
                    format!(
                        "`{pair}` is no KEY=VALUE, which every parameter must be where there are several: \
                         write it as status=503, for example (see: brownout fault kinds)"
                    )
                })?;
                let mut target = &mut params;
                for key in path.split('.') {
                    if !target.is_object() && !target.is_null() {
                        return Err(format!("`{pair}` goes into what is a single value before"));
                    }
                    target = &mut target[key];
                }
                *target = scalar(value)?;
                if path == "file" {
                    params["samples"] = samples(value)?;
                    params
                        .as_object_mut()
                        .map(|members| members.shift_remove("file"));
                }
            }
            Ok(params)
        }
    }
}

/// A number, a truth, an object or a list where it is one as JSON, a text otherwise.
fn scalar(word: &str) -> Result<Value, String> {
    match serde_json::from_str(word) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Object(_) | Value::Array(_))) => {
            exact(word, value)
        }
        _ => Ok(json!(word)),
    }
}

/// What was read from `text`, unless a number in it lost digits.
fn exact(text: &str, value: Value) -> Result<Value, String> {
    match inexact_number(text) {
        None => Ok(value),
        Some(number) => Err(format!(
            "the number {} has more digits than a 64-bit number keeps",
            shorten(number)
        )),
    }
}

fn texts(words: &[impl AsRef<str>]) -> Value {
    match words {
        [single] => json!(single.as_ref()),
        several => several.iter().map(AsRef::as_ref).collect(),
    }
}

/// The flag or word of the command line that sets the member at `pointer` of the fault.
pub(super) fn flag_of(pointer: &str, kind: &str) -> Option<String> {
    let mut parts = pointer.trim_start_matches('/').split('/');
    let (first, second) = (parts.next()?, parts.next());
    let flag = match (first, second) {
        ("ttl", _) => "--for".to_owned(),
        ("route", _) => "ROUTE".to_owned(),
        ("match", Some("connection_seq")) => "--connection-seq".to_owned(),
        ("match", Some(condition)) => format!("--{}", condition.replace('_', "-")),
        ("pulses", _) => "--pulse".to_owned(),
        ("labels", _) => "--label".to_owned(),
        (key, None) if key == kind => "VALUE".to_owned(),
        (key, Some(_)) if key == kind => {
            let path = pointer.trim_start_matches('/').split('/').skip(1);
            path.collect::<Vec<_>>().join(".")
        }
        (
            "percent" | "per" | "skip_first" | "every" | "offset" | "limit" | "start" | "layer"
            | "direction" | "priority" | "max_active" | "seed" | "group" | "ramp" | "wave"
            | "nemesis" | "burst" | "note" | "owner" | "lease" | "id" | "match" | "stealth",
            _,
        ) => format!("--{}", first.replace('_', "-")),
        _ => return None,
    };
    Some(flag)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command, FaultArgs, FaultCommand};

    fn sent(line: &str) -> Result<Value, Failure> {
        let args = Args::parse_from(line.split_whitespace());
        let Command::Fault(FaultArgs {
            command: FaultCommand::Add(add),
            ..
        }) = args.command
        else {
            panic!("{line} is no fault add");
        };
        spec(&add)
    }

    #[test]
    fn arguments_become_the_fault_that_curl_would_send() {
        let cases = [
            (
                "brownout fault add reset web",
                json!({ "route": "web", "reset": {} }),
            ),
            (
                "brownout fault add reset web --header x-user=7 --header x-user=8 --max-active 5",
                json!({
                    "route": "web", "reset": {}, "max_active": 5,
                    "match": { "header": { "x-user": ["7", "8"] } },
                }),
            ),
            (
                "brownout fault add abort web 503",
                json!({ "route": "web", "abort": 503 }),
            ),
            (
                "brownout fault add latency a,b min=5s max=10s -p 20 --for 2m",
                json!({
                    "route": ["a", "b"], "latency": { "min": "5s", "max": "10s" },
                    "percent": 20, "ttl": "2m",
                }),
            ),
            (
                "brownout fault add latency web 1s --per cookie:sid --not-path /healthz --client 10.0.0.0/8 \
                 --connection-seq >1 --cookie sid=a* --cookie sid=b --query q=* --host shop.example --every 2 --offset 1 --seed 7 \
                 --priority -1 --max-active 9 --group zone --ramp up=1m,of=value --pulse start=1s,for=2s \
                 --burst p_bad=0.1,p_good=0.5",
                json!({
                    "route": "web", "latency": "1s",
                    "match": {
                        "not_path": "/healthz", "host": "shop.example", "client": "10.0.0.0/8",
                        "query": { "q": "*" }, "cookie": { "sid": ["a*", "b"] },
                        "connection_seq": ">1",
                    },
                    "per": "cookie:sid", "every": 2, "offset": 1, "priority": -1, "max_active": 9,
                    "seed": 7, "group": "zone", "ramp": { "up": "1m", "of": "value" },
                    "burst": { "p_bad": 0.1, "p_good": 0.5 },
                    "pulses": [{ "start": "1s", "for": "2s" }],
                }),
            ),
            (
                "brownout fault add abort * status=429 headers.x-why=quota --path /v1/* --method GET \
                 --header x-user=user-7 --limit 5 --percent 1/1000 --stealth --id flaky",
                json!({
                    "id": "flaky", "route": "*",
                    "abort": { "status": 429, "headers": { "x-why": "quota" } },
                    "match": { "method": "GET", "path": "/v1/*", "header": { "x-user": "user-7" } },
                    "percent": "1/1000", "limit": 5, "stealth": true,
                }),
            ),
        ];
        for (line, wanted) in cases {
            let fault = sent(line).unwrap();
            assert_eq!(fault, wanted, "{line}");
            brownout_fault::FaultSpec::read(&fault).unwrap();
        }
    }

    #[test]
    fn a_misspelt_kind_names_the_right_one() {
        let failure = sent("brownout fault add latencey web 1s").unwrap_err();

        assert_eq!(
            failure.message,
            "unknown kind of fault `latencey`; did you mean `latency`?"
        );
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn a_number_that_would_lose_digits_is_refused() {
        for line in [
            "brownout fault add mutate web response.json_merge.id=12345678901234567890123",
            r#"brownout fault add mutate web response={"json_merge":{"id":12345678901234567890123}}"#,
            "brownout fault add truncate web fraction=0.10000000000000000001",
            "brownout fault add reset web --percent 19.999999999999999999",
        ] {
            let failure = sent(line).unwrap_err();

            assert!(
                failure.message.contains("more digits"),
                "{}",
                failure.message
            );
            assert_eq!(failure.exit, Exit::Usage);
        }
    }

    #[test]
    fn samples_come_from_a_file_of_this_machine() {
        let path = std::env::temp_dir().join(format!("samples-{}", std::process::id()));
        std::fs::write(&path, "12ms\n\n 1.5s \n").unwrap();

        let fault = sent(&format!(
            "brownout fault add latency web file={} times=2",
            path.display()
        ))
        .unwrap();

        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            fault["latency"],
            json!({ "samples": ["12ms", "1.5s"], "times": 2 })
        );
        let missing = sent("brownout fault add latency web file=/no/such/file").unwrap_err();
        assert_eq!(missing.exit, Exit::Usage);
    }

    #[test]
    fn the_reference_says_the_same_in_toml_as_in_json() {
        for kind in Fault::kinds() {
            let file: toml::Value = toml::from_str(&kind.toml()).unwrap();

            let read = serde_json::to_value(&file["fault"][0]).unwrap();

            assert_eq!(read, kind.example_fault(), "{}", kind.name);
        }
    }

    #[test]
    fn every_command_line_is_well_formed() {
        use clap::CommandFactory;

        Args::command().debug_assert();
    }
}
