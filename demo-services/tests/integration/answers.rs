//! What each service answers when all goes well, and to whom it does not.

use brownout_testkit::RawClient;
use demo_services::{Service, start};

use crate::system::{
    System, USER, WHOLE_PAGE, answering, ask, get, quick, request, resetting, stats,
};

const TOKEN: Option<&str> = Some("Token 0x132");

#[tokio::test]
async fn a_page_has_both_lists_and_no_mark() {
    let system = System::start().await;

    let page = system.page().await;

    assert_eq!(page.status(), 200);
    assert_eq!(page.text(), WHOLE_PAGE);
    assert_eq!(page.values("content-type"), ["application/json"]);
    assert!(page.values("x-degraded").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_runs_on_several_threads_as_well() {
    let system = System::start().await;

    assert_eq!(system.page().await.text(), WHOLE_PAGE);
}

#[tokio::test]
async fn authentication_names_a_user_and_permissions() {
    let service = start(quick(Service::Authentication)).await.unwrap();

    let answer = ask(service.address(), "POST /authenticate", TOKEN).await;

    assert_eq!(answer.status(), 200);
    let user: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        user["permissions"],
        serde_json::json!(["can_view_recommendations", "can_view_homepage"])
    );
    let uuid = user["uuid"].as_str().unwrap();
    assert_eq!(uuid.len(), 36);
    assert_eq!(&uuid[14..15], "4", "{uuid} is of version 4");
}

#[tokio::test]
async fn a_token_belongs_to_the_same_user_again_but_not_to_another() {
    let service = start(quick(Service::Authentication)).await.unwrap();
    let user = async |token| {
        let answer = ask(service.address(), "POST /authenticate", Some(token)).await;
        answer.text()
    };

    let first = user("Token 0x132").await;

    assert_eq!(user("Token 0x132").await, first);
    assert_ne!(user("Token 0x133").await, first);
}

#[tokio::test]
async fn recommendations_and_popular_items_are_lists() {
    let system = System::start().await;

    let recommendations = get(system.recommendations.address(), "/recommendations").await;
    let popular = ask(system.popular_items.address(), "GET /popular_items", None).await;

    assert_eq!(
        recommendations.text(),
        "[12,23,100,122,220,333,340,400,555,654]"
    );
    assert_eq!(popular.text(), "[1,2,3,4,5,6,7,8,9,10]");
}

#[tokio::test]
async fn without_a_token_there_is_a_401_with_a_challenge_and_no_call() {
    let system = System::start().await;

    for (service, what) in [
        (&system.authentication, "POST /authenticate"),
        (&system.homepage, "GET /"),
        (&system.recommendations, "GET /recommendations"),
    ] {
        let answer = ask(service.address(), what, None).await;

        assert_eq!(answer.status(), 401, "{what}");
        assert_eq!(answer.values("www-authenticate"), ["Token realm=\"demo\""]);
        assert_eq!(answer.values("content-type"), ["application/problem+json"]);
    }
    assert_eq!(stats(&system.authentication).await.received, 1);
}

#[tokio::test]
async fn a_token_that_is_refused_is_a_401() {
    for status in [401, 403] {
        let authentication = answering(status, "").await;
        let recommendations =
            quick(Service::Recommendations).calling(Service::Authentication, authentication.url());
        let recommendations = start(recommendations).await.unwrap();

        let answer = get(recommendations.address(), "/recommendations").await;

        assert_eq!(answer.status(), 401);
        assert_eq!(answer.values("www-authenticate").len(), 1);
    }
}

#[tokio::test]
async fn a_missing_permission_is_a_403() {
    for user in [
        r#"{"permissions":["can_view_homepage"]}"#,
        r#"{"permissions":[]}"#,
        "{}",
    ] {
        let authentication = answering(200, user).await;
        let recommendations =
            quick(Service::Recommendations).calling(Service::Authentication, authentication.url());
        let recommendations = start(recommendations).await.unwrap();

        let answer = get(recommendations.address(), "/recommendations").await;

        assert_eq!(answer.status(), 403, "{user}");
    }
}

#[tokio::test]
async fn homepage_and_recommendations_want_permissions_of_their_own() {
    let authentication = answering(200, r#"{"permissions":["can_view_homepage"]}"#).await;
    let recommendations =
        quick(Service::Recommendations).calling(Service::Authentication, authentication.url());
    let recommendations = start(recommendations).await.unwrap();
    let url = format!("http://{}", recommendations.address());
    let system = System::with(|homepage| {
        homepage
            .calling(Service::Authentication, authentication.url())
            .calling(Service::Recommendations, url)
    })
    .await;

    let page = system.page().await;

    assert_eq!(page.status(), 200);
    assert_eq!(page.values("x-degraded"), ["recommendations"]);
}

#[tokio::test]
async fn when_authentication_cannot_be_asked_there_is_nothing_to_fall_back_to() {
    let resetting = resetting().await;
    let failing = answering(503, USER).await;
    let talking = answering(200, "welcome").await;

    for authentication in [&resetting, &failing, &talking] {
        let system = System::with(|homepage| {
            let mut homepage = homepage.calling(Service::Authentication, authentication.url());
            homepage.policy = demo_services::policies::named("none").unwrap();
            homepage
        })
        .await;

        let page = system.page().await;

        assert_eq!(page.status(), 500);
        assert_eq!(page.values("content-type"), ["application/problem+json"]);
        assert!(page.values("x-degraded").is_empty());
        let homepage = stats(&system.homepage).await;
        assert_eq!(homepage.upstreams["authentication"].outcomes.failed, 1);
        assert_eq!(homepage.upstreams["recommendations"].calls, 0);
    }
}

#[tokio::test]
async fn the_token_is_passed_on() {
    let authentication = answering(200, USER).await;
    let recommendations = answering(200, "[1]").await;
    let system = System::with(|homepage| {
        homepage
            .calling(Service::Authentication, authentication.url())
            .calling(Service::Recommendations, recommendations.url())
    })
    .await;

    system.page().await;

    let asked = &authentication.received()[0];
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.target, "/authenticate");
    assert_eq!(asked.headers["authorization"], "Token 0x132");
    assert_eq!(asked.headers["content-length"], "0");
    let asked = &recommendations.received()[0];
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.target, "/recommendations");
    assert_eq!(asked.headers["authorization"], "Token 0x132");
}

#[tokio::test]
async fn what_is_not_there_is_a_404_and_wrong_methods_are_a_405() {
    let system = System::start().await;

    for (service, what, status, allow) in [
        (&system.homepage, "GET /index.html", 404, None),
        (&system.homepage, "GET /recommendations", 404, None),
        (&system.homepage, "POST /", 405, Some("GET, HEAD")),
        (&system.homepage, "DELETE /stats", 405, Some("GET, HEAD")),
        (&system.homepage, "POST /healthz", 405, Some("GET, HEAD")),
        (
            &system.authentication,
            "GET /authenticate",
            405,
            Some("POST"),
        ),
        (
            &system.authentication,
            "HEAD /authenticate",
            405,
            Some("POST"),
        ),
        (&system.authentication, "GET /", 404, None),
    ] {
        let mut client = RawClient::connect(service.address()).await;
        client.send(request(what, TOKEN)).await;
        let answer = client.head().await;

        assert_eq!(answer.status(), status, "{what}");
        let allowed: Vec<_> = allow.into_iter().collect();
        assert_eq!(answer.values("allow"), allowed, "{what}");
        assert_eq!(answer.values("content-type"), ["application/problem+json"]);
    }
    assert_eq!(stats(&system.homepage).await.received, 0);
}

#[tokio::test]
async fn a_problem_says_what_it_is() {
    let system = System::start().await;

    let answer = get(system.homepage.address(), "/nothing").await;

    assert_eq!(
        answer.text(),
        r#"{"title":"Not Found","status":404,"detail":"no such resource"}"#
    );
}

#[tokio::test]
async fn head_is_get_without_the_page() {
    let system = System::start().await;
    let mut client = RawClient::connect(system.homepage.address()).await;

    client.send(request("HEAD /", TOKEN)).await;
    let head = client.head().await;
    client.send(request("GET /", TOKEN)).await;
    let page = client.response().await;

    assert_eq!(head.status(), 200);
    assert_eq!(head.values("content-length"), page.values("content-length"));
    assert_eq!(page.text(), WHOLE_PAGE);
}

#[tokio::test]
async fn a_query_changes_nothing() {
    let system = System::start().await;

    assert_eq!(
        get(system.homepage.address(), "/?user=1").await.status(),
        200
    );
}

#[tokio::test]
async fn health_and_stats_are_not_counted() {
    let system = System::start().await;

    for _ in 0..3 {
        let answer = ask(system.homepage.address(), "GET /healthz", None).await;
        assert_eq!(answer.text(), r#"{"status":"ok"}"#);
    }

    let stats = stats(&system.homepage).await;
    assert_eq!(stats.received, 0);
    assert_eq!(stats.answered, 0);
}
