//! What is asked of the library, found out from a request's method and path.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::service::{GateName, LibraryService};
use crate::answer::{self, Answer};

/// What is asked of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BookRequest {
    /// Which way through the gate; none of the book services.
    pub(super) gate: Option<GateName>,
    pub(super) task: Task,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// Read the book with this id, from 1.
    Read(i64),
    /// Make the book that is the body.
    Create(Bytes),
    /// Change a book into the one that is the body.
    Update(Bytes),
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// Whether the service runs.
    Health,
    /// Its account of itself.
    Stats,
    /// The state of the gate's breakers.
    Actuator,
    /// Books.
    Books {
        /// The path with its variables in place, for spans.
        pattern: &'static str,
        gate: Option<GateName>,
        /// The task, with an empty body.
        task: Task,
    },
}

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such resource.
    NotFound(String),
    /// The id in the path is none.
    BadId(String),
    /// The resource takes only these methods.
    Method(&'static str),
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound(detail) => answer::problem(StatusCode::NOT_FOUND, &detail),
            Refusal::BadId(detail) => answer::problem(StatusCode::BAD_REQUEST, &detail),
            Refusal::Method(allowed) => answer::method_not_allowed(allowed),
        }
    }
}

/// Finds what a request is for.
pub(super) fn find(
    service: LibraryService,
    method: &Method,
    path: &str,
) -> Result<Resource, Refusal> {
    let (allowed, resource) = match path {
        "/healthz" => (READ, Ok(Resource::Health)),
        "/stats" => (READ, Ok(Resource::Stats)),
        "/api/almg/actuator/health" if service == LibraryService::Gate => {
            (READ, Ok(Resource::Actuator))
        }
        _ => {
            let inside = path.strip_prefix(service.path());
            match inside.and_then(|inside| inside.strip_prefix('/')) {
                None => return Err(nothing()),
                Some(inside) => match service {
                    LibraryService::Gate => through_gate(inside)?,
                    LibraryService::Primary => of_primary(inside),
                    LibraryService::Fallback => of_fallback(inside),
                },
            }
        }
    };
    let is_head = *method == Method::HEAD && allowed == READ;
    if is_head || allowed == method.as_str() || (allowed == READ && *method == Method::GET) {
        return resource;
    }
    Err(Refusal::Method(allowed))
}

/// What a resource that is read takes.
const READ: &str = "GET, HEAD";
const POST: &str = "POST";
const PUT: &str = "PUT";

/// The methods that a resource takes, and the resource; or what is wrong with its path once the method is right.
type Found = (&'static str, Result<Resource, Refusal>);

fn through_gate(inside: &str) -> Result<Found, Refusal> {
    let (gate, id) = match inside.split_once('/') {
        Some((gate, id)) => (gate, Some(id)),
        None => (inside, None),
    };
    let gate = gate.parse::<GateName>();
    let gate = Some(gate.map_err(|error| Refusal::NotFound(error.to_string()))?);
    match id {
        None => Ok((
            POST,
            Ok(Resource::Books {
                pattern: "/api/almg/books/{gate}",
                gate,
                task: Task::Create(Bytes::new()),
            }),
        )),
        Some(id) if id.contains('/') => Err(nothing()),
        Some(id) => Ok((READ, read(id, "/api/almg/books/{gate}/{id}", gate))),
    }
}

fn of_primary(inside: &str) -> Found {
    let books = |pattern, task| {
        Ok(Resource::Books {
            pattern,
            gate: None,
            task,
        })
    };
    match inside {
        "create" => {
            let create = Task::Create(Bytes::new());
            (POST, books("/api/alm/reactive/books/create", create))
        }
        "update" => {
            let update = Task::Update(Bytes::new());
            (PUT, books("/api/alm/reactive/books/update", update))
        }
        id => (READ, read(id, "/api/alm/reactive/books/{id}", None)),
    }
}

fn of_fallback(inside: &str) -> Found {
    match inside {
        "create" => (
            POST,
            Ok(Resource::Books {
                pattern: "/api/alm/mvc/books/create",
                gate: None,
                task: Task::Create(Bytes::new()),
            }),
        ),
        id => (READ, read(id, "/api/alm/mvc/books/{id}", None)),
    }
}

fn read(id: &str, pattern: &'static str, gate: Option<GateName>) -> Result<Resource, Refusal> {
    // Only as it would be written: no sign, no leading zero.
    let number = id.parse().ok().filter(|number: &i64| *number > 0);
    match number.filter(|number| number.to_string() == id) {
        Some(number) => Ok(Resource::Books {
            pattern,
            gate,
            task: Task::Read(number),
        }),
        None => Err(Refusal::BadId(format!(
            "`{id}` is no book's id, which is a whole number from 1"
        ))),
    }
}

fn nothing() -> Refusal {
    Refusal::NotFound("no such resource".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(service: LibraryService, what: &str) -> Result<Resource, Refusal> {
        let (method, path) = what.split_once(' ').unwrap();
        find(service, &method.parse().unwrap(), path)
    }

    fn task(service: LibraryService, what: &str) -> (Option<GateName>, Task) {
        match asked(service, what) {
            Ok(Resource::Books { gate, task, .. }) => (gate, task),
            other => panic!("{what}: {other:?}"),
        }
    }

    #[test]
    fn books_are_read_created_and_changed() {
        use LibraryService::{Fallback, Gate, Primary};
        let create = || Task::Create(Bytes::new());
        for (service, what, wanted) in [
            (
                Gate,
                "GET /api/almg/books/g1/7",
                (Some(GateName::G1), Task::Read(7)),
            ),
            (
                Gate,
                "HEAD /api/almg/books/g5/7",
                (Some(GateName::G5), Task::Read(7)),
            ),
            (
                Gate,
                "POST /api/almg/books/g3",
                (Some(GateName::G3), create()),
            ),
            (
                Primary,
                "GET /api/alm/reactive/books/7",
                (None, Task::Read(7)),
            ),
            (
                Primary,
                "POST /api/alm/reactive/books/create",
                (None, create()),
            ),
            (
                Primary,
                "PUT /api/alm/reactive/books/update",
                (None, Task::Update(Bytes::new())),
            ),
            (Fallback, "GET /api/alm/mvc/books/7", (None, Task::Read(7))),
            (Fallback, "POST /api/alm/mvc/books/create", (None, create())),
        ] {
            assert_eq!(task(service, what), wanted, "{what}");
        }
    }

    #[test]
    fn only_the_gate_has_a_page_about_breakers() {
        let what = "GET /api/almg/actuator/health";

        assert_eq!(asked(LibraryService::Gate, what), Ok(Resource::Actuator));
        assert_eq!(asked(LibraryService::Primary, what), Err(nothing()));
    }

    #[test]
    fn wrong_methods_are_told_the_right_ones() {
        use LibraryService::{Fallback, Gate, Primary};
        for (service, what, allowed) in [
            (Gate, "POST /api/almg/books/g1/7", READ),
            (Gate, "GET /api/almg/books/g1", POST),
            (Gate, "POST /api/almg/actuator/health", READ),
            (Primary, "GET /api/alm/reactive/books/create", POST),
            (Primary, "POST /api/alm/reactive/books/update", PUT),
            (Fallback, "PUT /api/alm/mvc/books/create", POST),
            (Fallback, "DELETE /stats", READ),
        ] {
            assert_eq!(
                asked(service, what),
                Err(Refusal::Method(allowed)),
                "{what}"
            );
        }
    }

    #[test]
    fn what_is_no_id_is_told_what_one_is() {
        for id in [
            "0",
            "-1",
            "+1",
            "01",
            "1.5",
            "abc",
            "",
            "9223372036854775808",
            "%31",
            " 1",
        ] {
            let found = find(
                LibraryService::Gate,
                &Method::GET,
                &format!("/api/almg/books/g1/{id}"),
            );

            let detail = format!("`{id}` is no book's id, which is a whole number from 1");
            assert_eq!(found, Err(Refusal::BadId(detail)));
        }
    }

    #[test]
    fn paths_that_lead_nowhere_are_not_found() {
        for path in [
            "/",
            "/api/almg/books",
            "/api/almg/booksg1/7",
            "/api/almg/books/g1/7/8",
            "/api/alm/reactive/books/7",
        ] {
            let found = find(LibraryService::Gate, &Method::GET, path);

            assert_eq!(found, Err(nothing()), "{path}");
        }
    }

    proptest! {
        #[test]
        fn every_id_is_read_as_it_is_written(id in 1..=i64::MAX) {
            let path = format!("/api/alm/mvc/books/{id}");
            let found = find(LibraryService::Fallback, &Method::GET, &path);

            let is_read = matches!(found, Ok(Resource::Books { task: Task::Read(read), .. }) if read == id);
            prop_assert!(is_read);
        }

        #[test]
        fn no_path_makes_it_panic(path in "\\PC*", inside in "\\PC*") {
            for service in LibraryService::ALL {
                let under = format!("{}/{inside}", service.path());
                for path in [&path, &under] {
                    let found = find(service, &Method::GET, path);
                    let reads_nothing =
                        matches!(found, Ok(Resource::Books { task: Task::Read(..=0), .. }));
                    prop_assert!(!reads_nothing);
                }
            }
        }
    }
}
