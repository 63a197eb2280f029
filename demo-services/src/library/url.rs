//! Where the books are: a file, or a server.

use std::{fmt, path::PathBuf, str::FromStr};

use sqlx::postgres::PgConnectOptions;
use thiserror::Error;

/// Where the books are: a SQLite file, which is made if it is not there, or a PostgreSQL server.
///
/// `books.db` and `sqlite:books.db` are files; `postgres://user:password@host:5432/name` is a server. What a server's
/// URL leaves out comes from `PGUSER` and its like, as with PostgreSQL's own tools; connections are not encrypted. Its
/// text never has the password.
#[derive(Debug, Clone)]
pub struct DatabaseUrl(pub(super) Place);

#[derive(Clone)]
pub(super) enum Place {
    File(PathBuf),
    Server(Box<PgConnectOptions>),
}

impl DatabaseUrl {
    /// A SQLite file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            // The driver's own words may hold the URL, and with it the password.
            let options = text.parse().map_err(|_| InvalidDatabaseUrl::Server)?;
            return Ok(Self(Place::Server(Box::new(options))));
        }
        let path = text.strip_prefix("sqlite:").unwrap_or(text);
        let path = path.strip_prefix("//").unwrap_or(path);
        match path {
            "" => Err(InvalidDatabaseUrl::Empty),
            ":memory:" => Err(InvalidDatabaseUrl::Memory),
            _ => match path.split_once("://") {
                Some((scheme, _)) => Err(InvalidDatabaseUrl::Scheme(scheme.to_owned())),
                None => Ok(Self::file(path)),
            },
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(server) => write!(
                f,
                "postgres://{}@{}:{}/{}",
                server.get_username(),
                server.get_host(),
                server.get_port(),
                server.get_database().unwrap_or_default()
            ),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that names no database.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidDatabaseUrl {
    /// There is nothing.
    #[error(
        "the database is empty; write a file's path or \"postgres://user:password@host:5432/name\""
    )]
    Empty,
    /// A database that ends with its connection.
    #[error("a database in memory cannot be shared by two services; write a file's path")]
    Memory,
    /// Another kind of database.
    #[error(
        "`{0}://` is not supported; write a file's path or \"postgres://user:password@host:5432/name\""
    )]
    Scheme(String),
    /// A server's URL that cannot be read.
    #[error("not a server's URL; write it like \"postgres://user:password@host:5432/name\"")]
    Server,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_servers_are_told_apart() {
        for (text, shown) in [
            ("books.db", "books.db"),
            ("/var/lib/books.db", "/var/lib/books.db"),
            ("sqlite:books.db", "books.db"),
            ("sqlite:///var/lib/books.db", "/var/lib/books.db"),
            ("postgres://me@db:5433/books", "postgres://me@db:5433/books"),
            ("postgresql://me@db/books", "postgres://me@db:5432/books"),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();

            assert_eq!(url.to_string(), shown);
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url: DatabaseUrl = "postgres://me:secret@db/books".parse().unwrap();
        let wrong = "postgres://me:secret@db:port/books".parse::<DatabaseUrl>();

        assert!(!url.to_string().contains("secret"));
        assert!(!format!("{url:?}").contains("secret"));
        assert!(!format!("{wrong:?}").contains("secret"));
    }

    #[test]
    fn what_names_no_database_is_refused() {
        for (text, wanted) in [
            ("", "the database is empty"),
            ("sqlite:", "the database is empty"),
            (":memory:", "a database in memory cannot be shared"),
            ("sqlite::memory:", "a database in memory cannot be shared"),
            ("mysql://me@db/books", "`mysql://` is not supported"),
            ("postgres://me@db:port/books", "not a server's URL"),
        ] {
            let refused = text.parse::<DatabaseUrl>().unwrap_err().to_string();

            assert!(refused.starts_with(wanted), "{text}: {refused}");
        }
    }
}
