//! `brownout fault`: start, see and end what goes wrong.

use brownout_client::Client;
use brownout_fault::{Fault, FaultSpec, inexact_number, read::shorten, units::show_duration};
use brownout_wire::{FaultAnswer, FaultList};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    args::{FaultAddArgs, FaultArgs, FaultCommand},
    exit::{Exit, Failure},
    show,
};

pub(crate) async fn run(args: FaultArgs) -> Result<Exit, Failure> {
    let client = args.api.client()?;
    match &args.command {
        FaultCommand::Add(add) => {
            let fault = spec(add)?;
            let armed = client.arm(&fault).await?;
            args.api
                .print(&armed, || print_armed(&fault, &armed, &client));
        }
        FaultCommand::Ls => {
            let faults = client.faults().await?;
            let list = FaultList { faults };
            args.api.print(&list, || print_faults(&list.faults));
        }
        FaultCommand::Show { id } => {
            let fault = client.fault(id).await?;
            args.api.print(&fault, || {
                println!("{:#}", super::to_json(&fault));
            });
        }
        FaultCommand::Rm { ids } => {
            // Each for itself: one that has expired meanwhile does not save the others.
            let mut failed = None;
            for id in ids {
                match client.remove_fault(id).await {
                    Ok(()) => args
                        .api
                        .print(&json!({ "removed": id }), || println!("removed {id}")),
                    Err(error) => failed = super::tell_all_but_one(failed, error.into()),
                }
            }
            if let Some(failure) = failed {
                return Err(failure);
            }
        }
        FaultCommand::Clear => {
            let removed = client.clear_faults().await?;
            args.api
                .print(&removed, || match removed.removed.as_slice() {
                    [] => println!("nothing was armed"),
                    ids => println!(
                        "removed {}: {}",
                        show::count(ids.len(), "fault"),
                        ids.join(", ")
                    ),
                });
        }
        FaultCommand::Kinds => {
            args.api
                .print(&brownout_fault::reference::kinds_value(), print_kinds);
        }
    }
    Ok(Exit::Ok)
}

/// The fault that the arguments describe, as it is sent.
fn spec(args: &FaultAddArgs) -> Result<Value, Failure> {
    let mut fault = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            fault.insert(key.to_owned(), value);
        }
    };
    let usage = |message: String| Failure::new(Exit::Usage, message);
    if !Fault::NAMES.contains(&args.kind.as_str()) {
        return Err(usage(brownout_fault::read::unknown(
            "kind of fault",
            &args.kind,
            Fault::NAMES,
        )));
    }
    let routes: Vec<&str> = args.route.split(',').map(str::trim).collect();
    put("id", args.id.as_ref().map(|id| json!(id)));
    put("route", Some(texts(&routes)));
    put(&args.kind, Some(params(&args.params).map_err(usage)?));

    let mut matching = Map::new();
    let lists = [
        ("method", &args.methods),
        ("path", &args.paths),
        ("not_path", &args.not_paths),
        ("host", &args.hosts),
        ("client", &args.clients),
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
        [single] if !single.contains('=') => scalar(single),
        pairs => {
            let mut params = json!({});
            for pair in pairs {
                let (path, value) = pair.split_once('=').ok_or_else(|| {
                    format!(
                        "`{pair}` is not of the form KEY=VALUE, such as status=503; only a single \
                         parameter may be given without its key (see: brownout fault kinds)"
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

/// A number or `true` or `false` where the word is one, a text otherwise.
fn scalar(word: &str) -> Result<Value, String> {
    match serde_json::from_str(word) {
        Ok(Value::Number(_)) if inexact_number(word).is_some() => Err(format!(
            "the number {} has more digits than a 64-bit number keeps",
            shorten(word)
        )),
        Ok(Value::Number(number)) => Ok(Value::Number(number)),
        Ok(Value::Bool(value)) => Ok(Value::Bool(value)),
        _ => Ok(json!(word)),
    }
}

fn texts(words: &[impl AsRef<str>]) -> Value {
    match words {
        [single] => json!(single.as_ref()),
        several => several.iter().map(AsRef::as_ref).collect(),
    }
}

fn print_armed(sent: &Value, armed: &FaultAnswer, client: &Client) {
    println!(
        "armed {} on {}: {}",
        armed.id,
        routes(&armed.spec),
        magnitude(&armed.spec)
    );
    match armed.spec.ttl {
        Some(ttl) => println!("it ends by itself after {}", show_duration(ttl)),
        None => println!("it stays until it is removed"),
    }
    println!();
    println!("the same with curl:");
    println!(
        "  curl -X POST {}/faults -d '{}'",
        client.base(),
        shell_quoted(&sent.to_string())
    );
    println!("to end it:");
    println!("  brownout fault rm {}{}", armed.id, control_flag(client));
}

fn control_flag(client: &Client) -> String {
    let address = client.base().trim_start_matches("http://");
    if address == brownout_control_api::ControlConfig::LISTEN {
        String::new()
    } else {
        format!(" --control {address}")
    }
}

fn shell_quoted(text: &str) -> String {
    text.replace('\'', r"'\''")
}

fn print_faults(faults: &[FaultAnswer]) {
    if faults.is_empty() {
        println!("nothing is armed; start an outage with: brownout fault add reset ROUTE");
        return;
    }
    let now = Timestamp::now();
    for fault in faults.iter().filter(|fault| fault.counters.overflow > 0) {
        let (id, passed) = (&fault.id, fault.counters.overflow);
        show::warning(&format!(
            "{id} let {passed} requests pass untouched: it holds at most {} at a time (max_active)",
            fault.spec.max_active
        ));
    }
    show::table(
        [
            "ID", "ROUTE", "WHAT", "PERCENT", "STATE", "INJECTED", "ACTIVE", "ENDS IN",
        ],
        faults.iter().map(|fault| {
            [
                fault.id.clone(),
                routes(&fault.spec),
                magnitude(&fault.spec),
                plain(&fault.spec.percent.to_value()),
                fault.state.name().to_owned(),
                fault.counters.injected.to_string(),
                fault.counters.active.to_string(),
                fault
                    .expires_at
                    .map_or("never".to_owned(), |end| rest(now, end)),
            ]
        }),
    );
}

/// The time that is left, in whole seconds.
fn rest(now: Timestamp, end: Timestamp) -> String {
    let seconds = end.duration_since(now).as_secs().max(0);
    show_duration(std::time::Duration::from_secs(
        u64::try_from(seconds).unwrap_or(0),
    ))
}

fn routes(spec: &FaultSpec) -> String {
    match &spec.route {
        brownout_fault::Routes::All => "*".to_owned(),
        brownout_fault::Routes::Named(names) => names.join(","),
    }
}

/// The kind with its parameters, short: `latency p50=120ms p99=900ms`.
fn magnitude(spec: &FaultSpec) -> String {
    let mut words = vec![spec.fault.name().to_owned()];
    if let Value::Object(params) = spec.fault.to_value() {
        let told = params.iter().filter(|(_, value)| **value != json!({}));
        words.extend(told.map(|(key, value)| format!("{key}={}", plain(value))));
    }
    words.join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn print_kinds() {
    for kind in Fault::kinds() {
        show::heading(kind.name);
        println!("  {}", kind.summary);
        for param in kind.params {
            let default = match param.default {
                "" => String::new(),
                default => format!(" [default: {default}]"),
            };
            println!(
                "    {:<14}{} ({}){default}",
                param.name, param.help, param.accepts
            );
        }
        println!("  example: {}", kind.example_fault());
        println!();
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

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
            FaultSpec::read(&fault).unwrap();
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
