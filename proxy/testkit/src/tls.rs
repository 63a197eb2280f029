//! TLS around upstreams and clients that speak plainly, and certificates for both.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use brownout_proxy::{CertificateFiles, ListenerTlsOptions};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority of a test's own. Its files go when it is dropped.
pub struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    directory: tempfile::TempDir,
    issued: AtomicUsize,
}

/// A certificate and its key, in files.
#[derive(Debug, Clone)]
pub struct TestCertificate {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl TestAuthority {
    /// Makes one.
    ///
    /// # Panics
    /// When there is no place for its files.
    #[must_use]
    pub fn new() -> Self {
        Self::valid_until(2100)
    }

    /// One whose certificate is valid up to the beginning of a year.
    ///
    /// # Panics
    /// When there is no place for its files.
    #[must_use]
    pub fn valid_until(year: i32) -> Self {
        let key = KeyPair::generate().expect("keys can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no name is wrong");
        // By its name programs tell it from what it issues, and from others.
        params.distinguished_name = named(&format!("test authority {:x?}", key.public_key_raw()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&key).expect("it can sign itself");
        let directory = tempfile::tempdir().expect("there is room for files");
        fs::write(directory.path().join("ca.pem"), certificate.pem()).expect("a file");
        Self {
            issuer: Issuer::new(params, key),
            directory,
            issued: AtomicUsize::new(0),
        }
    }

    /// The file with its certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Issues a certificate for these names and addresses.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> TestCertificate {
        self.issue_between(names, 2000, 2100)
    }

    /// As [`issue`](Self::issue), valid from the beginning of one year to that of another.
    ///
    /// # Panics
    /// When a name is none.
    #[must_use]
    pub fn issue_between(&self, names: &[&str], from: i32, to: i32) -> TestCertificate {
        let owned: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(owned).expect("tests give names");
        params.distinguished_name = named(names.first().copied().unwrap_or("nobody"));
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can sign");
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let file = |end: &str| self.directory.path().join(format!("{number}.{end}"));
        let issued = TestCertificate {
            cert: file("pem"),
            key: file("key"),
        };
        fs::write(&issued.cert, certificate.pem()).expect("a file");
        fs::write(&issued.key, key.serialize_pem()).expect("a file");
        issued
    }

    /// A client that trusts it.
    ///
    /// # Panics
    /// Never: it has versions and roots.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(self.file()).expect("it was written");
        roots.add(certificate).expect("it is one");
        Arc::new(roots)
    }
}

impl Default for TestAuthority {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestAuthority").field(&self.file()).finish()
    }
}

impl TestCertificate {
    /// For a listener of the proxy.
    #[must_use]
    pub fn for_listener(&self) -> ListenerTlsOptions {
        ListenerTlsOptions::Files {
            main: self.files(None),
            others: Vec::new(),
        }
    }

    /// As the proxy is told of it.
    #[must_use]
    pub fn files(&self, names: Option<&[&str]>) -> CertificateFiles {
        CertificateFiles {
            cert: self.cert.clone(),
            key: self.key.clone(),
            names: names.map(|names| names.iter().map(ToString::to_string).collect()),
        }
    }

    /// A server that shows it and offers nothing with ALPN.
    ///
    /// # Panics
    /// When its files are gone.
    #[must_use]
    pub fn server_config(&self) -> ServerConfig {
        let (chain, key) = self.parts();
        let config = server().with_no_client_auth().with_single_cert(chain, key);
        config.expect("they belong together")
    }

    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_file(&self.cert).expect("it was written");
        let key = PrivateKeyDer::from_pem_file(&self.key).expect("it was written");
        (vec![certificate], key)
    }
}

/// A name of at most 64 characters, as many as one may have (RFC 5280, appendix A.1).
fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    let short: String = name.chars().take(64).collect();
    named.push(DnType::CommonName, short);
    named
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A server that speaks TLS on a port of its own and passes what comes on to a plain upstream, and the end of each side, good
/// or not. It ends when it is dropped, with all its connections.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    handshakes: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl TlsFront {
    /// Before the upstream at `upstream`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn before(upstream: SocketAddr, certificate: &TestCertificate) -> Self {
        Self::with(upstream, certificate.server_config()).await
    }

    /// As [`before`](Self::before), for clients with a certificate of `clients` alone.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn asking_for_certificates(
        upstream: SocketAddr,
        certificate: &TestCertificate,
        clients: &TestAuthority,
    ) -> Self {
        let verifier = WebPkiClientVerifier::builder_with_provider(clients.roots(), provider());
        let verifier = verifier.build().expect("there is a root");
        let (chain, key) = certificate.parts();
        let config = server()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key);
        Self::with(upstream, config.expect("they belong together")).await
    }

    /// With a configuration of the test's own.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn with(upstream: SocketAddr, config: ServerConfig) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let handshakes = Arc::new(AtomicUsize::new(0));
        let resumed = Arc::new(AtomicUsize::new(0));
        let mut accepting = JoinSet::new();
        let counts = (Arc::clone(&handshakes), Arc::clone(&resumed));
        accepting.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.expect("the listener is open");
                let (acceptor, counts) = (acceptor.clone(), counts.clone());
                open.spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    counts.0.fetch_add(1, Ordering::Relaxed);
                    if tls.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
                        counts.1.fetch_add(1, Ordering::Relaxed);
                    }
                    let plain = TcpStream::connect(upstream).await;
                    carry(tls, plain.expect("the upstream listens")).await;
                });
            }
        });
        Self {
            address,
            handshakes,
            resumed,
            _accepting: accepting,
        }
    }

    /// Its URL, by address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Handshakes that were completed.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Handshakes that resumed a session.
    #[must_use]
    pub fn resumed(&self) -> usize {
        self.resumed.load(Ordering::Relaxed)
    }
}

/// A plain port on loopback whose connections go on to a server in TLS: so a client that knows only bytes can be before it.
/// A reset, or an end without a `close_notify`, comes out as a reset.
#[derive(Debug)]
pub struct TlsTunnel {
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

impl TlsTunnel {
    /// To the server at `server`, which shows a certificate of `authority` for `name`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn to(server: SocketAddr, name: &'static str, authority: &TestAuthority) -> Self {
        let connector = TlsConnector::from(Arc::new(authority.client_config()));
        let name = ServerName::try_from(name).expect("tests give names");
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (plain, _) = listener.accept().await.expect("the listener is open");
                let (connector, name) = (connector.clone(), name.clone());
                open.spawn(async move {
                    let tcp = TcpStream::connect(server).await;
                    let tcp = tcp.expect("the server listens");
                    match connector.connect(name, tcp).await {
                        Ok(tls) => carry(tls, plain).await,
                        Err(_) => reset(&plain),
                    }
                });
            }
        });
        Self {
            address,
            _accepting: accepting,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn server() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
}

/// A stream whose socket can be made to end in a reset.
trait Encrypted: AsyncRead + AsyncWrite + Unpin {
    fn socket(&self) -> &TcpStream;
}

impl Encrypted for tokio_rustls::server::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl Encrypted for tokio_rustls::client::TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Passes bytes both ways. A side that breaks breaks the other.
async fn carry(tls: impl Encrypted, plain: TcpStream) {
    let (mut from_tls, mut to_tls) = split(tls);
    let (mut from_plain, mut to_plain) = split(plain);
    let both = tokio::try_join!(
        pass(&mut from_tls, &mut to_plain),
        pass(&mut from_plain, &mut to_tls)
    );
    if both.is_err() {
        reset(from_tls.unsplit(to_tls).socket());
        reset(&from_plain.unsplit(to_plain));
    }
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
    }
}

fn reset(tcp: &TcpStream) {
    tcp.set_zero_linger()
        .expect("an open socket takes SO_LINGER");
}
