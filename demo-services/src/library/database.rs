//! The database of books: its schema, and all that is asked of it.

use std::{borrow::Cow, io, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool, SqlSafeStr, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    query, query_as, query_scalar,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use thiserror::Error;
use tokio::time::timeout;

use super::{
    book::{Book, Draft, Source},
    url::{DatabaseUrl, Place},
};

/// How long to wait for a connection of the pool, and for others to end their writing to a file.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of one service. A file takes one writer at a time, so more would only wait.
const CONNECTIONS_MAX: u32 = 4;

const FIND: &str = "
    SELECT book.title, book.year, book.publisher, book_author.name
    FROM book JOIN book_author ON book_author.book_id = book.id
    WHERE book.id = $1
    ORDER BY book_author.position";
const FIND_BY_KEY: &str = "SELECT id FROM book WHERE request_key = $1";
const INSERT: &str = "
    INSERT INTO book (title, year, publisher, request_key) VALUES ($1, $2, $3, $4)
    ON CONFLICT (request_key) DO NOTHING
    RETURNING id";
const INSERT_AUTHOR: &str = "INSERT INTO book_author (book_id, position, name) VALUES ($1, $2, $3)";
const UPDATE: &str = "UPDATE book SET title = $2, year = $3, publisher = $4 WHERE id = $1";
const DELETE_AUTHORS: &str = "DELETE FROM book_author WHERE book_id = $1";

/// The books, in a file or on a server. Both book services work on the same ones.
#[derive(Debug)]
pub(super) enum Database {
    File(SqlitePool),
    Server(PgPool),
}

/// What became of a creation.
#[derive(Debug)]
pub(super) enum Created {
    /// There is such a book now, or has been since the same request came before.
    Book(Book),
    /// The request's key was used before, for another book.
    KeyIsTaken,
}

/// Does the same on either: the statements are the same, the types of the pools are not.
macro_rules! on {
    ($database:expr, $pool:ident => $work:expr) => {
        match $database {
            Database::File($pool) => $work,
            Database::Server($pool) => $work,
        }
    };
}

/// Writes a book's authors, in order, within a transaction.
macro_rules! insert_authors {
    ($transaction:expr, $id:expr, $authors:expr) => {
        for (position, name) in (1_i32..).zip($authors) {
            let author = query(INSERT_AUTHOR).bind($id).bind(position).bind(name);
            author.execute(&mut *$transaction).await?;
        }
    };
}

impl Database {
    /// Connects, and brings the schema up to date. Several services may do so at once.
    pub(super) async fn open(url: &DatabaseUrl) -> Result<Self, OpenError> {
        let opened = match &url.0 {
            Place::File(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    // Readers and the writer do not wait for each other.
                    .journal_mode(SqliteJournalMode::Wal)
                    // Nothing is lost but by a failure of the power, and then only the last books.
                    .synchronous(SqliteSynchronous::Normal)
                    .busy_timeout(PATIENCE);
                Self::open_file(options).await
            }
            Place::Server(options) => Self::open_server(options.as_ref().clone()).await,
        };
        opened.map_err(|source| OpenError {
            url: url.to_string(),
            source,
        })
    }

    async fn open_file(options: SqliteConnectOptions) -> Result<Self, MigrateError> {
        let mut connection = SqliteConnection::connect_with(&options).await?;
        // The driver locks a server while it migrates, but not a file.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        migrations(include_str!("../../migrations/sqlite/1_books.sql"))
            // As `run`, whose future cannot be sent to another thread.
            .run_direct(None, &mut *transaction, false)
            .await?;
        transaction.commit().await?;
        connection.close().await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(PATIENCE);
        Ok(Self::File(pool.connect_with(options).await?))
    }

    async fn open_server(options: PgConnectOptions) -> Result<Self, MigrateError> {
        // Not through the pool, which would ask again and again where nobody listens.
        let connecting = PgConnection::connect_with(&options);
        let connecting = timeout(PATIENCE, connecting).await;
        let mut connection =
            connecting.map_err(|_| sqlx::Error::Io(io::ErrorKind::TimedOut.into()))??;
        migrations(include_str!("../../migrations/postgres/1_books.sql"))
            .run_direct(None, &mut connection, false)
            .await?;
        connection.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(PATIENCE);
        Ok(Self::Server(pool.connect_with(options).await?))
    }

    /// What it is, in the words of OpenTelemetry's semantic conventions.
    pub(super) fn system(&self) -> &'static str {
        match self {
            Self::File(_) => "sqlite",
            Self::Server(_) => "postgresql",
        }
    }

    pub(super) async fn find(&self, id: i64, source: Source) -> Result<Option<Book>, sqlx::Error> {
        let rows: Vec<(String, i32, String, String)> =
            on!(self, pool => query_as(FIND).bind(id).fetch_all(pool).await)?;
        let mut found: Option<Book> = None;
        for (title, year, publisher, author) in rows {
            let book = found.get_or_insert_with(|| Book {
                id,
                title,
                authors: Vec::new(),
                year,
                publisher,
                source,
            });
            book.authors.push(author);
        }
        Ok(found)
    }

    /// Makes a book. Of several creations with the same key only the first does.
    pub(super) async fn create(
        &self,
        draft: &Draft,
        key: Option<&str>,
        source: Source,
    ) -> Result<Created, sqlx::Error> {
        let created: Option<i64> = on!(self, pool => {
            let mut transaction = pool.begin().await?;
            let insert = query_scalar(INSERT)
                .bind(&draft.title)
                .bind(draft.year)
                .bind(&draft.publisher)
                .bind(key);
            let created: Option<i64> = insert.fetch_optional(&mut *transaction).await?;
            if let Some(id) = created {
                insert_authors!(transaction, id, &draft.authors);
                transaction.commit().await?;
            }
            created
        });
        if let Some(id) = created {
            return Ok(Created::Book(draft.clone().into_book(id, source)));
        }
        let before: i64 =
            on!(self, pool => query_scalar(FIND_BY_KEY).bind(key).fetch_one(pool).await)?;
        let before = self.find(before, source).await?;
        let same = before.filter(|book| draft.clone().into_book(book.id, source) == *book);
        Ok(same.map_or(Created::KeyIsTaken, Created::Book))
    }

    /// Puts a book in the place of the one with this id; none if there is none.
    pub(super) async fn update(
        &self,
        id: i64,
        draft: &Draft,
        source: Source,
    ) -> Result<Option<Book>, sqlx::Error> {
        let found = on!(self, pool => {
            let mut transaction = pool.begin().await?;
            let update = query(UPDATE)
                .bind(id)
                .bind(&draft.title)
                .bind(draft.year)
                .bind(&draft.publisher);
            let found = update.execute(&mut *transaction).await?.rows_affected() > 0;
            if found {
                query(DELETE_AUTHORS).bind(id).execute(&mut *transaction).await?;
                insert_authors!(transaction, id, &draft.authors);
                transaction.commit().await?;
            }
            found
        });
        Ok(found.then(|| draft.clone().into_book(id, source)))
    }

    /// Ends all connections; a file is whole and alone afterwards.
    pub(super) async fn close(&self) {
        on!(self, pool => pool.close().await);
    }
}

/// The steps from nothing to the present schema.
fn migrations(books: &'static str) -> Migrator {
    let first_books = include_str!("../../migrations/2_first_books.sql");
    let steps = [(1, "books", books), (2, "first books", first_books)];
    let steps = steps.map(|(version, description, sql)| {
        let description = Cow::Borrowed(description);
        let sql = sql.into_sql_str();
        Migration::new(version, description, MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(steps.into())
}

/// A database could not be opened, or not brought up to date.
#[derive(Debug, Error)]
#[error("could not open the database {url}")]
pub struct OpenError {
    /// Which one, without its password.
    url: String,
    source: MigrateError,
}
