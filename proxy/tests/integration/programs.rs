//! Programs that nobody here wrote, where they are installed.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use brownout_testkit::eventually;

/// nginx on a free port. It ends when this is dropped.
pub(crate) struct Nginx {
    process: Child,
    address: SocketAddr,
    folder: PathBuf,
}

/// Where a program is, or `None` with a word about it. Where `BROWNOUT_REQUIRE_TOOLS` is set it must be there.
#[expect(clippy::print_stdout, reason = "a test that does not run must say so")]
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders
        .map(|folder| folder.join(program))
        .find(|path| path.exists());
    if found.is_none() {
        let required = std::env::var_os("BROWNOUT_REQUIRE_TOOLS").is_some();
        assert!(!required, "{program} is not installed");
        println!("skipped: {program} is not installed");
    }
    found
}

impl Nginx {
    /// Starts it with what `server` says inside its server's block; `{folder}` stands for a folder of its own with the
    /// pages `small` and `large`.
    pub(crate) async fn start(server: &str) -> Option<Self> {
        let program = installed("nginx")?;
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let folder =
            std::env::temp_dir().join(format!("nginx-{}-{}", std::process::id(), address.port()));
        fs::create_dir_all(&folder).unwrap();
        for (name, size) in [("small", 5), ("large", 200_000)] {
            fs::write(folder.join(name), "x".repeat(size)).unwrap();
        }
        let here = folder.display();
        let server = server.replace("{folder}", &here.to_string());
        let config = format!(
            "daemon off; worker_processes 1; pid {here}/pid; error_log {here}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; client_body_temp_path {here}; proxy_temp_path {here}; \
             fastcgi_temp_path {here}; uwsgi_temp_path {here}; scgi_temp_path {here};\n\
             log_format request escape=json '{{\"method\":\"$request_method\",\"target\":\"$request_uri\",\
             \"status\":$status,\"body\":\"$request_body\"}}';\n\
             server {{ listen {address}; {server} }} }}\n"
        );
        fs::write(folder.join("nginx.conf"), config).unwrap();
        let process = Command::new(program)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("nginx to listen", || TcpStream::connect(address).is_ok()).await;
        Some(Self {
            process,
            address,
            folder,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its folder, with the logs that its configuration writes there.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master takes its worker along when it is asked, not when it is killed.
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .arg(pid)
                .status()
                .is_ok_and(|status| status.success())
        );
        self.process.wait().unwrap();
        fs::remove_dir_all(&self.folder).unwrap();
    }
}
