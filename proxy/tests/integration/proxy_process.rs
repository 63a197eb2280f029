//! The proxy as a process of its own, so that its memory is its alone.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Instant, SystemTime},
};

use brownout_fault::{FaultSpec, Moment, store};
use brownout_proxy::{Gateway, GatewayConfig, ListenAddress, NewRoute, Upstream};
use serde_json::{Value, json};

/// Says what the process is to be: `{"upstream": URL, "faults": [..]}`.
const CONFIG: &str = "BROWNOUT_TEST_PROXY";
/// Comes before the address on the process's standard output.
const READY: &str = "listening on ";
/// The test below, as the test runner names it.
const ENTRY: &str = "proxy_process::as_a_process_of_its_own";

/// A proxy on one core with the route `web`. It ends when this is dropped.
pub(crate) struct ProxyProcess {
    process: Child,
    /// Stays open: the test runner in the process has more to say, and ends when it cannot.
    _stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl ProxyProcess {
    pub(crate) fn start(upstream: &str, faults: &[Value]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", ENTRY, "--ignored", "--nocapture"])
            .env(
                CONFIG,
                json!({ "upstream": upstream, "faults": faults }).to_string(),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let address = stdout.by_ref().lines().find_map(|line| {
            let line = line.unwrap();
            let at = line.find(READY)?;
            Some(line[at + READY.len()..].trim().parse().unwrap())
        });
        Self {
            process,
            _stdout: stdout,
            address: address.expect("the process says where it listens"),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of memory that are its own now: without the pages of its file.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        // It ends by itself when its standard input does; a test that fails does not wait for that.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Not a test: what [`ProxyProcess`] runs. Without its environment it does nothing.
#[test]
#[ignore = "other tests run it as a process of its own"]
fn as_a_process_of_its_own() {
    let Some(config) = std::env::var_os(CONFIG) else {
        return;
    };
    let config: Value = serde_json::from_str(config.to_str().unwrap()).unwrap();
    let (mut writer, reader) = store(42);
    let faults = config["faults"].as_array().unwrap().iter();
    let faults = faults.map(|fault| {
        let mut fault = fault.clone();
        fault["route"] = "web".into();
        FaultSpec::read(&fault).unwrap()
    });
    let now = Moment {
        instant: Instant::now(),
        wall: SystemTime::now(),
    };
    writer.arm(faults.collect(), now).unwrap();
    let gateway = Gateway::start(GatewayConfig {
        cores: 1,
        ..GatewayConfig::new(reader)
    })
    .unwrap();
    let route = gateway.handle().add_route(NewRoute {
        name: "web".to_owned(),
        listen: ListenAddress::parse("127.0.0.1:0").unwrap(),
        upstream: Upstream::parse(config["upstream"].as_str().unwrap()).unwrap(),
        tls: None,
        enabled: true,
        caller_faults: false.into(),
        accept_proxy: false,
    });
    println!("\n{READY}{}", route.unwrap().listen);
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
