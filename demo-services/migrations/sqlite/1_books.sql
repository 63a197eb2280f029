-- Books and their authors, in order. A request key is kept so that a creation that is sent twice makes one book.
CREATE TABLE book (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    year INTEGER NOT NULL,
    publisher TEXT NOT NULL,
    request_key TEXT UNIQUE
) STRICT;

CREATE TABLE book_author (
    book_id INTEGER NOT NULL REFERENCES book (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (book_id, position)
) STRICT, WITHOUT ROWID;
