//! `brownout requests`: see what the routes carried, one line a request.

use std::time::Duration;

use brownout_client::Client;
use brownout_wire::{RequestEnd, RequestList, RequestQuery, RequestRecord};
use tokio::time::sleep;

use super::to_json;
use crate::{
    args::{Output, RequestsArgs},
    exit::{Exit, Failure},
    print, show,
};

/// How often `--follow` asks for more.
const POLL: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: RequestsArgs) -> Result<Exit, Failure> {
    let client = args.api.client()?;
    let query = RequestQuery {
        route: args.route,
        fault: args.fault,
        open: args.open.then_some(true),
        after: None,
        limit: Some(args.limit),
    };
    if args.follow {
        return follow(&client, query, args.api.output).await;
    }
    let mut list = client.requests(&query).await?;
    list.requests.truncate(args.limit);
    args.api.print(&list, || {
        if list.requests.is_empty() {
            println!("no requests");
            return;
        }
        show::heading(&heading());
        for request in &list.requests {
            println!("{}", line(request, list.began_unix_us));
        }
    });
    Ok(Exit::Ok)
}

/// Shows requests as they end, until nobody reads any more.
async fn follow(client: &Client, query: RequestQuery, output: Output) -> Result<Exit, Failure> {
    let mut query = RequestQuery {
        open: Some(false),
        ..query
    };
    let mut list = client.requests(&query).await?;
    if output == Output::Text {
        show::heading(&heading());
    }
    query.limit = Some(RequestList::LIMIT_MAX);
    loop {
        for request in list.requests.iter().rev() {
            match output {
                Output::Text => println!("{}", line(request, list.began_unix_us)),
                Output::Json => println!("{}", to_json(request)),
            }
        }
        if print::is_closed() {
            return Ok(Exit::Ok);
        }
        if !list.more {
            sleep(POLL).await;
        }
        let after = list.next;
        query.after = Some(after);
        list = client.requests(&query).await?;
        if list.next < after {
            show::warning("the proxy was started again; its requests are shown from the first");
            query.after = Some(0);
            list = client.requests(&query).await?;
        }
        if list.lost > 0 {
            let lost = list.lost;
            show::warning(&format!(
                "{lost} requests made room for others before they could be shown"
            ));
        }
    }
}

/// Widths of the columns without the two blanks behind each: 80 columns in all.
const ROUTE: usize = 9;
const REQUEST: usize = 20;
const END: usize = 18;

fn heading() -> String {
    columns("TIME (UTC)", "ROUTE", "REQUEST", "CODE", "MS", "END")
}

/// A request on one line of at most 80 columns. What is too long is cut, and ends with `~`.
fn line(request: &RequestRecord, began_unix_us: u64) -> String {
    columns(
        &time_of_day(began_unix_us.saturating_add(request.t_head)),
        &request.route,
        &format!("{} {}", request.method, request.path),
        &request
            .status
            .map_or_else(|| "-".to_owned(), |status| status.to_string()),
        &took(request.age_us),
        &end(request),
    )
}

fn columns(time: &str, route: &str, request: &str, status: &str, took: &str, end: &str) -> String {
    let (route, request, end) = (cut(route, ROUTE), cut(request, REQUEST), cut(end, END));
    let line =
        format!("{time:<12}  {route:<ROUTE$}  {request:<REQUEST$}  {status:<4}  {took:>7}  {end}");
    line.trim_end().to_owned()
}

/// How it ended, and the faults that struck it.
fn end(request: &RequestRecord) -> String {
    let word = match request.end {
        RequestEnd::StillOpen => "open",
        RequestEnd::Answered => "answered",
        RequestEnd::UpstreamError => "upstream error",
        RequestEnd::BadRequest => "bad request",
        RequestEnd::Fault => "fault",
        RequestEnd::ClientFin => "client FIN",
        RequestEnd::ClientRst => "client RST",
        RequestEnd::ClientLeft => "client left",
    };
    match (request.end, request.faults.as_slice()) {
        (RequestEnd::Answered, [first, ..]) => format!("fault {first}"),
        (RequestEnd::Fault, faults) => {
            let by = request.ended_by.as_ref().or(faults.first());
            by.map_or_else(|| "fault (stream)".to_owned(), |id| format!("fault {id}"))
        }
        (_, []) => word.to_owned(),
        (_, [first, ..]) => format!("{word}, {first}"),
    }
}

fn took(micros: u64) -> String {
    let millis = Duration::from_micros(micros).as_secs_f64() * 1e3;
    match micros {
        0..10_000_000 => format!("{millis:.1}"),
        _ => format!("{millis:.0}"),
    }
}

pub(super) fn time_of_day(unix_micros: u64) -> String {
    let millis = unix_micros / 1_000 % 86_400_000;
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, millis) = (millis / 1_000 % 60, millis % 1_000);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}")
}

/// At most so many characters of it.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width - 1).collect();
    format!("{kept}~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_80_columns() {
        let long = "x".repeat(300);
        let line = columns("12:34:56.789", &long, &long, "503", "1234567", &long);

        assert_eq!(line.chars().count(), 80, "{line}");
    }

    #[test]
    fn a_time_of_day_has_milliseconds() {
        assert_eq!(time_of_day(784_111_777_123_456), "08:49:37.123");
    }

    #[test]
    fn what_took_long_is_told_without_decimals() {
        assert_eq!(
            (took(1_270), took(12_345_678)),
            ("1.3".to_owned(), "12346".to_owned())
        );
    }
}
