//! Files of TLS that cannot be used.

use std::path::PathBuf;

use brownout_proxy::{InvalidUpstream, Upstream, UpstreamTlsOptions};
use brownout_testkit::TestAuthority;

#[test]
fn files_that_cannot_be_used_are_told_with_the_option_and_the_file() {
    let authority = TestAuthority::new();
    let (one, other) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let expired = TestAuthority::valid_until(2010);
    let junk = authority.file().with_file_name("junk.pem");
    std::fs::write(&junk, "no certificate").unwrap();
    let missing = PathBuf::from("/nowhere/ca.pem");
    let options = UpstreamTlsOptions::default;
    let cases = [
        (
            UpstreamTlsOptions {
                ca: Some(missing),
                ..options()
            },
            ("ca", "could not read `/nowhere/ca.pem`: No such file"),
        ),
        (
            UpstreamTlsOptions {
                ca: Some(PathBuf::from("/dev/zero")),
                ..options()
            },
            ("ca", "it is not a file"),
        ),
        (
            UpstreamTlsOptions {
                ca: Some(junk),
                ..options()
            },
            ("ca", "has no certificate in PEM"),
        ),
        (
            UpstreamTlsOptions {
                ca: Some(expired.file()),
                ..options()
            },
            ("ca", "expired on Fri, 01 Jan 2010"),
        ),
        (
            UpstreamTlsOptions {
                cert: Some(one.cert.clone()),
                key: Some(other.key.clone()),
                ..options()
            },
            ("key", "does not match the certificate in"),
        ),
        (
            UpstreamTlsOptions {
                cert: Some(one.cert.clone()),
                key: Some(one.cert.clone()),
                ..options()
            },
            ("key", "has no private key in PEM"),
        ),
        (
            UpstreamTlsOptions {
                cert: Some(one.cert.clone()),
                ..options()
            },
            ("key", "is needed beside `cert`"),
        ),
        (
            UpstreamTlsOptions {
                alpn: Some(vec!["h2".to_owned()]),
                ..options()
            },
            ("alpn", "`h2` is not spoken here"),
        ),
        (
            UpstreamTlsOptions {
                server_name: Some("a b".to_owned()),
                ..options()
            },
            ("server_name", "is neither a host name nor an address"),
        ),
        (
            UpstreamTlsOptions {
                insecure: true,
                ca: Some(authority.file()),
                ..options()
            },
            ("insecure", "leave out one of them"),
        ),
    ];
    for (options, (field, detail)) in cases {
        match Upstream::parse_with("https://up.test", Some(&options)) {
            Err(InvalidUpstream::Tls(wrong)) => {
                assert_eq!(wrong.field, field, "{wrong}");
                assert!(wrong.detail.contains(detail), "{wrong}");
            }
            other => panic!("{options:?}: {other:?}"),
        }
    }
}
