//! TLS of a service: on its listener, and to its upstreams.

use std::{fmt, io, path::Path, sync::Arc};

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// HTTP/2 as ALPN names it (RFC 9113 §3.2).
pub(crate) const HTTP2: &[u8] = b"h2";

/// TLS on the listener of a service, and whom it trusts when it calls others. HTTP/2 is spoken where both sides can.
#[derive(Clone)]
pub struct ServiceTls {
    server: Arc<ServerConfig>,
    client: ClientConfig,
}

impl fmt::Debug for ServiceTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTls").finish_non_exhaustive()
    }
}

impl ServiceTls {
    /// A service that is served by `server`, and trusts the certificates in the PEM file `trust` and those they vouch for.
    ///
    /// # Errors
    /// When the file cannot be read, or has no certificate.
    pub fn new(server: Arc<ServerConfig>, trust: &Path) -> io::Result<Self> {
        let text = std::fs::read(trust)?;
        let certificates = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        if roots.is_empty() {
            let why = "it has no certificate in PEM";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Self {
            server,
            client: client(roots),
        })
    }

    pub(crate) fn server(&self) -> &Arc<ServerConfig> {
        &self.server
    }
}

fn client(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the cipher suites of both versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Connects to upstreams, in TLS where their URL says `https`. Without `tls` nobody is trusted there.
pub(crate) fn connector(
    tls: Option<&ServiceTls>,
    mut tcp: HttpConnector,
) -> HttpsConnector<HttpConnector> {
    tcp.enforce_http(false);
    let config = tls.map_or_else(|| client(RootCertStore::empty()), |tls| tls.client.clone());
    HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(tcp)
}
