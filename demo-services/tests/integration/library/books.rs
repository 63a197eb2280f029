//! Books: read, made and changed, through either service.

use demo_services::library::{LibraryConfig, start};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    Books, FALLBACK, PRIMARY, Shelf, answered, body, get, piranesi, post, problem, send, stats,
};

#[tokio::test]
async fn there_is_something_to_read_from_the_start() {
    for shelf in Shelf::of_each_kind().await {
        let books = Books::on(&shelf).await;

        let quick = get(books.primary.address(), &format!("{PRIMARY}/1")).await;
        let slow = get(books.fallback.address(), &format!("{FALLBACK}/2")).await;

        assert_eq!(quick.status(), 200);
        assert_eq!(quick.values("content-type"), ["application/json"]);
        assert_eq!(
            quick.text(),
            r#"{"id":1,"title":"Wild","authors":["Cheryl Strayed"],"year":2012,"publisher":"Alfred A. Knopf","source":"primary"}"#
        );
        assert_eq!(
            slow.text(),
            r#"{"id":2,"title":"The Pragmatic Programmer","authors":["Andrew Hunt","David Thomas"],"year":1999,"publisher":"Addison-Wesley","source":"fallback"}"#
        );
        books.end().await;
        shelf.clear().await;
    }
}

#[tokio::test]
async fn a_book_made_through_one_is_read_through_the_other() {
    for shelf in Shelf::of_each_kind().await {
        let books = Books::on(&shelf).await;
        let (primary, fallback) = (books.primary.address(), books.fallback.address());

        let made = post(primary, &format!("{PRIMARY}/create"), &piranesi()).await;
        assert_eq!(made.status(), 201);
        assert_eq!(made.values("location"), [format!("{PRIMARY}/6")]);
        assert_eq!(body(&made), answered(&piranesi(), 6, "primary"));
        let read = get(fallback, &format!("{FALLBACK}/6")).await;
        assert_eq!(body(&read), answered(&piranesi(), 6, "fallback"));

        let made = post(fallback, &format!("{FALLBACK}/create"), &piranesi()).await;
        assert_eq!(made.status(), 201);
        assert_eq!(made.values("location"), [format!("{FALLBACK}/7")]);
        let read = get(primary, &format!("{PRIMARY}/7")).await;
        assert_eq!(body(&read), answered(&piranesi(), 7, "primary"));
        books.end().await;
        shelf.clear().await;
    }
}

#[tokio::test]
async fn a_changed_book_is_changed_for_both_and_keeps_nothing() {
    for shelf in Shelf::of_each_kind().await {
        let books = Books::on(&shelf).await;
        let update = format!("PUT {PRIMARY}/update");
        let mut changed = body(&get(books.primary.address(), &format!("{PRIMARY}/4")).await);
        changed["authors"] = json!(["Betsy Beyer", "et al."]);

        let answer = send(books.primary.address(), &update, "", &changed.to_string()).await;

        assert_eq!((answer.status(), body(&answer)), (200, changed.clone()));
        let read = body(&get(books.fallback.address(), &format!("{FALLBACK}/4")).await);
        assert_eq!(read, answered(&changed, 4, "fallback"));

        changed["id"] = json!(99);
        let answer = send(books.primary.address(), &update, "", &changed.to_string()).await;
        assert_eq!(problem(&answer), (404, "there is no book 99".to_owned()));
        books.end().await;
        shelf.clear().await;
    }
}

#[tokio::test]
async fn books_outlast_the_services() {
    for shelf in Shelf::of_each_kind().await {
        let books = Books::on(&shelf).await;
        post(
            books.primary.address(),
            &format!("{PRIMARY}/create"),
            &piranesi(),
        )
        .await;
        books.end().await;

        let books = Books::on(&shelf).await;

        let read = get(books.primary.address(), &format!("{PRIMARY}/6")).await;
        assert_eq!(body(&read), answered(&piranesi(), 6, "primary"));
        let made = post(
            books.fallback.address(),
            &format!("{FALLBACK}/create"),
            &piranesi(),
        )
        .await;
        assert_eq!(body(&made)["id"], 7);
        books.end().await;
        shelf.clear().await;
    }
}

#[tokio::test]
async fn a_creation_that_is_sent_often_makes_one_book() {
    for shelf in Shelf::of_each_kind().await {
        let books = Books::on(&shelf).await;
        let create = async |address, path: &'static str, book: Value| {
            let what = format!("POST {path}/create");
            send(
                address,
                &what,
                "Idempotency-Key: abc\r\n",
                &book.to_string(),
            )
            .await
        };
        let mut sendings = JoinSet::new();
        for number in 0..10 {
            let (address, path) = match number % 2 {
                0 => (books.primary.address(), PRIMARY),
                _ => (books.fallback.address(), FALLBACK),
            };
            sendings.spawn(async move { create(address, path, piranesi()).await });
        }

        let answers = sendings.join_all().await;

        let ids: Vec<_> = answers
            .iter()
            .map(|answer| body(answer)["id"].clone())
            .collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert!(answers.iter().all(|answer| answer.status() == 201));
        let mut other = piranesi();
        other["year"] = json!(2021);
        let refused = create(books.primary.address(), PRIMARY, other).await;
        assert_eq!(
            problem(&refused),
            (
                422,
                "the idempotency-key was used before, for another book".to_owned()
            )
        );
        books.end().await;
        shelf.clear().await;
    }
}

#[tokio::test]
async fn many_creations_at_once_make_as_many_books() {
    for shelf in Shelf::of_each_kind().await {
        let books = Books::on(&shelf).await;
        let mut sendings = JoinSet::new();
        for number in 0..40 {
            let (address, path) = match number % 2 {
                0 => (books.primary.address(), PRIMARY),
                _ => (books.fallback.address(), FALLBACK),
            };
            sendings.spawn(async move {
                let made = post(address, &format!("{path}/create"), &piranesi()).await;
                assert_eq!(made.status(), 201, "{}", made.text());
                body(&made)["id"].as_i64().unwrap()
            });
        }

        let mut ids = sendings.join_all().await;

        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 40);
        books.end().await;
        shelf.clear().await;
    }
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let read = |id: &str| format!("GET {PRIMARY}/{id}");
    let create = format!("POST {PRIMARY}/create");
    let update = format!("PUT {PRIMARY}/update");
    let no_id = |id: &str| format!("`{id}` is no book's id, which is a whole number from 1");
    let mut without_year = piranesi();
    without_year.as_object_mut().unwrap().remove("year");
    let mut with_id = piranesi();
    with_id["id"] = json!(7);
    for (what, sent, status, detail) in [
        (read("abc"), String::new(), 400, no_id("abc")),
        (read("0"), String::new(), 400, no_id("0")),
        (read("1.5"), String::new(), 400, no_id("1.5")),
        (
            read("99999999999999999999"),
            String::new(),
            400,
            no_id("99999999999999999999"),
        ),
        (
            read("99"),
            String::new(),
            404,
            "there is no book 99".to_owned(),
        ),
        (
            read("9223372036854775807"),
            String::new(),
            404,
            "there is no book 9223372036854775807".to_owned(),
        ),
        (read("1/2"), String::new(), 400, no_id("1/2")),
        (
            "GET /books/1".to_owned(),
            String::new(),
            404,
            "no such resource".to_owned(),
        ),
        (
            create.clone(),
            String::new(),
            400,
            "not JSON: EOF while parsing a value at line 1 column 0".to_owned(),
        ),
        (
            create.clone(),
            "{\"title\"".to_owned(),
            400,
            "not JSON: EOF while parsing an object at line 1 column 8".to_owned(),
        ),
        (
            create.clone(),
            without_year.to_string(),
            422,
            "year: is missing".to_owned(),
        ),
        (
            create.clone(),
            with_id.to_string(),
            422,
            "id: is given by the library; leave it out".to_owned(),
        ),
        (
            create.clone(),
            " ".repeat(64 * 1024 + 1),
            413,
            "a book takes at most 64 KiB".to_owned(),
        ),
        (
            update.clone(),
            piranesi().to_string(),
            422,
            "id: is missing".to_owned(),
        ),
        (
            update,
            with_id.to_string(),
            404,
            "there is no book 7".to_owned(),
        ),
        (
            format!("DELETE {PRIMARY}/1"),
            String::new(),
            405,
            "this resource takes GET, HEAD".to_owned(),
        ),
        (
            format!("GET {PRIMARY}/create"),
            String::new(),
            405,
            "this resource takes POST".to_owned(),
        ),
    ] {
        let answer = send(books.primary.address(), &what, "", &sent).await;

        assert_eq!(problem(&answer), (status, detail), "{what}");
    }
    let key = format!("Idempotency-Key: {}\r\n", "x".repeat(201));
    let answer = send(
        books.primary.address(),
        &create,
        &key,
        &piranesi().to_string(),
    )
    .await;
    assert_eq!(problem(&answer).0, 400);
    let stats = stats(&books.primary).await;
    assert_eq!(stats.received, stats.answered);
}

#[tokio::test]
async fn the_fallback_changes_nothing() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;

    let answer = send(
        books.fallback.address(),
        &format!("PUT {FALLBACK}/update"),
        "",
        "{}",
    )
    .await;

    assert_eq!(answer.status(), 405);
    assert_eq!(answer.values("allow"), ["GET, HEAD"]);
}

#[tokio::test]
async fn head_is_get_without_the_book() {
    let shelf = Shelf::file();
    let books = Books::on(&shelf).await;
    let mut client = brownout_testkit::RawClient::connect(books.primary.address()).await;

    client
        .send(format!("HEAD {PRIMARY}/1 HTTP/1.1\r\nHost: test\r\n\r\n"))
        .await;
    let head = client.head().await;
    client.get(&format!("{PRIMARY}/1")).await;
    let book = client.response().await;

    assert_eq!(head.status(), 200);
    assert_eq!(head.values("content-length"), book.values("content-length"));
}

#[tokio::test]
async fn a_service_has_a_bounded_line() {
    let shelf = Shelf::file();
    let config = LibraryConfig {
        workers: 1,
        queue: 0,
        work: std::time::Duration::from_secs(3600),
        ..LibraryConfig::primary(shelf.url())
    };
    let primary = start(config).await.unwrap();
    let mut first = brownout_testkit::RawClient::connect(primary.address()).await;
    first.get(&format!("{PRIMARY}/1")).await;
    while stats(&primary).await.running == 0 {}

    let second = get(primary.address(), &format!("{PRIMARY}/1")).await;

    assert_eq!(
        problem(&second),
        (503, "all workers are busy and the queue is full".to_owned())
    );
    assert_eq!(stats(&primary).await.shed, 1);
}
