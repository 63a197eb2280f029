//! `brownout proxy`: stand between services and their upstreams.

mod print_ready;
mod route_words;

use std::{
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
};

use brownout_control_api::{ControlConfig, Reloaded, Wanted};
use brownout_fault::units::show_duration;
use brownout_proxy::{GatewayConfig, NewRoute};
use serde_json::json;

pub(crate) use self::route_words::{one_route, parse_routes};

use self::print_ready::reachable;
use crate::{
    args::{Output, ProxyArgs},
    child::{Child, ChildOutput},
    config::Config,
    control_settings::{ControlSettings, listener_tls, state_directory},
    exit::{Exit, Failure},
    instance::{Instance, Plan},
    show,
    signals::{Order, Stop},
    telemetry,
    watched_file::WatchedFile,
};

pub(crate) async fn run(args: ProxyArgs) -> Result<Exit, Failure> {
    // Before it is read, so that no change in between is missed.
    let watched = args.config.as_deref().map(WatchedFile::new);
    let asked = Asked::read(&args)?;
    let stop = Stop::listen()?;
    let started = telemetry::start(args.telemetry.clone(), asked.config.telemetry.clone())?;
    let (telemetry, service) = started.of_one(Plan::SERVICE);
    let settings = ControlSettings::read(&args.control, &asked.config.control)?;
    let plan = plan(&args, &asked, settings, service);
    let (seed, allow_hosts) = (plan.seed, plan.allow_hosts.clone());
    let (drain, output) = (plan.drain, asked.output(&args));
    let instance = Instance::start(plan, telemetry)?;
    let runs_a_command = !args.command.is_empty();
    match output {
        Output::Text if runs_a_command => print_ready::beside(&instance),
        Output::Text => print_ready::text(&instance, seed, &allow_hosts),
        Output::Json => print_ready::json(&instance),
    }
    let mut asked = asked;
    let mut obey = |order| match order {
        Order::Halt => instance.halt(),
        Order::Reload => reload(&instance, &args, output, &mut asked),
    };
    let exit = if runs_a_command {
        let routes = instance.routes().iter();
        let routes = routes.filter_map(|it| {
            let listen = it.listen.tcp()?;
            Some((it.name.clone(), it.scheme().to_owned(), listen))
        });
        let routes: Vec<_> = routes.collect();
        let mut variables = route_variables(instance.control(), &routes)?;
        if let (Some(ca), Some((_, control))) = (instance.control_ca(), variables.first_mut()) {
            control.insert_str(0, "https://");
            variables.push(("BROWNOUT_CA".to_owned(), ca.display().to_string()));
        }
        let mut child = Child::start(&args.command, &variables, ChildOutput::Ours)?;
        tokio::select! {
            exit = child.ended() => exit,
            asked = stop.asked_while_following(watched, obey) => child.stop(asked).await,
        }
    } else {
        stop.asked_while_following(watched, &mut obey).await;
        Exit::Ok
    };
    if output == Output::Text && !runs_a_command {
        println!(
            "stopping: requests in progress may take {} to end; Ctrl-C again stops at once",
            show_duration(drain)
        );
    }
    instance.stop();
    Ok(exit)
}

/// What file and command line ask for.
#[derive(Debug)]
struct Asked {
    config: Config,
    more_routes: Vec<NewRoute>,
}

impl Asked {
    fn read(args: &ProxyArgs) -> Result<Self, Failure> {
        let more_routes = parse_routes(&args.routes)?;
        let config = match &args.config {
            Some(path) => Config::read(path, &more_routes)?,
            None => Config::default(),
        };
        Ok(Self {
            config,
            more_routes,
        })
    }

    /// How the start and what comes of reading again is told.
    fn output(&self, args: &ProxyArgs) -> Output {
        let said = args.output.or(self.config.process.output);
        said.unwrap_or_default()
    }

    fn wanted(&self) -> Wanted {
        let routes = self.config.routes.iter().chain(&self.more_routes);
        Wanted {
            routes: routes.cloned().collect(),
            faults: self.config.faults.clone(),
        }
    }
}

/// Puts arguments and file together; what is said on the command line wins.
fn plan(args: &ProxyArgs, asked: &Asked, settings: ControlSettings, service: String) -> Plan {
    let config = &asked.config;
    let control = args.control.listen.as_ref();
    let control = control.or(config.control.listen.as_ref());
    let allow_hosts = args.control.allow_hosts.iter();
    Plan {
        control: control.map_or_else(|| ControlConfig::LISTEN.to_owned(), Clone::clone),
        insecure: args.control.insecure || config.control.insecure,
        settings,
        allow_hosts: allow_hosts
            .chain(&config.control.allow_hosts)
            .cloned()
            .collect(),
        seed: args.seed.or(config.seed).unwrap_or_else(new_seed),
        connections_max: config
            .connections_max
            .unwrap_or(GatewayConfig::CONNECTIONS_MAX),
        evidence_capacity: config
            .evidence_capacity
            .unwrap_or(GatewayConfig::JOURNAL_CAPACITY),
        wanted: asked.wanted(),
        drain: args.drain.or(config.process.drain).unwrap_or(Plan::DRAIN),
        state_directory: state_directory(
            (args.state_dir.as_deref()).or(config.process.state_dir.as_deref()),
        ),
        service,
    }
}

/// Reads the file again: all of it is applied or nothing. It says what has changed.
fn reload(instance: &Instance, args: &ProxyArgs, output: Output, asked: &mut Asked) {
    if args.config.is_none() && args.control.tls.is_none() {
        tracing::warn!("SIGHUP: there is no file to read again");
        return;
    }
    let read = Asked::read(args).and_then(|new| {
        let tls = listener_tls(&args.control, &new.config.control)?;
        Ok((new, tls))
    });
    let reloaded = read.and_then(|(new, tls)| match instance.reload(&new.wanted(), tls) {
        Ok(reloaded) => Ok((new, reloaded)),
        Err(error) => Err(Failure::new(Exit::Refused, error)),
    });
    let shown = args.config.as_ref().map_or_else(
        || "--control-tls".to_owned(),
        |path| path.display().to_string(),
    );
    match reloaded {
        Ok((new, reloaded)) => {
            let old = std::mem::replace(asked, new);
            let stays = asked.config.has_the_settings_of(&old.config);
            match output {
                Output::Text => println!("`{shown}` was read again; {reloaded}"),
                Output::Json => println!("{}", reloaded_json(&reloaded)),
            }
            if !stays {
                show::warning(&format!(
                    "`{shown}`: routes and faults are applied at once; everything else takes effect at the next start"
                ));
            }
        }
        Err(failure) => {
            if output == Output::Json {
                println!(
                    "{}",
                    json!({ "event": "reload_refused", "error": failure.message })
                );
            }
            show::error(&format!("nothing was changed: {}", failure.message));
        }
    }
}

fn reloaded_json(reloaded: &Reloaded) -> serde_json::Value {
    json!({
        "event": "reloaded",
        "routes": {
            "added": reloaded.routes_added, "changed": reloaded.routes_changed,
            "removed": reloaded.routes_removed,
        },
        "faults": {
            "armed": reloaded.faults_armed, "changed": reloaded.faults_changed,
            "removed": reloaded.faults_removed,
        },
    })
}

/// Where the command finds each route, given as name, protocol and address, and the control API.
pub(crate) fn route_variables(
    control: SocketAddr,
    routes: &[(String, String, SocketAddr)],
) -> Result<Vec<(String, String)>, Failure> {
    let mut variables = vec![(
        "BROWNOUT_CONTROL".to_owned(),
        reachable(control).to_string(),
    )];
    for (name, protocol, listen) in routes {
        let plain = |c: char| match c.is_ascii_alphanumeric() {
            true => c.to_ascii_uppercase(),
            false => '_',
        };
        let name: String = name.chars().map(plain).collect();
        let name = format!("BROWNOUT_ROUTE_{name}_URL");
        if variables.iter().any(|(other, _)| *other == name) {
            return Err(Failure::new(
                Exit::Usage,
                format!("two routes would be told to the command as {name}; give one another name"),
            ));
        }
        let url = format!("{protocol}://{}", reachable(*listen));
        variables.push((name, url));
    }
    Ok(variables)
}

/// A seed of this process's own, short enough to be typed again.
pub(crate) fn new_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) % 1_000_000
}
