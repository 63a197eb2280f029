//! The journal as the API tells it.

use brownout_client::Client;
use brownout_testkit::{RawClient, TestUpstream, within};
use brownout_wire::{ConnectionEnd, ConnectionQuery, RequestEnd, RequestPhase, RequestQuery};
use serde_json::{Value, json};

use crate::World;

#[tokio::test]
async fn a_request_is_told_when_it_has_ended() {
    let world = World::start().await;
    world.call("POST", "/faults", json!({ "id": "busy", "route": "web", "abort": { "status": 503, "retry_after": "2s" } })).await;
    world.through("/a?token=hush").await;

    let list = world.ended(1).await;

    let told = &list["requests"][0];
    assert_eq!(
        (&told["route"], &told["path"], &told["method"]),
        (&json!("web"), &json!("/a"), &json!("GET"))
    );
    assert_eq!(
        (&told["end"], &told["end_phase"]),
        (&json!("answered"), &json!("idle_after"))
    );
    assert_eq!(
        (&told["status"], &told["faults"]),
        (&json!(503), &json!(["busy"]))
    );
    assert_eq!(
        (&told["retry_after_us"], &told["seq"]),
        (&json!(2_000_000), &json!(1))
    );
    assert_eq!(
        (&list["next"], &list["more"], &list["lost"]),
        (&json!(1), &json!(false), &json!(0))
    );
    assert!(list["now_us"].as_u64() >= told["t_end"].as_u64(), "{list}");
    assert!(!list.to_string().contains("hush"), "{list}");
}

#[tokio::test]
async fn a_request_in_progress_is_told_with_its_age() {
    let world = World::start().await;
    world
        .call(
            "POST",
            "/faults",
            json!({ "id": "hole", "route": "web", "blackhole": {} }),
        )
        .await;
    let mut client = RawClient::connect(world.proxy).await;
    client.get("/hang").await;
    world.until_held("hole").await;

    let (_, list) = world.get("/requests?state=open").await;

    let told = &list["requests"][0];
    assert_eq!(
        (&told["end"], &told["seq"], &told["t_end"]),
        (&json!("still_open"), &Value::Null, &Value::Null)
    );
    assert_eq!(
        told["age_us"].as_u64().unwrap(),
        list["now_us"].as_u64().unwrap() - told["t_head"].as_u64().unwrap()
    );
}

#[tokio::test]
async fn the_client_reads_on_where_it_stopped() {
    let world = World::start().await;
    let client = Client::new(&world.api.address().to_string()).unwrap();
    for (path, so_far) in [("/1", 1), ("/2", 2), ("/3", 3)] {
        world.through(path).await;
        // A client may have its answer a moment before the record is written, and the next be served by another core.
        world.ended(so_far).await;
    }

    let query = RequestQuery {
        after: Some(0),
        limit: Some(2),
        ..RequestQuery::default()
    };
    let first = client.requests(&query).await.unwrap();
    let query = RequestQuery {
        after: Some(first.next),
        ..query
    };
    let second = client.requests(&query).await.unwrap();

    let paths = |list: &brownout_wire::RequestList| -> Vec<String> {
        list.requests
            .iter()
            .map(|request| request.path.clone())
            .collect()
    };
    assert_eq!(
        (paths(&first), first.more),
        (vec!["/2".to_owned(), "/1".to_owned()], true)
    );
    assert_eq!(
        (paths(&second), second.more),
        (vec!["/3".to_owned()], false)
    );
    let last = &second.requests[0];
    assert_eq!(
        (last.end, last.end_phase),
        (RequestEnd::Answered, RequestPhase::IdleAfter)
    );
}

#[tokio::test]
async fn requests_are_told_of_one_route_or_fault() {
    let upstream = TestUpstream::replying("two").await;
    let world = World::start().await;
    let route = json!({ "name": "two", "listen": "127.0.0.1:0", "upstream": upstream.url() });
    world.call("POST", "/routes", route).await;
    world.through("/").await;
    world.ended(1).await;

    let (_, of_two) = world.get("/requests?route=two").await;
    let (_, of_web) = world.get("/requests?route=web").await;
    let (_, of_fault) = world.get("/requests?fault=none").await;

    let counts = [of_two, of_web, of_fault].map(|list| list["requests"].as_array().unwrap().len());
    assert_eq!(counts, [0, 1, 0]);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_what_can() {
    let world = World::start().await;
    for (query, status, detail) in [
        ("limit=0", 422, "`0` is no whole number from 1 to 1000"),
        (
            "limit=1001",
            422,
            "`1001` is no whole number from 1 to 1000",
        ),
        ("after=-1", 422, "`-1` is no whole number from 0 on"),
        ("state=opne", 422, "did you mean `open`"),
        ("rout=web", 422, "did you mean `route`"),
        ("route=nowhere", 404, "there is no route `nowhere`"),
    ] {
        let (answered, problem) = world.get(&format!("/requests?{query}")).await;

        assert_eq!(answered, status, "{query}: {problem}");
        assert!(problem.to_string().contains(detail), "{query}: {problem}");
    }
}

#[tokio::test]
async fn connections_are_told_while_they_are_open_and_when_they_ended() {
    let world = World::start().await;
    let api = Client::new(&world.api.address().to_string()).unwrap();
    let mut client = RawClient::connect(world.proxy).await;
    client.get("/").await;
    client.response().await;
    let (_, requests) = (world.ended(1).await, world.get("/requests").await.1);
    let open = ConnectionQuery {
        open: Some(true),
        ..ConnectionQuery::default()
    };
    let told = api.connections(&open).await.unwrap();
    let [connection] = &told.connections[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (connection.requests, connection.end),
        (1, ConnectionEnd::StillOpen)
    );
    assert_eq!(requests["requests"][0]["conn"], connection.conn);
    assert_eq!(
        (connection.seq, connection.age_us),
        (None, told.now_us - connection.t_open)
    );

    drop(client);
    let gone = ConnectionQuery {
        after: Some(0),
        open: Some(false),
        ..open
    };
    let read = async {
        loop {
            let told = api.connections(&gone).await.unwrap();
            if let [connection] = &told.connections[..] {
                return connection.clone();
            }
        }
    };
    let gone = within("the connection to end", read).await;

    assert_eq!((gone.end, gone.seq), (ConnectionEnd::ClientFin, Some(1)));
    assert_eq!(gone.conn, connection.conn);
    let (status, problem) = world.get("/connections?fault=x").await;
    assert_eq!(status, 422, "{problem}");
}

#[tokio::test]
async fn connections_are_told_with_their_peer_bytes_and_faults_in_force() {
    let world = World::start().await;
    let echo = TestUpstream::raw(|mut stream| async move {
        let (mut read, mut write) = stream.split();
        drop(tokio::io::copy(&mut read, &mut write).await);
    })
    .await;
    let to = format!("tcp://{}", echo.address());
    let db = json!({ "name": "db", "listen": "127.0.0.1:0", "upstream": to });
    let (_, db) = world.call("POST", "/routes", db).await;
    let mut web = RawClient::connect(world.proxy).await;
    let ask = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(web.exchange(ask).await.0.text(), "hello");
    web.exchange(ask).await;
    let mut bytes = RawClient::connect(db["listen"].as_str().unwrap().parse().unwrap()).await;
    bytes.send("0123456789").await;
    bytes.read_exact(10).await;
    for fault in [
        json!({ "id": "all", "route": "*", "reset": {}, "percent": 0 }),
        json!({ "id": "later", "route": "web", "abort": 503, "start": "1h", "ttl": "none" }),
        json!({ "id": "others", "route": "web", "abort": 503, "match": { "client": "10.0.0.0/8" } }),
        json!({ "id": "ours", "route": "web", "abort": 503, "percent": 0, "match": { "client": "127.0.0.0/8", "path": "/x" } }),
        json!({ "id": "db", "route": "db", "limit_data": { "bytes": 1_000 } }),
    ] {
        world.arm(fault).await;
    }

    // Bytes of a connection are counted when they have been written: a client may have them a moment before.
    let told = async |route: &str, state: &str, bytes: [u64; 2]| {
        let path = format!("/connections?route={route}&state={state}");
        let read = async {
            loop {
                let (_, list) = world.get(&path).await;
                if let Some(one) = list["connections"].get(0)
                    && json!([one["bytes_in"], one["bytes_out"]]) == json!(bytes)
                {
                    return one.clone();
                }
            }
        };
        within("the connection to be told with its bytes", read).await
    };
    let on_web = told("web", "open", [6, 10]).await;
    assert_eq!(on_web["peer"], web.address().to_string());
    assert_eq!(on_web["faults"], json!(["all", "ours"]));
    let on_db = told("db", "open", [10, 10]).await;
    assert_eq!(on_db["peer"], bytes.address().to_string());
    assert_eq!(on_db["faults"], json!(["all", "db"]));

    drop((web, bytes));
    for (route, counted) in [("web", [6, 10]), ("db", [10, 10])] {
        let gone = told(route, "ended", counted).await;
        assert_eq!(gone["faults"], json!([]));
    }
}

#[tokio::test]
async fn requests_are_found_by_the_fault_that_struck_them() {
    let world = World::start().await;
    world
        .arm(json!({ "id": "x", "route": "web", "abort": 503, "match": { "path": "/x" } }))
        .await;
    for path in ["/x", "/y", "/x"] {
        world.through(path).await;
    }
    world.ended(3).await;
    world.delete("/faults/x").await;

    let (_, list) = world.get("/requests?fault=x").await;

    let paths: Vec<&Value> = (list["requests"].as_array().unwrap().iter())
        .map(|request| &request["path"])
        .collect();
    assert_eq!(paths, ["/x", "/x"]);
    assert_eq!(
        world.get("/requests?fault=y").await.1["requests"],
        json!([])
    );
}

#[tokio::test]
async fn what_was_overwritten_is_told_and_without_a_journal_there_is_nothing() {
    let small = World::keeping(TestUpstream::replying("hello").await, 4).await;
    for _ in 0..40 {
        small.through("/").await;
    }
    let read = async {
        loop {
            let (_, list) = small.get("/requests?after=0&limit=1000").await;
            if list["next"] == 40 {
                return list;
            }
        }
    };
    let list = within("all to be written", read).await;
    let kept = list["requests"].as_array().unwrap().len() as u64;
    assert!((1..40).contains(&kept), "{kept}");
    assert_eq!(list["lost"].as_u64(), Some(40 - kept));

    let none = World::keeping(TestUpstream::replying("hello").await, 0).await;
    none.through("/").await;
    for path in ["/requests", "/connections"] {
        assert_eq!(none.get(path).await.0, 404, "{path}");
    }
}
