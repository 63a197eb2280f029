//! A book service: reads, makes and changes books in the database.

use brownout_telemetry::Span;
use http::{HeaderName, HeaderValue, StatusCode, header::LOCATION};

use super::{
    book::{self, Book, Source, Unreadable},
    database::{Created, Database},
    request::Task,
    service::LibraryService,
};
use crate::{
    answer::{self, Answer, Refused},
    inbound::Inbound,
};

/// Names a creation, so that it makes one book however often it is sent (as in the IETF's draft of this name).
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longer keys are refused.
const KEY_BYTES_MAX: usize = 200;

/// Semantic conventions for calls of databases.
const DB_SYSTEM_NAME: &str = "db.system.name";
const DB_OPERATION_NAME: &str = "db.operation.name";
const DB_COLLECTION_NAME: &str = "db.collection.name";

/// What a book service can do.
#[derive(Debug)]
pub(crate) struct BookService {
    pub(super) service: LibraryService,
    pub(super) source: Source,
    pub(super) database: Database,
}

impl BookService {
    pub(crate) async fn answer(&self, inbound: &Inbound) -> Answer {
        match inbound.book.as_ref().map(|request| &request.task) {
            Some(Task::Read(id)) => self.read(*id, inbound).await,
            Some(Task::Create(body)) => self.create(body, inbound).await,
            Some(Task::Update(body)) => self.update(body, inbound).await,
            None => answer::problem(StatusCode::NOT_FOUND, "no such resource"),
        }
    }

    async fn read(&self, id: i64, inbound: &Inbound) -> Answer {
        let span = self.span("SELECT", inbound);
        match ended(span, self.database.find(id, self.source).await) {
            Ok(Some(book)) => answer::json(&book),
            Ok(None) => missing(id),
            Err(failed) => failed.into(),
        }
    }

    async fn create(&self, body: &[u8], inbound: &Inbound) -> Answer {
        let draft = match book::to_create(body) {
            Ok(draft) => draft,
            Err(unreadable) => return unreadable.into(),
        };
        let key = match key(inbound) {
            Ok(key) => key,
            Err(refused) => return refused.into(),
        };
        let span = self.span("INSERT", inbound);
        let created = self.database.create(&draft, key, self.source).await;
        match ended(span, created) {
            Ok(Created::Book(book)) => {
                created_at(&format!("{}/{}", self.service.path(), book.id), &book)
            }
            Ok(Created::KeyIsTaken) => answer::problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "the idempotency-key was used before, for another book",
            ),
            Err(failed) => failed.into(),
        }
    }

    async fn update(&self, body: &[u8], inbound: &Inbound) -> Answer {
        let (id, draft) = match book::to_update(body) {
            Ok(update) => update,
            Err(unreadable) => return unreadable.into(),
        };
        let span = self.span("UPDATE", inbound);
        let updated = self.database.update(id, &draft, self.source).await;
        match ended(span, updated) {
            Ok(Some(book)) => answer::json(&book),
            Ok(None) => missing(id),
            Err(failed) => failed.into(),
        }
    }

    /// Begins the span of what is asked of the database. It may be several statements, in one transaction.
    fn span(&self, operation: &'static str, inbound: &Inbound) -> Span {
        let mut span = inbound.span.internal(format!("{operation} book"));
        span.set_str(DB_SYSTEM_NAME, self.database.system());
        span.set_str(DB_OPERATION_NAME, operation);
        span.set_str(DB_COLLECTION_NAME, "book");
        span
    }
}

/// 201 with the book, and where it is.
pub(super) fn created_at(path: &str, book: &Book) -> Answer {
    let mut answer = answer::json_with(StatusCode::CREATED, book);
    let path = HeaderValue::from_str(path).expect("paths of books are words and numbers");
    answer.headers_mut().insert(LOCATION, path);
    answer
}

/// Ends the span of what was asked of the database; a failure becomes an answer.
fn ended<T>(mut span: Span, result: Result<T, sqlx::Error>) -> Result<T, Refused> {
    result.map_err(|error| {
        span.error("database", "");
        tracing::warn!(%error, "the database failed");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Refused::new(status, "the database could not be asked")
    })
}

/// The key that a creation came with.
fn key(inbound: &Inbound) -> Result<Option<&str>, Refused> {
    let Some(key) = inbound.headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let known = key.to_str().ok();
    let known = known.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
    known.map(Some).ok_or_else(|| {
        let detail = format!("the idempotency-key is not 1 to {KEY_BYTES_MAX} visible characters");
        Refused::new(StatusCode::BAD_REQUEST, detail)
    })
}

fn missing(id: i64) -> Answer {
    answer::problem(StatusCode::NOT_FOUND, &format!("there is no book {id}"))
}

impl From<Unreadable> for Answer {
    fn from(unreadable: Unreadable) -> Self {
        let status = match &unreadable {
            Unreadable::Syntax(_) => StatusCode::BAD_REQUEST,
            Unreadable::Fields(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        answer::problem(status, &unreadable.to_string())
    }
}
