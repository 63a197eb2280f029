//! Requests that two servers may read differently, through the proxy to nginx, Node and Python: the requests that the
//! server saw are those that the proxy believes it passed on, and those that RFC 9112 reads in the bytes.

mod corpus;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use brownout_testkit::{PATIENCE, RawClient, TestProxy, eventually};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use self::corpus::{Case, corpus};
use crate::{
    programs::{Nginx, installed},
    table,
};

/// A server, and the lines that it writes of its requests.
enum BackEnd {
    Nginx(Nginx),
    Script {
        process: Child,
        port: u16,
        lines: Arc<Mutex<Vec<String>>>,
    },
}

impl BackEnd {
    async fn nginx() -> Option<Self> {
        // It reads bodies only for somebody else, so it asks itself; the answer comes from the second location.
        let server = "access_log {folder}/requests.log request; keepalive_requests 100000; \
            location / { proxy_pass http://127.0.0.1:$server_port/-seen-; proxy_set_header X-Seen 1; } \
            location = /-seen- { access_log off; return 200 seen; }";
        Nginx::start(server).await.map(Self::Nginx)
    }

    fn script(program: &str, script: &str) -> Option<Self> {
        let program = installed(program)?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/ambiguous");
        let mut process = Command::new(program)
            .arg(folder.join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut ready = String::new();
        stdout.read_line(&mut ready).unwrap();
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&lines);
        // Ends when the process does.
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                log.lock().unwrap().push(line);
            }
        });
        Some(Self::Script {
            process,
            port: u16::try_from(ready["port"].as_u64().unwrap()).unwrap(),
            lines,
        })
    }

    fn url(&self) -> String {
        match self {
            Self::Nginx(nginx) => format!("http://{}", nginx.address()),
            Self::Script { port, .. } => format!("http://127.0.0.1:{port}"),
        }
    }

    /// The requests of one case, each as method, target without its query, and length of the body.
    fn seen(&self, marker: &str) -> Vec<Seen> {
        let lines: Vec<String> = match self {
            Self::Nginx(nginx) => {
                let path: PathBuf = nginx.folder().join("requests.log");
                let log = fs::read_to_string(path).unwrap_or_default();
                log.lines().map(str::to_owned).collect()
            }
            Self::Script { lines, .. } => lines.lock().unwrap().clone(),
        };
        let of_case = lines.iter().filter(|line| line.contains(marker));
        of_case.filter_map(|line| read_line(line)).collect()
    }
}

impl Drop for BackEnd {
    fn drop(&mut self) {
        if let Self::Script { process, .. } = self {
            // It may have ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// A request as somebody saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    method: String,
    path: String,
    body: usize,
}

/// What a line says, unless the server refused that request.
fn read_line(line: &str) -> Option<Seen> {
    let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    if line.get("status").is_some_and(|status| *status != 200) {
        return None;
    }
    let body = match &line["body"] {
        Value::String(text) => text.len(),
        length => usize::try_from(length.as_u64()?).unwrap(),
    };
    let target = line["target"].as_str()?;
    Some(Seen {
        method: line["method"].as_str()?.to_owned(),
        path: target.split('?').next().unwrap().to_owned(),
        body,
    })
}

/// What the proxy says that it passed on: answered by the server, whose only good answer is 200.
fn believed(proxy: &TestProxy) -> Vec<(String, String)> {
    let lines = proxy.access_lines().into_iter();
    let passed = lines.filter(|line| line.get("status").is_some_and(|status| *status == 200));
    passed
        .map(|line| {
            let text = |field: &str| line[field].as_str().unwrap().to_owned();
            (text("method"), text("path"))
        })
        .collect()
}

async fn check(case: Case, back_end: Arc<BackEnd>) {
    let proxy = TestProxy::to_url(&back_end.url())
        .with_cores(1)
        .with_access_log()
        .start();
    let mut client = RawClient::connect(proxy.address()).await;
    // It may be refused before all of it was taken.
    drop(client.try_send(&case.bytes).await);
    // As many answers as there are; the proxy may wait for more of a request that says it is longer.
    while let Ok(Some(_)) = timeout(
        Duration::from_millis(1_500),
        client.whole_response(case.is_head),
    )
    .await
    {}
    drop(client);
    // Whatever was left on the connection to the server comes before this, or on it.
    let last = format!("{}/last", case.marker);
    proxy.get(&last).await;

    let is_last = |seen: &Seen| seen.path == last;
    eventually("the server to see the last request", || {
        back_end.seen(&case.marker).iter().any(is_last)
    })
    .await;
    let deadline = Instant::now() + PATIENCE / 4;
    loop {
        let mut seen = back_end.seen(&case.marker);
        seen.retain(|seen| !is_last(seen));
        let mut believed = believed(&proxy);
        believed.retain(|(_, path)| *path != last);
        let seen_pairs: Vec<_> = seen
            .iter()
            .map(|seen| (seen.method.clone(), seen.path.clone()))
            .collect();
        // The reading is what RFC 9112 makes of the bytes.
        let is_reading = seen == case.reading
            || (case.may_be_refused && (seen.is_empty() || seen == case.reading[1..]));
        if seen_pairs == believed && is_reading {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the server saw {seen:?}; the proxy believes {believed:?}; the bytes say {:?}",
            case.reading
        );
        sleep(Duration::from_millis(20)).await;
    }
}

async fn hold(back_end: Option<BackEnd>) {
    let Some(back_end) = back_end.map(Arc::new) else {
        return;
    };
    let cases = corpus().into_iter();
    table::hold(cases.map(|case| (case.name, check(case, Arc::clone(&back_end))))).await;
}

#[tokio::test]
async fn nginx_sees_what_the_proxy_believes() {
    hold(BackEnd::nginx().await).await;
}

#[tokio::test]
async fn node_sees_what_the_proxy_believes() {
    hold(BackEnd::script("node", "echo.mjs")).await;
}

#[tokio::test]
async fn python_sees_what_the_proxy_believes() {
    hold(BackEnd::script("python3", "echo.py")).await;
}
