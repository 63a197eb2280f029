//! A certificate that is trusted as itself: `openssl req -x509` makes it with CA:TRUE, and curl takes it.

use std::{fs, path::PathBuf};

use brownout_proxy::UpstreamTlsOptions;
use brownout_testkit::{TestCertificate, TestProxy, TestUpstream, TlsFront};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

/// A self-signed certificate of an authority for this name.
fn own(directory: &tempfile::TempDir, name: &str) -> TestCertificate {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let file = |end: &str| directory.path().join(format!("{name}.{end}"));
    let own = TestCertificate {
        cert: file("pem"),
        key: file("key"),
    };
    fs::write(&own.cert, certificate.pem()).unwrap();
    fs::write(&own.key, key.serialize_pem()).unwrap();
    own
}

async fn answer(shown: &TestCertificate, trusted: PathBuf) -> (u16, String) {
    let upstream = TestUpstream::replying("hello").await;
    let front = TlsFront::before(upstream.address(), shown).await;
    let proxy = TestProxy::to_url(&front.url())
        .with_upstream_tls(UpstreamTlsOptions {
            ca: Some(trusted),
            ..UpstreamTlsOptions::default()
        })
        .start();
    let answer = proxy.get("/").await;
    (answer.status(), answer.text())
}

#[tokio::test]
async fn an_authoritys_own_certificate_is_taken_where_it_is_the_one_that_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let shown = own(&directory, "127.0.0.1");

    let (status, text) = answer(&shown, shown.cert.clone()).await;

    assert_eq!((status, text.as_str()), (200, "hello"));
}

#[tokio::test]
async fn another_one_or_one_for_another_name_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (shown, other) = (own(&directory, "127.0.0.1"), own(&directory, "127.0.0.2"));

    let (status, text) = answer(&shown, other.cert.clone()).await;
    assert_eq!(status, 502);
    assert!(text.contains("CA:TRUE"), "{text}");
    let (status, text) = answer(&other, other.cert.clone()).await;
    assert_eq!(status, 502);
    assert!(text.contains("127.0.0.2"), "{text}");
}
