-- Something to read from the start. Inserted in this order into an empty table, they are books 1 to 5.
INSERT INTO book (title, year, publisher) VALUES ('Wild', 2012, 'Alfred A. Knopf');
INSERT INTO book (title, year, publisher) VALUES ('The Pragmatic Programmer', 1999, 'Addison-Wesley');
INSERT INTO book (title, year, publisher) VALUES ('Release It!', 2007, 'Pragmatic Bookshelf');
INSERT INTO book (title, year, publisher) VALUES ('Site Reliability Engineering', 2016, 'O''Reilly Media');
INSERT INTO book (title, year, publisher) VALUES ('Chaos Engineering', 2020, 'O''Reilly Media');

INSERT INTO book_author (book_id, position, name) VALUES
    (1, 1, 'Cheryl Strayed'),
    (2, 1, 'Andrew Hunt'),
    (2, 2, 'David Thomas'),
    (3, 1, 'Michael T. Nygard'),
    (4, 1, 'Betsy Beyer'),
    (4, 2, 'Chris Jones'),
    (4, 3, 'Jennifer Petoff'),
    (4, 4, 'Niall Richard Murphy'),
    (5, 1, 'Casey Rosenthal'),
    (5, 2, 'Nora Jones');
