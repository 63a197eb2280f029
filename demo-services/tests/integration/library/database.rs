//! The databases: made, shared, and refused.

use demo_services::library::{DatabaseUrl, LibraryConfig, LibraryStartError, start};
use tokio::task::JoinSet;

use super::{FALLBACK, PRIMARY, Shelf, get, quick};

/// An error with all its sources.
fn told(error: &LibraryStartError) -> String {
    let error: &dyn std::error::Error = error;
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn services_that_start_at_once_on_new_books_all_start() {
    for shelf in Shelf::of_each_kind().await {
        let mut starts = JoinSet::new();
        for number in 0..8 {
            let config = match number % 2 {
                0 => LibraryConfig::primary(shelf.url()),
                _ => LibraryConfig::fallback(shelf.url()),
            };
            starts.spawn(start(quick(config)));
        }

        for started in starts.join_all().await {
            let service = started.unwrap();
            let path = match service.service().as_str() {
                "library-primary" => PRIMARY,
                _ => FALLBACK,
            };
            let status = async |id| {
                get(service.address(), &format!("{path}/{id}"))
                    .await
                    .status()
            };
            assert_eq!((status(5).await, status(6).await), (200, 404));
            service.shutdown(brownout_testkit::PATIENCE).await.unwrap();
        }
        shelf.clear().await;
    }
}

#[tokio::test]
async fn after_the_services_a_file_is_whole_and_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("books of mine?#%.db");
    let service = start(LibraryConfig::primary(DatabaseUrl::file(&file)))
        .await
        .unwrap();

    service.shutdown(brownout_testkit::PATIENCE).await.unwrap();

    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [file]);
}

#[tokio::test]
async fn a_place_where_no_books_can_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/books.db");
    let other = folder.path().join("letter.txt");
    std::fs::write(&other, "Dear reader, this is no database. ".repeat(100)).unwrap();
    for (file, wanted) in [
        (missing, "unable to open database file"),
        (other, "file is not a database"),
    ] {
        let config = LibraryConfig::primary(DatabaseUrl::file(&file));

        let refused = told(&start(config).await.unwrap_err());

        let place = format!("could not open the database {}: ", file.display());
        assert!(refused.starts_with(&place), "{refused}");
        assert!(refused.contains(wanted), "{refused}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_refused_without_its_password() {
    let (_taken, gone) = crate::system::refusing();
    let url = gone.replace("http://", "postgres://me:secret@") + "/books";

    let refused = start(LibraryConfig::primary(url.parse().unwrap())).await;

    let refused = told(&refused.unwrap_err());
    let place = url.replace(":secret", "");
    assert!(
        refused.starts_with(&format!("could not open the database {place}: ")),
        "{refused}"
    );
    assert!(!refused.contains("secret"), "{refused}");
}
