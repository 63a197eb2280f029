//! The real binary, started as a user starts it.

#![expect(clippy::unwrap_used, reason = "tests: a failure is a panic")]

mod audit_command;
mod command_behind;
mod compose_files;
mod configuration;
mod control_tls;
mod demo_command;
mod demo_tls;
mod demo_trace;
mod documents;
mod environment;
mod events_command;
mod explain_command;
mod fault_commands;
mod fault_flags;
mod fault_table;
mod first_user;
mod laws;
mod library_command;
mod library_usage;
mod logging;
mod policy_command;
mod proxy_command;
mod requests_command;
mod route_options;
mod run_command;
mod settings;
mod signals;
mod simulate_command;
mod sweep_command;
mod tls_command;
mod toxiproxy_command;
mod toxiproxy_page;

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
};

use brownout_testkit::within;
use serde_json::Value;

/// The command, quiet about the environment of whoever runs the tests.
fn brownout(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brownout"));
    command
        .args(args)
        .env_remove("GITHUB_STEP_SUMMARY")
        .env_remove("GITHUB_ACTIONS")
        .env_remove("GITHUB_SHA")
        .env("NO_COLOR", "1");
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        if shown.starts_with("OTEL_") || shown.starts_with("BROWNOUT_") {
            command.env_remove(name);
        }
    }
    command
}

/// What a command that ends by itself prints, and how it ends.
fn run(args: &[&str]) -> Ran {
    Ran(brownout(args).output().unwrap())
}

struct Ran(Output);

impl Ran {
    fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// Its output, if it ended well.
    fn ok(&self) -> String {
        assert_eq!(self.code(), 0, "{}{}", self.out(), self.err());
        self.out()
    }
}

/// A server of ours as a process. It is killed when it is dropped.
struct Server {
    process: Child,
    stdout: BufReader<ChildStdout>,
    ready: Value,
}

impl Server {
    /// Starts it and waits for its first line, which is JSON.
    fn start(args: &[&str]) -> Self {
        Self::start_quietly(args).ready()
    }

    /// Waits for its first line, which is JSON.
    fn ready(mut self) -> Self {
        let line = self.line();
        self.ready =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        self
    }

    /// Starts it with its control API on a free port.
    fn on_a_free_port(args: &[&str]) -> Self {
        Self::start(&[args, &["--control", "127.0.0.1:0", "--output", "json"]].concat())
    }

    /// As [`on_a_free_port`](Self::on_a_free_port), with these variables set.
    fn with_environment(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let args = [args, &["--control", "127.0.0.1:0", "--output", "json"]].concat();
        let mut command = brownout(&args);
        command.envs(variables.iter().copied());
        Self::spawn(command).ready()
    }

    /// Starts it and waits for nothing.
    fn start_quietly(args: &[&str]) -> Self {
        Self::spawn(brownout(args))
    }

    /// Starts it with this as its input and waits for nothing.
    fn spawn_with(mut command: Command, stdin: Stdio) -> Self {
        command.stdin(stdin);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            stdout,
            ready: Value::Null,
        }
    }

    /// The next line that it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn control(&self) -> String {
        self.ready["control"].as_str().unwrap().to_owned()
    }

    /// What `brownout WHAT ls --output json` says of it: of `route` or `fault`.
    fn listed(&self, what: &str) -> serde_json::Value {
        let listed = run(&[what, "ls", "--output", "json", "--control", &self.control()]).ok();
        serde_json::from_str(&listed).unwrap()
    }

    fn route(&self, name: &str) -> SocketAddr {
        self.ready["routes"][name]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end. What it printed since its first line, and how it ended.
    async fn ended(self) -> (String, ExitStatus) {
        // On a thread of its own: clients and upstreams of the test go on meanwhile.
        let waiting = tokio::task::spawn_blocking(move || self.wait());
        within("the server to end", waiting).await.unwrap()
    }

    fn wait(mut self) -> (String, ExitStatus) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (rest, self.process.wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            self.process.kill().unwrap();
            self.process.wait().unwrap();
        }
    }
}
