//! TLS to an upstream.

use std::{
    cell::RefCell,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    client::{Resumption, danger::ServerCertVerifier},
    pki_types::{CertificateDer, ServerName},
};

use super::{
    HTTP2, HTTP11, InvalidTls,
    files::{Identity, authorities, both},
    provider,
    verifier::{AnyCertificate, SignedOrPinned},
};
use crate::{
    limits::TLS_SESSIONS_MAX,
    upstream::{HttpVersion, InvalidUpstream, Protocol},
};

/// How a route is to speak TLS to its upstream, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTlsOptions {
    /// A PEM file with the certificates to trust. `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// A PEM file with the certificate to show to the upstream, and its issuers. Needs `key`.
    pub cert: Option<PathBuf>,
    /// A PEM file with the key of `cert`, not encrypted.
    pub key: Option<PathBuf>,
    /// The name to ask for (SNI) and to find in the upstream's certificate. `None`: the host of the upstream.
    pub server_name: Option<String>,
    /// Take any certificate.
    pub insecure: bool,
    /// The protocols to offer (ALPN). On an `http` route only `http/1.1` is spoken; `None` offers it, an empty list none. On a
    /// `tcp` route `None` offers none.
    pub alpn: Option<Vec<String>>,
}

/// How a route speaks TLS to its upstream: its options, and what was in the files that they name. Two are equal when both
/// are.
#[derive(Clone)]
pub struct UpstreamTls {
    loaded: Arc<Loaded>,
    /// The name to ask for, and to find in the certificate.
    name: ServerName<'static>,
}

struct Loaded {
    options: UpstreamTlsOptions,
    /// `None` where the system's are trusted, or any certificate is.
    authorities: Option<Vec<CertificateDer<'static>>>,
    identity: Option<Identity>,
    config: ClientConfig,
}

impl UpstreamTls {
    /// Reads the files of `options`, for an upstream at `host` that is spoken to in `protocol`.
    ///
    /// # Errors
    /// When a file cannot be read or used, or an option makes no sense.
    pub(crate) fn load(
        options: UpstreamTlsOptions,
        host: &str,
        protocol: Protocol,
    ) -> Result<Self, InvalidTls> {
        if options.insecure && options.ca.is_some() {
            return Err(InvalidTls::new(
                "insecure",
                "takes any certificate, so `ca` would mean nothing; leave out one of them",
            ));
        }
        let name = server_name(options.server_name.as_deref(), host)?;
        let offered = offered(options.alpn.as_deref(), protocol)?;
        let ca = options.ca.as_deref();
        let authorities = ca.map(|path| authorities("ca", path)).transpose()?;
        let identity = both(options.cert.as_ref(), options.key.as_ref())?;
        let mut config = config(&options, authorities.as_deref(), identity.as_ref())?;
        config.alpn_protocols = offered.into_iter().map(String::into_bytes).collect();
        let loaded = Arc::new(Loaded {
            options,
            authorities,
            identity,
            config,
        });
        Ok(Self { loaded, name })
    }

    /// The same, for a server at another `host`.
    ///
    /// # Errors
    /// When no certificate can have that name.
    pub(crate) fn at(&self, host: &str) -> Result<Self, InvalidTls> {
        let name = server_name(self.loaded.options.server_name.as_deref(), host)?;
        Ok(Self {
            loaded: Arc::clone(&self.loaded),
            name,
        })
    }

    /// The same, offering with ALPN what this says where the options leave it open.
    pub(crate) fn speaking(&self, http: HttpVersion) -> Result<Self, InvalidUpstream> {
        let offered: &[&str] = match http {
            HttpVersion::Http1 => &[HTTP11],
            HttpVersion::Http2 => &[HTTP2],
            HttpVersion::Auto => &[HTTP2, HTTP11],
        };
        let loaded = &*self.loaded;
        match (&loaded.options.alpn, http) {
            (Some(_), HttpVersion::Http1) => return Ok(self.clone()),
            (Some(alpn), HttpVersion::Http2) if alpn.is_empty() => return Ok(self.clone()),
            (Some(_), HttpVersion::Http2 | HttpVersion::Auto) => {
                let why = "needs \"h2\" in ALPN; leave `alpn` out";
                return Err(InvalidUpstream::Option {
                    option: "protocol",
                    why,
                });
            }
            (None, _) => {}
        }
        let mut config = loaded.config.clone();
        config.alpn_protocols = offered.iter().map(|it| it.as_bytes().to_vec()).collect();
        let loaded = Arc::new(Loaded {
            options: loaded.options.clone(),
            authorities: loaded.authorities.clone(),
            identity: loaded.identity.as_ref().map(Identity::copy),
            config,
        });
        Ok(Self {
            loaded,
            name: self.name.clone(),
        })
    }

    /// As it was written.
    #[must_use]
    pub fn options(&self) -> &UpstreamTlsOptions {
        &self.loaded.options
    }
}

impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        let Loaded {
            options,
            authorities,
            identity,
            config: _,
        } = &*self.loaded;
        let loaded = &*other.loaded;
        *options == loaded.options
            && *authorities == loaded.authorities
            && *identity == loaded.identity
            && self.name == other.name
    }
}

impl Eq for UpstreamTls {}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f.debug_tuple("UpstreamTls").field(&self.loaded.options)).finish()
    }
}

/// What is offered with ALPN: on an `http` route what is spoken there, on a `tcp` route whatever is said.
fn offered(said: Option<&[String]>, protocol: Protocol) -> Result<Vec<String>, InvalidTls> {
    let is_good = |offered: &String| match protocol {
        Protocol::Http => offered == HTTP11,
        Protocol::Tcp => (1..=255).contains(&offered.len()), // RFC 7301 §3.1
    };
    let Some(said) = said else {
        return Ok(match protocol {
            Protocol::Http => vec![HTTP11.to_owned()],
            Protocol::Tcp => Vec::new(),
        });
    };
    match (said.iter().find(|offered| !is_good(offered)), protocol) {
        (None, _) => Ok(said.to_vec()),
        (Some(other), Protocol::Http) => Err(InvalidTls::new(
            "alpn",
            format!("`{other}` is not spoken here; offer \"{HTTP11}\", or nothing with []"),
        )),
        (Some(_), Protocol::Tcp) => Err(InvalidTls::new(
            "alpn",
            "has a name that is empty or longer than 255 bytes",
        )),
    }
}

fn server_name(option: Option<&str>, host: &str) -> Result<ServerName<'static>, InvalidTls> {
    let name = option.unwrap_or(host);
    ServerName::try_from(name.to_owned()).map_err(|_| {
        InvalidTls::new(
            "server_name",
            match option {
                Some(_) => format!("`{name}` is neither a host name nor an address"),
                None => format!("is needed, as `{name}` is no name that a certificate can have"),
            },
        )
    })
}

fn config(
    options: &UpstreamTlsOptions,
    authorities: Option<&[CertificateDer<'static>]>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, InvalidTls> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| InvalidTls::new("", error.to_string()))?;
    let builder = if options.insecure {
        let verifier: Arc<dyn ServerCertVerifier> = Arc::new(AnyCertificate(provider));
        builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
    } else {
        match authorities {
            None => builder.with_root_certificates(system_roots()?),
            Some(authorities) => {
                let roots = trusted(authorities, options)?;
                let verifier = SignedOrPinned::new(roots, authorities, provider)
                    .map_err(|error| InvalidTls::new("ca", error.to_string()))?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
        }
    };
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(Identity { chain, key }) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| InvalidTls::new("cert", error.to_string())),
    }
}

fn trusted(
    authorities: &[CertificateDer<'static>],
    options: &UpstreamTlsOptions,
) -> Result<Arc<RootCertStore>, InvalidTls> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate.clone()).map_err(|error| {
            let shown = options.ca.clone().unwrap_or_default();
            let shown = shown.display();
            InvalidTls::new(
                "ca",
                format!("a certificate in `{shown}` cannot be trusted: {error}"),
            )
        })?;
    }
    Ok(Arc::new(roots))
}

/// What the system trusts, read once in the life of the process.
fn system_roots() -> Result<Arc<RootCertStore>, InvalidTls> {
    static ROOTS: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);
    let mut known = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(roots) = &*known {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(
        added,
        ignored,
        "read the certificates that the system trusts"
    );
    if roots.is_empty() {
        let why = found.errors.first();
        let why = why.map_or_else(String::new, |error| format!(" ({error})"));
        return Err(InvalidTls::new(
            "ca",
            format!(
                "is needed, as the system trusts no certificates{why}; \
                 on Debian they are in the package ca-certificates"
            ),
        ));
    }
    let roots = Arc::new(roots);
    *known = Some(Arc::clone(&roots));
    Ok(roots)
}

/// TLS to the upstream of a route on one core, with the sessions that can be resumed.
#[derive(Debug, Default)]
pub(crate) struct CoreTls(RefCell<Option<(UpstreamTls, Arc<ClientConfig>)>>);

impl CoreTls {
    /// The beginning of a connection. Sessions are forgotten when the route's TLS is another.
    pub(crate) fn begin(&self, tls: &UpstreamTls) -> Result<ClientConnection, rustls::Error> {
        let mut known = self.0.borrow_mut();
        let config = match &*known {
            Some((of, config)) if Arc::ptr_eq(&of.loaded, &tls.loaded) => Arc::clone(config),
            Some(_) | None => {
                let mut config = tls.loaded.config.clone();
                config.resumption = Resumption::in_memory_sessions(TLS_SESSIONS_MAX);
                let config = Arc::new(config);
                *known = Some((tls.clone(), Arc::clone(&config)));
                config
            }
        };
        ClientConnection::new(config, tls.name.clone())
    }
}
