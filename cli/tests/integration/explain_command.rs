//! `brownout explain` before a real proxy.

use brownout_testkit::{RawClient, TestUpstream, eventually};

use crate::{Ran, Server, run};

fn explain(proxy: &Server, more: &[&str]) -> Ran {
    let control = proxy.control();
    run(&[&["explain", "--control", &control], more].concat())
}

fn add(proxy: &Server, words: &[&str]) {
    let control = proxy.control();
    run(&[&["fault", "add", "--control", &control], words].concat()).ok();
}

#[tokio::test]
async fn each_fault_is_told_with_its_reason() {
    let upstream = TestUpstream::replying("hello").await;
    let route = format!("web=127.0.0.1:0={}", upstream.url());
    let proxy = Server::on_a_free_port(&["proxy", "--route", &route]);
    assert_eq!(
        explain(&proxy, &["/"]).ok(),
        "GET / on web\n\nno fault is armed\n"
    );
    add(
        &proxy,
        &[
            "abort", "web", "503", "--id", "down", "--header", "x-user=7",
        ],
    );
    add(
        &proxy,
        &["latency", "web", "1ms", "--id", "slow", "--percent", "20"],
    );

    let request = "POST http://shop.test/v1/pay?x=1";
    let told = explain(&proxy, &[request, "-H", "x-user: 7"]).ok();
    assert_eq!(
        told,
        "POST /v1/pay on web\n\
         \n\
         acts        down (abort, phase request)\n            it fits and acts on every match\n\
         by chance   slow (latency, phase request)\n            it fits; 20 % of matches are hit\n"
    );

    let mut client = RawClient::connect(proxy.route("web")).await;
    client.get("/carried").await;
    client.response().await;
    // The record is written when the answer has gone out.
    eventually("the record to be written", || {
        explain(&proxy, &["last"]).code() == 0
    })
    .await;
    let told = explain(&proxy, &["last"]).ok();
    assert!(
        told.starts_with("GET /carried on web\nrequest 0: answered, status 200\n"),
        "{told}"
    );
    assert!(told.contains("passed      down"), "{told}");
    assert!(
        told.contains("what its match asks of `header` is not known"),
        "{told}"
    );
}

#[tokio::test]
async fn what_cannot_be_asked_says_what_can() {
    let upstream = TestUpstream::replying("hello").await;
    let one = format!("one=127.0.0.1:0={}", upstream.url());
    let two = format!("two=127.0.0.1:0={}", upstream.url());
    let proxy = Server::on_a_free_port(&["proxy", "--route", &one, "--route", &two]);

    for (words, code, told) in [
        (
            &["/"][..],
            2,
            "there are several routes; say which with --route: one, two",
        ),
        (&["books"], 2, "write it as 'GET /path'"),
        (
            &["/", "--route", "one", "-H", "x"],
            2,
            "is not of the form 'NAME: VALUE'",
        ),
        (&["7"], 1, "there is no record of a request 7"),
        (&["last"], 1, "no request has ended yet"),
    ] {
        let ran = explain(&proxy, words);
        assert_eq!(ran.code(), code, "{words:?}: {}", ran.err());
        assert!(ran.err().contains(told), "{words:?}: {}", ran.err());
    }
}
