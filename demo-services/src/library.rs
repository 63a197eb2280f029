//! A library: a gate before a primary and a fallback book service, over one database of books.
//!
//! After `jesperancinha/advanced-library-management`. Readers ask the gate; the gate asks the primary, and when that does
//! not answer the fallback, slower but there. Each of the gate's five ways, `g1` to `g5`, does so under a policy and with
//! a breaker of its own, so that they can be compared side by side.
//!
//! | service | requests |
//! |---|---|
//! | gate | `GET /api/almg/books/g1/{id}`, `POST /api/almg/books/g1`, `GET /api/almg/actuator/health` |
//! | primary | `GET /api/alm/reactive/books/{id}`, `POST .../create`, `PUT .../update` |
//! | fallback | `GET /api/alm/mvc/books/{id}`, `POST .../create` |
//!
//! Each has `GET /healthz` and `GET /stats` as well, which no worker is needed for. A [`Book`] is JSON; its `source`
//! says who answered. When the fallback did, the gate's answer says so in `x-degraded` too; when nobody did, it is 503.
//!
//! **A creation makes one book**, however often it is sent. The gate gives it an `Idempotency-Key`, unless it came with
//! one, and sends the same to the fallback as to the primary; the database keeps it. So a creation whose answer was lost
//! is safe to ask again elsewhere, which a gate cannot know otherwise.
//!
//! ```
//! use std::time::Duration;
//!
//! use demo_services::library::{DatabaseUrl, LibraryConfig, start};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let books = DatabaseUrl::file(folder.path().join("books.db"));
//! let primary = start(LibraryConfig::primary(books.clone())).await?;
//! let fallback = start(LibraryConfig::fallback(books)).await?;
//! let url = |address| format!("http://{address}");
//! let gate = LibraryConfig::gate(url(primary.address()), url(fallback.address()));
//! let gate = start(gate).await?;
//!
//! println!("curl http://{}/api/almg/books/g1/1", gate.address());
//!
//! for service in [gate, primary, fallback] {
//!     service.shutdown(Duration::from_secs(5)).await?;
//! }
//! # Ok(())
//! # }
//! ```

mod book;
mod book_service;
mod config;
mod database;
mod front;
mod gate;
mod hop;
mod policies;
mod request;
mod server;
mod service;
mod url;

pub use self::{
    book::{Book, Source},
    config::{LibraryConfig, LibraryRole, LibraryStartError},
    database::OpenError,
    policies::gate_policy,
    server::{Running, start},
    service::{AnyService, GateName, LibraryService, UnknownGate},
    url::{DatabaseUrl, InvalidDatabaseUrl},
};
pub(crate) use self::{book_service::BookService, gate::Gate, request::BookRequest};
