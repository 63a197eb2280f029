//! `brownout events`: see what happens to faults, routes and leases, one line an event.

use brownout_wire::EventRecord;

use super::to_json;
use crate::{
    args::{EventsArgs, Output},
    exit::{Exit, Failure},
    print, show,
};

pub(crate) async fn run(args: EventsArgs) -> Result<Exit, Failure> {
    let client = args.api.client()?;
    let mut events = client.events(args.after).await?;
    let mut began_unix_us = 0;
    let mut shown = 0;
    while args.limit.is_none_or(|limit| shown < limit) {
        let Some(event) = events.next().await? else {
            show::warning("the proxy has ended the stream");
            break;
        };
        shown += u64::from(event.seq.is_some());
        began_unix_us = event.began_unix_us.unwrap_or(began_unix_us);
        match args.api.output {
            Output::Json => println!("{}", to_json(&event)),
            Output::Text => {
                if let Some(lost) = event.lost {
                    show::warning(&format!("{lost} events made room for others"));
                } else if event.seq.is_some() {
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
}
