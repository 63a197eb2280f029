//! A certificate authority of this machine's own, for `tls = "self"`: clients that trust it trust every such route.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{
    files::{Identity, read_file},
    validity::Validity,
};

/// How long the authority is valid.
const AUTHORITY_DAYS: u64 = 3_650;
/// How long a certificate of it is valid.
const LEAF_DAYS: u64 = 90;
/// A certificate is made anew after so long.
const LEAF_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Certificates are kept for so many names. Then all are forgotten and made anew when they are asked for.
const LEAVES_MAX: usize = 1_000;

/// The authority of the certificates that the proxy makes itself. It is made once and kept in a directory: the key in a file
/// that its owner alone can read, the certificate beside it.
#[derive(Debug)]
pub struct LocalAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    path: PathBuf,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file or directory of it.
    #[error("could not use `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of the key has something else in it.
    #[error("`{path}` has no key and certificate of an authority; delete it, and another is made")]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// Its certificate is there without the key. Another authority would be trusted by nobody who trusts this one.
    #[error(
        "the key of the authority, `{key}`, is gone, and clients may trust its certificate, `{certificate}`; \
         put the key back, or delete the certificate, and another authority is made"
    )]
    KeyLost {
        /// The certificate, which is there.
        certificate: PathBuf,
        /// The key, which is not.
        key: PathBuf,
    },
    /// It has expired.
    #[error("the authority in `{path}` has expired; delete the file, and another is made")]
    Expired {
        /// The file.
        path: PathBuf,
    },
    /// The key could not be made or used.
    #[error("could not make a certificate")]
    Make(#[source] rcgen::Error),
}

/// The first certificate of a PEM text, and nothing behind it: a key may follow.
fn first_certificate(text: &str) -> Option<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let begins = &text[text.find("-----BEGIN CERTIFICATE-----")?..];
    let end = begins.find(END)? + END.len();
    Some(format!("{}\n", &begins[..end]))
}

impl LocalAuthority {
    /// The file with key and certificate, mode 0600.
    const KEY_FILE: &'static str = "local-ca.key";
    /// The file with the certificate alone.
    const CERTIFICATE_FILE: &'static str = "local-ca.pem";

    /// Reads the authority in `directory`, or makes one there if there is none. Several processes may do so at once.
    ///
    /// # Errors
    /// When a file cannot be read or written, or has something else in it.
    pub fn open(directory: &Path) -> Result<Self, AuthorityError> {
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| AuthorityError::File { path, source }
        };
        let key_path = directory.join(Self::KEY_FILE);
        let path = directory.join(Self::CERTIFICATE_FILE);
        // The key is there before the certificate, so that this holds while another process makes both.
        if path.exists() && !key_path.exists() {
            return Err(AuthorityError::KeyLost {
                certificate: path,
                key: key_path,
            });
        }
        if !key_path.exists() {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(directory);
            made.map_err(file(directory))?;
            let text = make().map_err(AuthorityError::Make)?;
            put_new(&key_path, &text).map_err(file(&key_path))?;
        }
        let text = read_file(&key_path).map_err(file(&key_path))?;
        let broken = || AuthorityError::Broken {
            path: key_path.clone(),
        };
        let text = String::from_utf8(text).map_err(|_| broken())?;
        let key = KeyPair::from_pem(&text).map_err(|_| broken())?;
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| broken())?;
        let validity = Validity::of(&certificate).ok_or_else(broken)?;
        if validity.not_after < super::validity::now() {
            return Err(AuthorityError::Expired { path: key_path });
        }
        let pem = first_certificate(&text).ok_or_else(broken)?;
        if fs::read_to_string(&path).ok().as_deref() != Some(&pem) {
            replace(&path, &pem).map_err(file(&path))?;
        }
        let params = authority_params(&key).map_err(AuthorityError::Make)?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
            pem,
            path,
        })
    }

    /// The file with its certificate, for clients to trust.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of its certificate, as tools show it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.certificate);
        let pairs = digest.as_ref().iter().map(|byte| format!("{byte:02X}"));
        pairs.collect::<Vec<_>>().join(":")
    }

    /// A certificate for these names and addresses, and its key.
    fn sign(&self, names: Vec<String>) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let make = AuthorityError::Make;
        let mut params = CertificateParams::new(names.clone()).map_err(make)?;
        params.distinguished_name = DistinguishedName::new();
        let common = names.into_iter().next().unwrap_or_default();
        // A common name has 64 characters at most (RFC 5280, appendix A.1); what counts are the alternative names.
        let common: String = common.chars().take(64).collect();
        params.distinguished_name.push(DnType::CommonName, common);
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid_for(&mut params, LEAF_DAYS);
        // A key of its own gives it a serial number of its own.
        let key = KeyPair::generate().map_err(make)?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(make)?;
        let key = PrivateKeyDer::try_from(key.serialize_der());
        let identity = Identity {
            chain: vec![leaf.der().clone(), self.certificate.clone()],
            key: key.map_err(|_| make(rcgen::Error::CouldNotParseKeyPair))?,
        };
        let certified = identity.certified();
        certified.map_err(|_| make(rcgen::Error::CouldNotParseKeyPair))
    }
}

/// Certificates that the authority has made, by name.
#[derive(Debug)]
pub(super) struct Leaves {
    authority: Arc<LocalAuthority>,
    made: Mutex<HashMap<String, (Instant, Arc<CertifiedKey>)>>,
}

impl Leaves {
    pub(super) fn of(authority: Arc<LocalAuthority>) -> Self {
        Self {
            authority,
            made: Mutex::default(),
        }
    }

    /// For a name that a client asked for.
    pub(super) fn for_name(&self, name: &str) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let name = name.to_ascii_lowercase();
        self.known_or(&name, || vec![name.clone()])
    }

    /// For a client that asked for no name and has connected to this address.
    pub(super) fn for_address(&self, address: IpAddr) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let address = address.to_string();
        self.known_or(&address, || {
            let mut names = vec![address.clone()];
            for loopback in ["localhost", "127.0.0.1", "::1"] {
                if loopback != address {
                    names.push(loopback.to_owned());
                }
            }
            names
        })
    }

    fn known_or(
        &self,
        name: &str,
        names: impl FnOnce() -> Vec<String>,
    ) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, known)) = made.get(name)
            && at.elapsed() < LEAF_KEPT
        {
            return Ok(Arc::clone(known));
        }
        if made.len() >= LEAVES_MAX {
            made.clear();
        }
        let leaf = self.authority.sign(names())?;
        made.insert(name.to_owned(), (Instant::now(), Arc::clone(&leaf)));
        Ok(leaf)
    }
}

/// Key and certificate of a new authority, as the file has them.
fn make() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = authority_params(&key)?;
    valid_for(&mut params, AUTHORITY_DAYS);
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}

/// What a certificate of the authority says, but when it is valid. It follows from the key, so the file needs not be read
/// for it.
fn authority_params(key: &KeyPair) -> Result<CertificateParams, rcgen::Error> {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.public_key_raw());
    let number: String = (digest.as_ref().iter().take(4))
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    let name = format!("brownout local CA {number}");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    Ok(params)
}

/// From yesterday on, as clocks differ.
fn valid_for(params: &mut CertificateParams, days: u64) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now();
    params.not_before = now.checked_sub(DAY).unwrap_or(now).into();
    let days = u32::try_from(days).unwrap_or(u32::MAX);
    params.not_after = (now + DAY * days).into();
}

/// Writes a file that its owner alone can read, unless there is one: it appears whole or not at all.
fn put_new(path: &Path, text: &str) -> io::Result<()> {
    let temporary = temporary(path);
    write_private(&temporary, text)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = temporary(path);
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}

/// A file beside `path` that nobody else uses.
fn temporary(path: &Path) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{number}", std::process::id()));
    name.into()
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_clients_trust_is_the_certificate_alone_whatever_stands_behind_it() {
        let directory = tempfile::tempdir().unwrap();
        let (key, certificate) = {
            let made = make().unwrap();
            let at = made.find("-----BEGIN CERTIFICATE-----").unwrap();
            (made[..at].to_owned(), made[at..].to_owned())
        };
        let path = directory.path().join(LocalAuthority::KEY_FILE);
        fs::write(path, format!("{key}{certificate}{key}")).unwrap();

        let authority = LocalAuthority::open(directory.path()).unwrap();

        let shown = fs::read_to_string(authority.path()).unwrap();
        assert!(!shown.contains("PRIVATE KEY"), "{shown}");
        assert_eq!(shown.trim(), certificate.trim());
    }

    #[test]
    fn an_authority_is_made_once_and_only_its_owner_reads_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("a/b");

        let first = LocalAuthority::open(&state).unwrap();
        let second = LocalAuthority::open(&state).unwrap();

        assert_eq!(first.pem(), second.pem());
        let mode = |name: &str| fs::metadata(state.join(name)).unwrap().permissions().mode();
        assert_eq!(mode("local-ca.key") & 0o777, 0o600);
        assert_eq!(
            fs::metadata(&state).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(fs::read_to_string(first.path()).unwrap(), first.pem());
        assert!(!first.pem().contains("PRIVATE"));
    }

    #[test]
    fn a_lost_key_is_told_and_no_other_authority_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let first = LocalAuthority::open(directory.path()).unwrap();
        fs::remove_file(directory.path().join(LocalAuthority::KEY_FILE)).unwrap();

        let error = LocalAuthority::open(directory.path()).unwrap_err();

        assert!(matches!(error, AuthorityError::KeyLost { .. }), "{error}");
        assert_eq!(fs::read_to_string(first.path()).unwrap(), first.pem());
        fs::remove_file(first.path()).unwrap();
        let another = LocalAuthority::open(directory.path()).unwrap();
        assert_ne!(another.pem(), first.pem());
    }

    #[test]
    fn a_key_that_is_a_pipe_is_refused_without_waiting_for_a_writer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LocalAuthority::KEY_FILE);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());

        let error = LocalAuthority::open(directory.path()).unwrap_err();

        let AuthorityError::File { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source.to_string(), "it is not a file");
    }

    #[test]
    fn many_that_begin_at_once_agree() {
        let directory = tempfile::tempdir().unwrap();
        let open = || {
            LocalAuthority::open(directory.path())
                .unwrap()
                .pem()
                .to_owned()
        };

        let all: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });

        assert!(all.iter().all(|pem| *pem == all[0]));
    }

    #[test]
    fn a_file_with_something_else_is_told_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("local-ca.key");
        fs::write(&path, "no key").unwrap();

        let error = LocalAuthority::open(directory.path()).unwrap_err();

        assert!(error.to_string().contains("delete it"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "no key");
    }

    #[test]
    fn certificates_are_kept_for_a_bounded_number_of_names() {
        let directory = tempfile::tempdir().unwrap();
        let leaves = Leaves::of(Arc::new(LocalAuthority::open(directory.path()).unwrap()));

        let first = leaves.for_name("A.test").unwrap();
        assert!(Arc::ptr_eq(&first, &leaves.for_name("a.test").unwrap()));
        for n in 0..LEAVES_MAX {
            leaves.for_name(&format!("{n}.test")).unwrap();
        }

        assert!(leaves.made.lock().unwrap().len() <= LEAVES_MAX);
    }
}
