//! TLS, on both sides of a route: what is trusted, who the proxy says it is, and why a handshake failed.
//!
//! Files are read and checked here, when a route is made or changed; what comes of them goes with the route. How bytes
//! are encrypted is for [`transport`](crate::transport) alone.

mod authority;
mod failure;
mod files;
mod listener;
mod upstream;
mod validity;
mod verifier;

pub use self::{
    authority::{AuthorityError, LocalAuthority},
    files::InvalidTls,
    listener::{CertificateFiles, ListenerTls, ListenerTlsOptions},
    upstream::{UpstreamTls, UpstreamTlsOptions},
};
pub(crate) use self::{
    failure::{TlsCause, TlsFailure},
    listener::ServerTls,
    upstream::CoreTls,
};

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// The one protocol that is spoken inside TLS, as ALPN names it (RFC 7301).
pub(crate) const HTTP11: &str = "http/1.1";
/// HTTP/2 in TLS (RFC 9113 §3.2).
pub(crate) const HTTP2: &str = "h2";

/// What encrypts.
fn provider() -> Arc<CryptoProvider> {
    use std::sync::OnceLock;
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}
