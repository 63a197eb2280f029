use super::*;

#[test]
fn an_upstream_is_a_host_and_a_port() {
    let cases = [
        (
            "http://127.0.0.1:9000",
            "127.0.0.1:9000",
            Some("127.0.0.1:9000"),
        ),
        ("http://[::1]:9000", "[::1]:9000", Some("[::1]:9000")),
        ("http://shop.internal/", "shop.internal", None),
        ("http://10.0.0.1", "10.0.0.1", Some("10.0.0.1:80")),
    ];
    for (text, authority, address) in cases {
        let upstream = Upstream::parse(text).unwrap();
        assert_eq!(upstream.authority(), authority);
        assert_eq!(upstream.address.map(|a| a.to_string()).as_deref(), address);
    }
}

#[test]
fn several_servers_are_alike() {
    let several = "http://a:1/v1,http://b:2/v1";
    let upstream = Upstream::parse("http://a:1/v1, http://b:2/v1/").unwrap();
    assert_eq!(upstream.to_string(), several);
    assert_eq!(upstream, Upstream::parse(several).unwrap());
    let turns = [0; 3].map(|_| upstream.next_server().server);
    assert_eq!(turns, [0, 1, 0]);
    for text in [
        "http://a:1,tcp://b:2",
        "http://a:1,http://b:2/v1",
        "http://a:1,https://b:2",
    ] {
        assert_eq!(Upstream::parse(text), Err(InvalidUpstream::Mixed), "{text}");
    }
    assert!(Upstream::parse("http://a:1,").is_err());
    assert!(Upstream::parse(&["http://a:1"; 64].join(",")).is_ok());
    assert!(Upstream::parse(&["http://a:1"; 65].join(",")).is_err());
}

#[test]
fn a_comma_in_a_path_is_part_of_it() {
    for text in ["http://a:1/x,y", "unix:/run/a,b.sock"] {
        let upstream = Upstream::parse(text).unwrap();
        assert_eq!(upstream.to_string(), text);
        assert!(!upstream.has_others());
    }
    let text = "http://a:1/x,y,http://b:1/x,y";
    assert_eq!(Upstream::parse(text).unwrap().servers().count(), 2);
}

#[test]
fn a_unix_socket_is_an_upstream() {
    for (text, shown) in [
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("http+unix:///run/a.sock", "unix:/run/a.sock"),
        ("unix:/run/a.sock:/v1/", "unix:/run/a.sock:/v1"),
        ("tcp+unix:/run/a.sock", "tcp+unix:/run/a.sock"),
    ] {
        assert_eq!(Upstream::parse(text).unwrap().to_string(), shown);
    }
    for text in ["unix:a", "unix:", "unix:/a/", "unix://host/a"] {
        assert_eq!(
            Upstream::parse(text),
            Err(InvalidUpstream::UnixPath),
            "{text}"
        );
    }
    assert!(Upstream::parse("tcp+unix:/a:/v1").is_err());
}

#[test]
fn what_is_no_upstream_says_why() {
    let cases = [
        ("127.0.0.1:9000", InvalidUpstream::Malformed),
        ("ftp://shop.example", InvalidUpstream::Malformed),
        (
            "tcp://shop.example:1/v1",
            InvalidUpstream::Path {
                what: "a path",
                form: "tcp://HOST:PORT",
            },
        ),
        (
            "https://shop.example/v1?x",
            InvalidUpstream::Path {
                what: "a query or fragment",
                form: "https://HOST:PORT/PATH",
            },
        ),
        (
            "http://me:secret@shop.example",
            InvalidUpstream::Credentials,
        ),
        ("http://", InvalidUpstream::Malformed),
        ("http://:80", InvalidUpstream::Malformed),
        ("http://shop:0", InvalidUpstream::Malformed),
        ("http://shop:99999", InvalidUpstream::Malformed),
        ("http://sh op:80", InvalidUpstream::Malformed),
        ("", InvalidUpstream::Malformed),
    ];
    for (text, error) in cases {
        assert_eq!(Upstream::parse(text), Err(error), "{text}");
    }
}

#[test]
fn the_host_of_an_upstream_has_no_usual_port() {
    let cases = [
        ("http://shop.example:80", "shop.example"),
        ("http://shop.example:443", "shop.example:443"),
        ("https://shop.example", "shop.example"),
        ("https://[::1]:443", "[::1]"),
        ("https://[::1]", "[::1]"),
        ("https://shop.example:8443", "shop.example:8443"),
    ];
    for (text, host) in cases {
        let upstream = Upstream::parse(text).unwrap();
        let upstream = upstream.with_host(HostField::Upstream).unwrap();
        assert_eq!(upstream.outgoing_host(), OutgoingHost::Is(host), "{text}");
    }
}

#[test]
fn a_host_field_is_a_host() {
    let upstream = |text| Upstream::parse(text).unwrap();
    for text in ["", "a b", "a/b", "me@host", "a\r\nX: 1"] {
        let refused = upstream("http://up").with_host(HostField::Text(text.to_owned()));
        assert_eq!(refused, Err(InvalidUpstream::HostField), "{text:?}");
    }
    let text = HostField::Text("api.test:8443".to_owned());
    assert!(upstream("http://up").with_host(text.clone()).is_ok());
    let refused = upstream("tcp://up:1").with_host(text);
    assert_eq!(refused, Err(InvalidUpstream::HostOfTcp));
}
