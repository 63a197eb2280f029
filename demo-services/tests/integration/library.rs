//! The library seen from outside: books in real databases, and a gate before services that fail.

mod books;
mod database;
mod gate;
mod telemetry;

use std::{
    env,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use brownout_testkit::{RawClient, RawMessage};
use demo_services::{
    Stats,
    library::{DatabaseUrl, LibraryConfig, Running, start},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

const PRIMARY: &str = "/api/alm/reactive/books";
const FALLBACK: &str = "/api/alm/mvc/books";
const GATE: &str = "/api/almg/books";

/// A service that loses no time.
fn quick(config: LibraryConfig) -> LibraryConfig {
    LibraryConfig {
        work: Duration::ZERO,
        ..config
    }
}

fn url(running: &Running) -> String {
    format!("http://{}", running.address())
}

/// Books of its own for one test.
enum Shelf {
    File(TempDir),
    /// The URL of a server's database for all, and the name of that for the test.
    Server {
        all: String,
        name: String,
    },
}

impl Shelf {
    fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    /// A file, and where `BROWNOUT_TEST_POSTGRES` names a server, a database there.
    ///
    /// The variable's URL is that of any database of a user who may make others:
    /// `postgres://postgres:secret@127.0.0.1:5432/postgres`.
    #[expect(clippy::print_stdout, reason = "says what a run leaves out")]
    async fn of_each_kind() -> Vec<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut shelves = vec![Self::file()];
        let Some(all) = env::var_os("BROWNOUT_TEST_POSTGRES") else {
            println!("skipped on PostgreSQL: BROWNOUT_TEST_POSTGRES is not set");
            return shelves;
        };
        let all = all.into_string().unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("brownout_test_{}_{number}", std::process::id());
        ask_server(&all, format!("CREATE DATABASE {name}")).await;
        shelves.push(Self::Server { all, name });
        shelves
    }

    fn url(&self) -> DatabaseUrl {
        match self {
            Self::File(folder) => DatabaseUrl::file(folder.path().join("books.db")),
            Self::Server { all, name } => {
                let (server, _) = all.rsplit_once('/').unwrap();
                format!("{server}/{name}").parse().unwrap()
            }
        }
    }

    async fn clear(self) {
        if let Self::Server { all, name } = self {
            ask_server(&all, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

async fn ask_server(url: &str, statement: String) {
    let mut server = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut server)
        .await
        .unwrap();
    server.close().await.unwrap();
}

/// Both book services over one shelf.
struct Books {
    primary: Running,
    fallback: Running,
}

impl Books {
    async fn on(shelf: &Shelf) -> Self {
        Self {
            primary: start(quick(LibraryConfig::primary(shelf.url())))
                .await
                .unwrap(),
            fallback: start(quick(LibraryConfig::fallback(shelf.url())))
                .await
                .unwrap(),
        }
    }

    async fn end(self) {
        for service in [self.primary, self.fallback] {
            service.shutdown(Duration::from_secs(5)).await.unwrap();
        }
    }
}

/// What is sent of a book.
fn piranesi() -> Value {
    json!({
        "title": "Piranesi",
        "authors": ["Susanna Clarke", "O'Nobody \"else\""],
        "year": 2020,
        "publisher": "Bloomsbury"
    })
}

/// `book` as it is answered.
fn answered(book: &Value, id: i64, source: &str) -> Value {
    let mut book = book.clone();
    book["id"] = json!(id);
    book["source"] = json!(source);
    book
}

async fn get(address: SocketAddr, path: &str) -> RawMessage {
    send(address, &format!("GET {path}"), "", "").await
}

/// Sends a request with a body, on a connection of its own. `headers` are whole lines.
async fn send(address: SocketAddr, what: &str, headers: &str, body: &str) -> RawMessage {
    let mut client = RawClient::connect(address).await;
    let length = body.len();
    let head =
        format!("{what} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n{headers}\r\n");
    client.send(head + body).await;
    client.response().await
}

async fn post(address: SocketAddr, path: &str, book: &Value) -> RawMessage {
    send(address, &format!("POST {path}"), "", &book.to_string()).await
}

fn body(answer: &RawMessage) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()))
}

/// The status of an answer and what it says went wrong.
fn problem(answer: &RawMessage) -> (u16, String) {
    assert_eq!(answer.values("content-type"), ["application/problem+json"]);
    let detail = body(answer)["detail"].as_str().unwrap().to_owned();
    (answer.status(), detail)
}

async fn stats(service: &Running) -> Stats {
    serde_json::from_slice(&get(service.address(), "/stats").await.body).unwrap()
}
