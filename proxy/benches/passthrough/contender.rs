//! Those who stand between the load and the backend, each a process of its own on a core of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use brownout_fault::{FaultSpec, FaultWriter, Moment, store};
use brownout_proxy::{
    CertificateFiles, Gateway, GatewayConfig, HttpVersion, ListenAddress, ListenerTls,
    ListenerTlsOptions, NewRoute, Protocol, Upstream, UpstreamOptions,
};
use brownout_testkit::{TestAuthority, TestCertificate};
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_setaffinity},
};
use rustls::client::Resumption;
use serde_json::json;

use crate::{
    backend::Backend,
    load::{self, Scenario},
};

/// The first argument by which this program becomes the proxy.
pub(crate) const AS_PROXY: &str = "--as-proxy";

/// With all the faults that may be armed, on a route that is not asked.
const FAULTS_ELSEWHERE: &str = "elsewhere";
/// With as many on the route that is asked, none of which fits.
const FAULTS_HERE: &str = "same route";
/// Without records of requests.
const NO_EVIDENCE: &str = "no evidence";

/// One way to the backend.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    entrances: Entrances,
    process: Option<Child>,
    /// The process that does the work, where it is not the one we started.
    worker: Option<u32>,
}

/// Where a contender listens; `None` where it cannot do that.
struct Entrances {
    plain: SocketAddr,
    tls: Option<SocketAddr>,
    /// HTTP/2 by prior knowledge.
    http2: Option<SocketAddr>,
    /// The same, and the upstream is asked with HTTP/2.
    http2_both: Option<SocketAddr>,
}

impl Entrances {
    /// Without TLS and HTTP/2.
    const fn plain(plain: SocketAddr) -> Self {
        Self {
            plain,
            tls: None,
            http2: None,
            http2_both: None,
        }
    }
}

impl Contender {
    /// Where the load of this scenario goes, if the contender can carry it.
    pub(crate) fn entrance(&self, scenario: Scenario) -> Option<SocketAddr> {
        match scenario {
            Scenario {
                http2_upstream: true,
                ..
            } => self.entrances.http2_both,
            Scenario { tls: true, .. } => self.entrances.tls,
            Scenario { streams: 1.., .. } => self.entrances.http2,
            _ => Some(self.entrances.plain),
        }
    }

    /// User and system time spent so far by all threads of the process.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let pid = self.worker.or(self.process.as_ref().map(Child::id))?;
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let nanos = tasks.map(|task| {
            let stat = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            stat.split(' ').next().unwrap().parse::<u64>().unwrap()
        });
        Some(Duration::from_nanos(nanos.sum()))
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            for ended in [process.kill().err(), process.wait().err()]
                .into_iter()
                .flatten()
            {
                println!("could not end {}: {ended}", self.name);
            }
        }
        // It outlives the process that started it, which could not end it any more.
        let worker = (self.worker).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(worker) = worker
            && let Err(error) = kill_process(worker, Signal::KILL)
        {
            println!("could not end {}: {error}", self.name);
        }
    }
}

/// Everything that is installed here and carries `protocol`, or those of it with these names. Called once.
pub(crate) fn all(backend: Backend, protocol: &str, only: Option<&[&str]>) -> Vec<Contender> {
    // Its files are read by processes that start in their own time.
    let authority: &'static TestAuthority = Box::leak(Box::new(TestAuthority::new()));
    let certificate = &authority.issue(&["bench.test"]);
    let mut client = authority.client_config();
    client.resumption = Resumption::disabled();
    assert!(load::TLS.set(Arc::new(client)).is_ok(), "it was set before");
    let is_asked = |name: &str| only.is_none_or(|only| only.contains(&name));
    let ours: &[&str] = match protocol {
        "http" => &["brownout", NO_EVIDENCE, FAULTS_ELSEWHERE, FAULTS_HERE],
        _ => &["brownout"],
    };
    let mut contenders = Vec::new();
    if is_asked("direct") {
        contenders.push(Contender {
            name: "direct",
            entrances: Entrances {
                http2_both: Some(backend.http2),
                ..Entrances::plain(backend.http1)
            },
            process: None,
            worker: None,
        });
    }
    for name in ours.iter().copied().filter(|name| is_asked(name)) {
        contenders.push(brownout(backend, protocol, name, certificate));
    }
    let mut others: Vec<(&str, Option<Contender>)> = Vec::new();
    if is_asked("haproxy") {
        others.push(("haproxy", haproxy(backend, protocol, certificate)));
    }
    if protocol == "http" && is_asked("nginx") {
        others.push(("nginx", nginx(backend, certificate)));
    }
    for (name, found) in others {
        match found {
            Some(contender) => contenders.push(contender),
            None => println!("skipped: {name} is not installed"),
        }
    }
    contenders
}

/// Keeps this thread on one core, where there are several.
pub(crate) fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        sched_setaffinity(None, &cores).unwrap();
    }
}

fn brownout(
    backend: Backend,
    protocol: &str,
    name: &'static str,
    certificate: &TestCertificate,
) -> Contender {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([AS_PROXY, &format!("{protocol}://{}", backend.http1), name])
        .args([&certificate.cert, &certificate.key])
        .arg(format!("http://{}", backend.http2))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut address = || lines.next().unwrap().unwrap().parse().unwrap();
    let plain: SocketAddr = address();
    let entrances = match protocol {
        "http" => Entrances {
            plain,
            tls: Some(address()),
            http2: Some(plain),
            http2_both: Some(address()),
        },
        _ => Entrances::plain(plain),
    };
    Contender {
        name,
        entrances,
        process: Some(process),
        worker: None,
    }
}

/// Runs the proxy until standard input ends.
///
/// By its name it has no fault armed, or as many as can be: on another route, or on this one with a path that no
/// request has; or it keeps no records of requests.
pub(crate) fn be_the_proxy(
    upstream: &str,
    name: &str,
    [cert, key]: [&str; 2],
    http2_upstream: Option<&String>,
) {
    pin(1);
    let (mut writer, reader) = store(0);
    let route = match name {
        FAULTS_ELSEWHERE => Some("elsewhere"),
        FAULTS_HERE => Some("bench"),
        _ => None,
    };
    if let Some(route) = route {
        arm_all(&mut writer, route);
    }
    let gateway = Gateway::start(GatewayConfig {
        cores: 1,
        journal_capacity: match name {
            NO_EVIDENCE => 0,
            _ => GatewayConfig::JOURNAL_CAPACITY,
        },
        ..GatewayConfig::new(reader)
    })
    .unwrap();
    let add = |name: &str, upstream: Upstream, tls| {
        let route = gateway.handle().add_route(NewRoute {
            name: name.to_owned(),
            listen: ListenAddress::parse("127.0.0.1:0").unwrap(),
            upstream,
            tls,
            enabled: true,
            caller_faults: false.into(),
            accept_proxy: false,
        });
        println!("{}", route.unwrap().listen);
    };
    let upstream = Upstream::parse(upstream).unwrap();
    add("bench", upstream.clone(), None);
    if upstream.protocol() == Protocol::Http {
        let main = CertificateFiles {
            cert: cert.into(),
            key: key.into(),
            names: None,
        };
        let others = Vec::new();
        let tls = ListenerTls::load(ListenerTlsOptions::Files { main, others });
        add("bench-tls", upstream, Some(tls.unwrap()));
        let options = UpstreamOptions {
            http: HttpVersion::Http2,
            ..UpstreamOptions::default()
        };
        if let Some(url) = http2_upstream {
            let upstream = Upstream::parse(url).unwrap().with_options(options);
            add("bench-http2", upstream.unwrap(), None);
        }
    }
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn arm_all(writer: &mut FaultWriter, route: &str) {
    let now = Moment {
        instant: Instant::now(),
        wall: SystemTime::now(),
    };
    let fault = |number: usize| {
        let fault = json!({
            "route": route, "abort": 503, "ttl": "none", "match": { "path": format!("/no/{number}/*") },
        });
        FaultSpec::read(&fault).unwrap()
    };
    let faults = (0..FaultWriter::FAULTS_MAX).map(fault).collect();
    writer.arm(faults, now).unwrap();
}

fn haproxy(backend: Backend, protocol: &str, certificate: &TestCertificate) -> Option<Contender> {
    let reuse = match protocol {
        "http" => " http-reuse always\n",
        _ => "",
    };
    let [plain, tls, http2_both] = [(); 3].map(|()| free_address());
    let both = [&certificate.cert, &certificate.key].map(|file| fs::read_to_string(file).unwrap());
    let both = write_config("haproxy.pem", &both.concat());
    let is_http = protocol == "http";
    let (bind_tls, with_http2) = match is_http {
        true => (
            format!(" bind {tls} ssl crt {} alpn h2,http/1.1\n", both.display()),
            format!(
                "frontend f2\n bind {http2_both}\n default_backend b2\nbackend b2\n server s {} proto h2\n",
                backend.http2
            ),
        ),
        false => (String::new(), String::new()),
    };
    let config = write_config(
        "haproxy.cfg",
        &format!(
            "global\n nbthread 1\n maxconn 4096\ndefaults\n mode {protocol}\n timeout connect 5s\n timeout client 60s\n \
             timeout server 60s\n{reuse}frontend f\n bind {plain}\n{bind_tls} default_backend b\n\
             backend b\n server s {}\n{with_http2}",
            backend.http1
        ),
    );
    let process = start("haproxy", &["-f", config.to_str()?])?;
    wait_for(plain);
    let entrances = match is_http {
        true => Entrances {
            plain,
            tls: Some(tls),
            http2: Some(plain),
            http2_both: Some(http2_both),
        },
        false => Entrances::plain(plain),
    };
    Some(Contender {
        name: "haproxy",
        entrances,
        process: Some(process),
        worker: None,
    })
}

/// Asks its upstream with HTTP/1.1 only.
fn nginx(backend: Backend, certificate: &TestCertificate) -> Option<Contender> {
    let [plain, tls, http2] = [(); 3].map(|()| free_address());
    let (cert, key) = (certificate.cert.display(), certificate.key.display());
    let pid = std::env::temp_dir().join(format!("passthrough-{}-nginx.pid", std::process::id()));
    let config = write_config(
        "nginx.conf",
        &format!(
            "daemon off; worker_processes 1; pid {}; error_log /dev/null;\nevents {{ worker_connections 4096; }}\n\
             http {{ access_log off; keepalive_requests 1000000; upstream b {{ server {}; keepalive 512; \
             keepalive_requests 1000000; }}\nserver {{ listen {plain} backlog=4096; listen {tls} ssl http2 backlog=4096; \
             listen {http2} http2 backlog=4096; \
             ssl_certificate {cert}; ssl_certificate_key {key}; location / {{ proxy_pass http://b; \
             proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n",
            pid.display(),
            backend.http1
        ),
    );
    let process = start("nginx", &["-c", config.to_str()?])?;
    wait_for(plain);
    let worker = only_child(process.id());
    Some(Contender {
        name: "nginx",
        entrances: Entrances {
            plain,
            tls: Some(tls),
            http2: Some(http2),
            http2_both: None,
        },
        process: Some(process),
        worker: Some(worker),
    })
}

/// The process that does nginx's work.
fn only_child(pid: u32) -> u32 {
    let children = format!("/proc/{pid}/task/{pid}/children");
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = fs::read_to_string(&children).unwrap();
        if let Some(child) = text.split_whitespace().next() {
            return child.parse().unwrap();
        }
        assert!(Instant::now() < deadline, "process {pid} has no child");
        std::thread::yield_now();
    }
}

/// Starts a program on the proxies' core, if it is installed.
fn start(program: &str, args: &[&str]) -> Option<Child> {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", program]).args(args);
    if std::thread::available_parallelism().map_or(1, usize::from) == 1 {
        command = Command::new(program);
        command.args(args);
    }
    let installed = std::env::split_paths(&std::env::var_os("PATH")?)
        .chain(["/usr/sbin".into()])
        .any(|folder: PathBuf| folder.join(program).exists());
    installed.then(|| {
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    })
}

fn write_config(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("passthrough-{}-{name}", std::process::id()));
    fs::write(&path, text).unwrap();
    path
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn wait_for(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "{address} does not answer");
        std::thread::yield_now();
    }
}
