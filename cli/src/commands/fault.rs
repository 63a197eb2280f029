//! `brownout fault`: start, see and end what goes wrong.

mod draft;
mod listing;

use std::time::Duration;

use brownout_client::ClientError;
use brownout_fault::{Fault, units::show_duration};
use brownout_wire::{FaultAnswer, FaultDraft, FaultList};
use serde_json::{Value, json};
use tokio::time::sleep;

use self::listing::{magnitude, print_faults, routes};
use crate::{
    args::{FaultArgs, FaultCommand, FaultFilter, Output},
    exit::{Exit, Failure},
    print, show,
};

/// How often `--watch` asks.
const WATCH: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: FaultArgs) -> Result<Exit, Failure> {
    let client = args.api.client()?;
    match &args.command {
        FaultCommand::Add(add) => {
            let fault = draft::spec(add)?;
            let curl = args.api.curl(&client, "POST", "/faults");
            let curl = format!("{curl} -d '{}'", shell_quoted(&fault.to_string()));
            if add.show {
                check(&fault, &add.kind)?;
                args.api.print(&fault, || print_forms(&fault, &curl));
                return Ok(Exit::Ok);
            }
            let armed = client.arm(&fault).await;
            let armed = armed.map_err(|error| named_by_flags(error, &add.kind))?;
            args.api.print(&armed, || {
                print_armed(&armed, &curl, &args.api.flags(&client));
            });
        }
        FaultCommand::Ls { filter, watch } => {
            let query = query(filter);
            loop {
                let faults = client.faults_where(&query).await?;
                let list = FaultList { faults };
                if *watch && args.api.output == Output::Text {
                    show::clear();
                }
                args.api
                    .print(&list, || print_faults(&list.faults, !query.is_empty()));
                if !watch || print::is_closed() {
                    break;
                }
                sleep(WATCH).await;
            }
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
        FaultCommand::Clear { filter } => {
            let removed = client.clear_where(&query(filter)).await?;
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

/// What `ls` and `clear` ask for.
fn query(filter: &FaultFilter) -> Vec<(&'static str, String)> {
    let FaultFilter {
        route,
        label,
        group,
        state,
    } = filter;
    let pairs = [
        ("route", route),
        ("label", label),
        ("group", group),
        ("state", state),
    ];
    let given = |(key, value): (_, &Option<String>)| value.clone().map(|value| (key, value));
    pairs.into_iter().filter_map(given).collect()
}

/// A refusal whose places are the flags of the command line.
fn named_by_flags(error: ClientError, kind: &str) -> Failure {
    let ClientError::Refused(mut problem) = error else {
        return error.into();
    };
    for error in &mut problem.errors {
        if let Some(flag) = draft::flag_of(&error.pointer, kind) {
            error.pointer = flag;
        }
    }
    ClientError::Refused(problem).into()
}

/// Whether the API would read the fault. What the proxy's routes can carry is for the proxy to say.
fn check(fault: &Value, kind: &str) -> Result<(), Failure> {
    let Err(problems) = FaultDraft::read(fault) else {
        return Ok(());
    };
    let told = problems.into_iter().map(|problem| {
        let place = draft::flag_of(&problem.pointer, kind).unwrap_or(problem.pointer);
        match place.is_empty() {
            true => problem.detail,
            false => format!("{place}: {}", problem.detail),
        }
    });
    let told: Vec<String> = told.collect();
    Err(Failure::new(Exit::Refused, told.join("\n")))
}

/// The same fault for other hands, not sent.
fn print_forms(fault: &Value, curl: &str) {
    println!("with curl:");
    println!("  {curl}");
    println!();
    println!("in a file:");
    for line in toml(fault).lines() {
        println!("  {line}");
    }
}

/// A fault as a `[[fault]]` of a file.
fn toml(fault: &Value) -> String {
    let mut lines = vec!["[[fault]]".to_owned()];
    let members = fault.as_object().into_iter().flatten();
    lines.extend(
        members.map(|(key, value)| {
            format!("{key} = {}", brownout_fault::reference::toml_value(value))
        }),
    );
    lines.join("\n")
}

fn print_armed(armed: &FaultAnswer, curl: &str, flags: &str) {
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
    println!("  {curl}");
    println!("to end it:");
    println!("  brownout fault rm {}{flags}", armed.id);
}

fn shell_quoted(text: &str) -> String {
    text.replace('\'', r"'\''")
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
                "    {:<15} {} ({}){default}",
                param.name, param.help, param.accepts
            );
        }
        println!("  example: {}", kind.example_fault());
        println!();
    }
}
