//! `brownout events`: see what happens to faults, routes and leases, one line an event.

use brownout_wire::{EventRecord, RequestRecord, RouteStats};

use super::to_json;
use crate::{
    args::{EventsArgs, Output},
    exit::{Exit, Failure},
    print, show,
};

pub(crate) async fn run(args: EventsArgs) -> Result<Exit, Failure> {
    let client = args.api.client()?;
    let include: Vec<&str> = args.include.iter().map(|it| it.word()).collect();
    let mut events = client.events_with(args.after, &include).await?;
    let mut began_unix_us = 0;
    let mut shown = 0;
    while args.limit.is_none_or(|limit| shown < limit) {
        let Some(event) = events.next().await? else {
            show::warning("the proxy has ended the stream");
            break;
        };
        let is_told = !matches!(event.event.as_str(), EventRecord::CLOCK | EventRecord::LOST);
        shown += u64::from(is_told);
        began_unix_us = event.began_unix_us.unwrap_or(began_unix_us);
        match args.api.output {
            Output::Json => println!("{}", to_json(&event)),
            Output::Text => {
                if let Some(lost) = event.lost {
                    let what = match event.of.as_deref() {
                        Some(EventRecord::REQUEST) => "requests",
                        _ => "events",
                    };
                    show::warning(&format!("{lost} {what} made room for others"));
                } else if is_told {
                    println!("{}", line(&event, began_unix_us));
                }
            }
        }
        if print::is_closed() {
            break;
        }
    }
    Ok(Exit::Ok)
}

/// An event on one line.
fn line(event: &EventRecord, began_unix_us: u64) -> String {
    let time = super::requests::time_of_day(began_unix_us.saturating_add(event.t_us));
    let told = match (&event.request, &event.stats) {
        (Some(request), _) => Some(request_in_words(request)),
        (None, Some(stats)) => Some(stats_in_words(stats, event.over_us.unwrap_or(1_000_000))),
        (None, None) => None,
    };
    if let Some(told) = told {
        return format!("{time}  {:<18}  {told}", event.event);
    }
    let subjects = [&event.fault, &event.route, &event.lease];
    let subject = subjects.into_iter().flatten().next().cloned();
    let subject = subject.or_else(|| Some(event.faults.as_ref()?.join(", ")));
    let subject = subject.unwrap_or_default();
    let counted = event.counters.map(|counters| {
        let (struck, matched) = (counters.injected, counters.matched);
        format!("struck {struck} of {matched}")
    });
    let more = [event.kind.clone(), event.reason.clone(), counted];
    let words = std::iter::once(subject).chain(more.into_iter().flatten());
    let words = words.collect::<Vec<_>>().join("  ");
    let line = format!("{time}  {:<18}  {words}", event.event);
    line.trim_end().to_owned()
}

/// `web  GET /items  503  12ms  down`.
fn request_in_words(request: &RequestRecord) -> String {
    let status = request
        .status
        .map_or_else(|| request.end.word().to_owned(), |it| it.to_string());
    let mut words = vec![
        request.route.clone(),
        format!("{} {}", request.method, request.path),
        status,
        millis(request.age_us),
    ];
    if !request.faults.is_empty() {
        words.push(request.faults.join(", "));
    }
    words.join("  ")
}

/// `web  120/s  3 failed  mean 12ms  4 in flight`, a part for each route that did something.
fn stats_in_words(stats: &[RouteStats], over_us: u64) -> String {
    let moved = stats
        .iter()
        .filter(|it| it.requests > 0 || it.ended > 0 || it.in_flight > 0);
    let parts: Vec<String> = moved
        .map(|it| {
            let rate = it.requests as f64 * 1e6 / over_us.max(1) as f64;
            let mean = it
                .mean_us
                .map_or_else(String::new, |it| format!("  mean {}", millis(it)));
            format!(
                "{}  {rate:.0}/s  {} failed{mean}  {} in flight",
                it.route, it.errors, it.in_flight
            )
        })
        .collect();
    match parts.is_empty() {
        true => "no request".to_owned(),
        false => parts.join("; "),
    }
}

fn millis(micros: u64) -> String {
    format!("{:.1}ms", micros as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = EventRecord {
            event: "fault.removed".to_owned(),
            fault: Some("down".to_owned()),
            kind: Some("abort".to_owned()),
            reason: Some("lease".to_owned()),
            ..EventRecord::default()
        };

        assert_eq!(
            line(&event, 784_111_777_123_456),
            "08:49:37.123  fault.removed       down  abort  lease"
        );
    }

    #[test]
    fn a_second_of_routes_is_one_line() {
        let stats = |route: &str, requests: u64| RouteStats {
            route: route.to_owned(),
            requests,
            ended: requests,
            errors: 3,
            mean_us: Some(12_345),
            in_flight: 4,
            connections: 5,
        };
        let event = EventRecord {
            event: "stats".to_owned(),
            stats: Some(vec![stats("web", 240), RouteStats::default()]),
            over_us: Some(2_000_000),
            ..EventRecord::default()
        };

        assert_eq!(
            line(&event, 784_111_777_123_456),
            "08:49:37.123  stats               web  120/s  3 failed  mean 12.3ms  4 in flight"
        );
    }
}
