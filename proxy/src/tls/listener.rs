//! TLS on a route's listener.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ServerConfig, ServerConnection,
    crypto::ring::Ticketer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    HTTP2, HTTP11, InvalidTls, LocalAuthority,
    authority::Leaves,
    files::{Identity, both},
    provider,
};

/// How a listener is to speak TLS, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerTlsOptions {
    /// With certificates of the process's own authority, made for whatever name a client asks for.
    Own,
    /// With certificates in files.
    Files {
        /// For clients that ask for none of the others.
        main: CertificateFiles,
        /// For other names.
        others: Vec<CertificateFiles>,
    },
}

/// A certificate and its key, in PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and behind it those of its issuers.
    pub cert: PathBuf,
    /// Its key, not encrypted.
    pub key: PathBuf,
    /// The names for which it is shown, which may begin with `*.`. `None`: those in the certificate.
    pub names: Option<Vec<String>>,
}

/// How a listener speaks TLS: its options, and what was in the files that they name. Two are equal when both are.
#[derive(Clone)]
pub struct ListenerTls(Arc<Loaded>);

struct Loaded {
    options: ListenerTlsOptions,
    identities: Vec<Identity>,
    /// `None` of [`ListenerTlsOptions::Own`].
    config: Option<Arc<ServerConfig>>,
}

impl ListenerTls {
    /// A listener has so many certificates besides the main one.
    pub const OTHERS_MAX: usize = 100;

    /// Reads the files of `options`.
    ///
    /// # Errors
    /// When a file cannot be read or used, or a name is none.
    pub fn load(options: ListenerTlsOptions) -> Result<Self, InvalidTls> {
        let mut identities = Vec::new();
        let mut config = None;
        if let ListenerTlsOptions::Files { main, others } = &options {
            if others.len() > Self::OTHERS_MAX {
                let why = format!("has more than {} certificates", Self::OTHERS_MAX);
                return Err(InvalidTls::new("certificates", why));
            }
            let (identity, key) = read(main)?;
            identities.push(identity);
            let mut by_name = HashMap::new();
            for (index, other) in others.iter().enumerate() {
                let at = |wrong: InvalidTls| wrong.under("certificates", index);
                let (identity, key) = read(other).map_err(at)?;
                for name in names(other, &identity).map_err(at)? {
                    by_name.entry(name).or_insert_with(|| Arc::clone(&key));
                }
                identities.push(identity);
            }
            config = Some(server_config(Arc::new(ByName { by_name, main: key }))?);
        }
        Ok(Self(Arc::new(Loaded {
            options,
            identities,
            config,
        })))
    }

    /// As it was written.
    #[must_use]
    pub fn options(&self) -> &ListenerTlsOptions {
        &self.0.options
    }
}

impl PartialEq for ListenerTls {
    fn eq(&self, other: &Self) -> bool {
        self.0.options == other.0.options && self.0.identities == other.0.identities
    }
}

impl Eq for ListenerTls {}

impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ListenerTls").field(&self.0.options).finish()
    }
}

fn read(files: &CertificateFiles) -> Result<(Identity, Arc<CertifiedKey>), InvalidTls> {
    let identity = both(Some(&files.cert), Some(&files.key))?;
    let identity = identity.ok_or_else(|| InvalidTls::new("cert", "is required"))?;
    let certified = identity.certified();
    let certified = certified.map_err(|error| InvalidTls::new("key", error.to_string()))?;
    Ok((identity, certified))
}

/// The names for which a certificate is shown, in lower case.
fn names(files: &CertificateFiles, identity: &Identity) -> Result<Vec<String>, InvalidTls> {
    if let Some(names) = &files.names {
        if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
            let why = format!("`{wrong}` is no host name, and no `*.` before one");
            return Err(InvalidTls::new("names", why));
        }
        return Ok(names.iter().map(|name| name.to_ascii_lowercase()).collect());
    }
    let shown = files.cert.display();
    let first = (identity.chain.first()).and_then(|der| webpki::EndEntityCert::try_from(der).ok());
    let first = first.ok_or_else(|| {
        InvalidTls::new(
            "cert",
            format!("the certificate in `{shown}` cannot be read"),
        )
    })?;
    let names: Vec<String> = (first.valid_dns_names())
        .map(str::to_ascii_lowercase)
        .collect();
    match names.is_empty() {
        true => Err(InvalidTls::new(
            "names",
            format!("is needed, as the certificate in `{shown}` has no host names"),
        )),
        false => Ok(names),
    }
}

fn is_name(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    rustls::pki_types::DnsName::try_from(name).is_ok()
}

fn server_config(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, InvalidTls> {
    let wrong = |error: rustls::Error| InvalidTls::new("", error.to_string());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![HTTP2.as_bytes().to_vec(), HTTP11.as_bytes().to_vec()];
    // The client keeps its session, so resuming it on another core costs no lock and no memory.
    config.ticketer = Ticketer::new().map_err(wrong)?;
    Ok(Arc::new(config))
}

/// Certificates by the name that a client asks for.
#[derive(Debug)]
struct ByName {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    main: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A name that nothing fits gets the main one: a chaos proxy does not police names.
        let named = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = || {
                let (_, parent) = name.split_once('.')?;
                self.by_name.get(&format!("*.{parent}"))
            };
            self.by_name.get(&name).or_else(wildcard)
        });
        Some(Arc::clone(named.unwrap_or(&self.main)))
    }
}

/// Certificates of the own authority, for the name asked or for one of this machine's addresses.
#[derive(Debug)]
struct Made {
    leaves: Arc<Leaves>,
    address: IpAddr,
}

impl ResolvesServerCert for Made {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let made = match hello.server_name() {
            Some(name) => self.leaves.for_name(name),
            None => self.leaves.for_address(self.address),
        };
        match made {
            Ok(made) => Some(made),
            Err(error) => {
                tracing::error!(%error, "could not make a certificate");
                None
            }
        }
    }
}

/// TLS of a listener that is served.
pub(crate) struct ServerTls {
    pub(crate) tls: ListenerTls,
    certificates: Certificates,
}

enum Certificates {
    InFiles(Arc<ServerConfig>),
    Made {
        leaves: Arc<Leaves>,
        /// By the address that clients have connected to, of which a machine has few.
        by_address: Mutex<HashMap<IpAddr, Arc<ServerConfig>>>,
    },
}

/// So many configurations of `tls = "self"` are kept, by the address that was connected to.
const ADDRESSES_MAX: usize = 64;

impl ServerTls {
    /// # Errors
    /// When there is to be an own authority and there is none.
    pub(crate) fn new(
        tls: ListenerTls,
        authority: impl FnOnce() -> Result<Arc<LocalAuthority>, InvalidTls>,
    ) -> Result<Self, InvalidTls> {
        let certificates = match &tls.0.config {
            Some(config) => Certificates::InFiles(Arc::clone(config)),
            None => Certificates::Made {
                leaves: Arc::new(Leaves::of(authority()?)),
                by_address: Mutex::default(),
            },
        };
        Ok(Self { tls, certificates })
    }

    /// The beginning of a connection that came to the address `to`.
    pub(crate) fn begin(&self, to: Option<SocketAddr>) -> Result<ServerConnection, InvalidTls> {
        ServerConnection::new(self.config(to)?)
            .map_err(|error| InvalidTls::new("tls", error.to_string()))
    }

    /// As [`begin`](Self::begin), for other protocols than HTTP: whatever a client offers with ALPN is left open.
    pub(crate) fn begin_bytes(
        &self,
        to: Option<SocketAddr>,
    ) -> Result<ServerConnection, InvalidTls> {
        let mut config = ServerConfig::clone(&*self.config(to)?);
        config.alpn_protocols.clear();
        ServerConnection::new(Arc::new(config))
            .map_err(|error| InvalidTls::new("tls", error.to_string()))
    }

    /// How a connection that came to the address `to` is served.
    pub(crate) fn config(&self, to: Option<SocketAddr>) -> Result<Arc<ServerConfig>, InvalidTls> {
        Ok(match &self.certificates {
            Certificates::InFiles(config) => Arc::clone(config),
            Certificates::Made { leaves, by_address } => {
                let loopback = IpAddr::from([127, 0, 0, 1]);
                let address = to.map_or(loopback, |to| to.ip().to_canonical());
                let mut known = by_address.lock().unwrap_or_else(PoisonError::into_inner);
                match known.get(&address) {
                    Some(config) => Arc::clone(config),
                    None => {
                        let leaves = Arc::clone(leaves);
                        let config = server_config(Arc::new(Made { leaves, address }))?;
                        // A machine may have very many; connections keep theirs.
                        if known.len() >= ADDRESSES_MAX {
                            known.clear();
                        }
                        known.insert(address, Arc::clone(&config));
                        config
                    }
                }
            }
        })
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.tls).finish()
    }
}
