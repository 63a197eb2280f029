//! `brownout explain`: which faults look at a request, and why each acts or lets it pass.

use std::net::IpAddr;

use brownout_client::Client;
use brownout_wire::{
    ExplainAnswer, ExplainSpec, ExplainVerdict, ExplainedFault, ImaginedRequest, Protocol,
    RequestQuery,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    args::ExplainArgs,
    exit::{Exit, Failure},
};

pub(crate) async fn run(args: ExplainArgs) -> Result<Exit, Failure> {
    let client = args.api.client()?;
    let asked = match args.request.trim() {
        "last" => ExplainSpec::Recorded(last(&client, args.route.as_deref()).await?),
        word => match word.parse() {
            Ok(number) => {
                refuse_what_is_imagined(&args)?;
                ExplainSpec::Recorded(number)
            }
            Err(_) => ExplainSpec::Imagined(Box::new(imagined(&client, &args).await?)),
        },
    };
    let answer = client.explain(&asked).await?;
    args.api.print(&answer, || print(&answer));
    Ok(Exit::Ok)
}

/// A request that was carried came as it came.
fn refuse_what_is_imagined(args: &ExplainArgs) -> Result<(), Failure> {
    let given = [
        ("--route", args.route.is_some()),
        ("--header", !args.headers.is_empty()),
        ("--client", args.client.is_some()),
        ("--connection-seq", args.connection_seq != 1),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((flag, _)) => Err(usage(format!(
            "{flag} goes with a request that may come; number {} was carried, and its record says that",
            args.request.trim()
        ))),
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message.into())
}

/// The number of the request that ended last.
async fn last(client: &Client, route: Option<&str>) -> Result<u64, Failure> {
    let query = RequestQuery {
        route: route.map(str::to_owned),
        open: Some(false),
        limit: Some(1),
        ..RequestQuery::default()
    };
    let list = client.requests(&query).await?;
    let last = list.requests.first().map(|request| request.number);
    last.ok_or_else(|| Failure::new(Exit::Refused, "no request has ended yet".to_owned()))
}

async fn imagined(client: &Client, args: &ExplainArgs) -> Result<ImaginedRequest, Failure> {
    let (method, target) = match args.request.trim().split_once(' ') {
        Some((method, target)) => (method, target.trim()),
        None => ("GET", args.request.trim()),
    };
    let mut headers = headers(&args.headers)?;
    // An absolute URL names its host as well.
    let target = match target.split_once("://") {
        Some((_, rest)) => {
            let at = rest.find('/').unwrap_or(rest.len());
            let host = HeaderValue::from_str(&rest[..at]);
            let host = host.map_err(|_| usage(format!("`{target}` has no host")))?;
            headers.entry("host").or_insert(host);
            if at == rest.len() { "/" } else { &rest[at..] }
        }
        None => target,
    };
    if !target.starts_with('/') && target != "*" {
        return Err(usage(format!(
            "`{}` is no request; write it as 'GET /path', or give the number of one that was carried",
            args.request
        )));
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    Ok(ImaginedRequest {
        route: match &args.route {
            Some(route) => route.clone(),
            None => only_route(client).await?,
        },
        method: method.to_owned(),
        path: path.to_owned(),
        query,
        headers,
        client: args.client.unwrap_or_else(|| IpAddr::from([127, 0, 0, 1])),
        connection_seq: args.connection_seq,
    })
}

fn headers(written: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for word in written {
        let parsed = word.split_once(':').or_else(|| word.split_once('='));
        let parsed = parsed.and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) = parsed.ok_or_else(|| {
            usage(format!(
                "`--header {word}` is not of the form 'NAME: VALUE'"
            ))
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

async fn only_route(client: &Client) -> Result<String, Failure> {
    let routes = client.routes().await?;
    let http = routes.into_iter().filter(|it| it.protocol != Protocol::Tcp);
    let mut names: Vec<String> = http.map(|route| route.name).collect();
    match names.len() {
        1 => Ok(names.remove(0)),
        0 => Err(usage("there is no route that carries requests")),
        _ => Err(usage(format!(
            "there are several routes; say which with --route: {}",
            names.join(", ")
        ))),
    }
}

fn print(answer: &ExplainAnswer) {
    println!("{} {} on {}", answer.method, answer.path, answer.route);
    if let Some(record) = &answer.record {
        let status = record.status.map(|status| format!(", status {status}"));
        println!(
            "request {}: {}{}",
            record.number,
            record.end.word(),
            status.unwrap_or_default()
        );
    }
    println!();
    if answer.faults.is_empty() {
        println!("no fault is armed");
    }
    for fault in &answer.faults {
        println!("{:<10}  {} ({})", verdict(fault), fault.id, place(fault));
        println!("{:10}  {}", "", fault.why);
    }
}

fn place(fault: &ExplainedFault) -> String {
    match &fault.phase {
        Some(phase) => format!("{}, phase {phase}", fault.kind),
        None => fault.kind.clone(),
    }
}

fn verdict(fault: &ExplainedFault) -> &'static str {
    match (fault.acted, fault.verdict) {
        (Some(true), _) => "acted",
        (Some(false), _) => "passed",
        (None, ExplainVerdict::Acts) => "acts",
        (None, ExplainVerdict::ByChance) => "by chance",
        (None, ExplainVerdict::Passes) => "passes",
        (None, ExplainVerdict::Unknown) => "unknown",
    }
}
