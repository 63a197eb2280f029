//! Small services behind and before the routes of an experiment.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Ran, run};

/// A service that asks its dependency for each page, with a timeout, and says `x-degraded` where that does not answer.
///
/// It serves each connection on a thread, as many services do.
pub(crate) struct Page {
    pub(crate) address: SocketAddr,
    pub(crate) upstream: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Page {
    /// `dependency` is asked for each page.
    pub(crate) fn calling(dependency: SocketAddr, fallback: bool) -> Self {
        Self::serving(
            move || {
                let good = ask(dependency, Duration::from_millis(200));
                match (good, fallback) {
                    (true, _) => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
                    (false, true) => {
                        "HTTP/1.1 200 OK\r\nx-degraded: up\r\ncontent-length: 2\r\n\r\nok"
                            .to_owned()
                    }
                    (false, false) => "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned(),
                }
            },
            dependency,
        )
    }

    pub(crate) fn answering() -> Self {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::serving(
            || "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
            nobody,
        )
    }

    pub(crate) fn serving(
        answer: impl Fn() -> String + Send + Sync + 'static,
        upstream: SocketAddr,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), answer) = (stream, Arc::clone(&answer)) else {
                    return;
                };
                thread::spawn(move || serve(stream, &*answer));
            }
        });
        Self {
            address,
            upstream,
            ended,
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address)); // So that it looks.
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn() -> String) {
    stream.set_nodelay(true).ok();
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        head.extend_from_slice(&buffer[..read]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            if stream.write_all(answer().as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Whether a whole 200 comes in time.
pub(crate) fn ask(address: SocketAddr, timeout: Duration) -> bool {
    ask_for("/", address, timeout)
}

/// The same of another path.
pub(crate) fn ask_for(path: &str, address: SocketAddr, timeout: Duration) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    stream.set_read_timeout(Some(timeout)).ok();
    let head = format!("GET {path} HTTP/1.1\r\nhost: up\r\n\r\n");
    if stream.write_all(head.as_bytes()).is_err() {
        return false;
    }
    let mut buffer = [0; 4096];
    matches!(stream.read(&mut buffer), Ok(1..) if buffer.starts_with(b"HTTP/1.1 200"))
}

/// A free port, for a route that services must know before it is there.
pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// The page, and the route and upstream behind it.
pub(crate) struct World {
    pub(crate) page: Page,
    pub(crate) upstream: Page,
    pub(crate) directory: TempDir,
}

impl World {
    pub(crate) fn new(fallback: bool) -> Self {
        Self {
            page: Page::calling(free_port(), fallback),
            upstream: Page::answering(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn file(&self, rest: &str) -> String {
        let path = self.directory.path().join("it.toml");
        let text = format!(
            "name = \"it\"\nseed = 7\n[routes]\nedge = {{ upstream = \"http://{}\" }}\n\
             up = {{ listen = \"{}\", upstream = \"http://{}\" }}\n\
             [load]\nto = \"edge\"\nrate = \"50/s\"\ntimeout = \"2s\"\n{rest}",
            self.page.address, self.page.upstream, self.upstream.address
        );
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Runs a file, and reads its result.
    pub(crate) fn run(&self, rest: &str) -> (Ran, Value) {
        let (file, json) = (self.file(rest), self.path("result.json"));
        let mut tries = 0;
        loop {
            tries += 1;
            let ran = run(&["run", &file, "--json", &json]);
            let text = fs::read_to_string(Path::new(&json))
                .unwrap_or_else(|error| panic!("{error}: {}{}", ran.out(), ran.err()));
            // A machine that is too busy to send pages in time proves nothing, as the run itself says.
            if tries == 3 || !text.contains("\"load_in_time\"") {
                return (ran, serde_json::from_str(&text).unwrap());
            }
        }
    }
}
