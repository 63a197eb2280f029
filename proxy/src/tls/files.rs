//! Certificates and keys in PEM files (RFC 7468).

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{
    provider,
    validity::{Validity, date_of, now},
};

/// A file may have so many bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What is wrong with the TLS options of a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct InvalidTls {
    /// The option, as a path through objects and lists; empty for all of it.
    pub field: String,
    /// What is wrong, with the file.
    pub detail: String,
}

impl InvalidTls {
    pub(crate) fn new(field: &str, detail: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            detail: detail.into(),
        }
    }

    /// The same, of an element of a list.
    pub(super) fn under(mut self, list: &str, index: usize) -> Self {
        self.field = format!("{list}/{index}/{}", self.field);
        self
    }
}

/// Reads all certificates of a file, at least one.
pub(super) fn certificates(
    field: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let text = read(field, path)?;
    let shown = path.display();
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if all.is_empty() => Err(InvalidTls::new(
            field,
            format!("`{shown}` has no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        )),
        Ok(all) => Ok(all),
        Err(error) => Err(InvalidTls::new(
            field,
            format!("`{shown}` is no good PEM: {error}"),
        )),
    }
}

/// Reads certificates that are to be trusted. One that has expired can vouch for nobody.
pub(super) fn authorities(
    field: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let all = certificates(field, path)?;
    let shown = path.display();
    for (index, certificate) in all.iter().enumerate() {
        let which = match all.len() {
            1 => "the certificate".to_owned(),
            _ => format!("certificate {}", index + 1),
        };
        let validity = Validity::of(certificate);
        let Some(validity) = validity else {
            return Err(InvalidTls::new(
                field,
                format!("{which} in `{shown}` cannot be read"),
            ));
        };
        if validity.not_after < now() {
            let date = date_of(validity.not_after);
            return Err(InvalidTls::new(
                field,
                format!("{which} in `{shown}` expired on {date}"),
            ));
        }
    }
    Ok(all)
}

/// A certificate with those of its issuers, and its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The same once more.
    pub(super) fn copy(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }

    /// Reads `cert` and `key`, which must belong together.
    pub(super) fn read(cert: &Path, key: &Path) -> Result<Self, InvalidTls> {
        let chain = certificates("cert", cert)?;
        let text = read("key", key)?;
        let key_shown = key.display();
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
            InvalidTls::new(
                "key",
                format!("`{key_shown}` has no private key in PEM that is not encrypted"),
            )
        })?;
        let identity = Self { chain, key };
        identity.certified().map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => InvalidTls::new(
                "key",
                format!(
                    "`{key_shown}` does not match the certificate in `{}`",
                    cert.display()
                ),
            ),
            rustls::Error::InvalidCertificate(_) => InvalidTls::new(
                "cert",
                format!(
                    "the certificate in `{}` cannot be read: {error}",
                    cert.display()
                ),
            ),
            other => InvalidTls::new("key", format!("`{key_shown}` cannot be used: {other}")),
        })?;
        Ok(identity)
    }

    /// As the TLS library uses it.
    pub(super) fn certified(&self) -> Result<Arc<CertifiedKey>, rustls::Error> {
        let key = self.key.clone_key();
        CertifiedKey::from_der(self.chain.clone(), key, &provider()).map(Arc::new)
    }
}

/// A file that is neither larger than it may be nor something that never ends.
fn read(field: &str, path: &Path) -> Result<Vec<u8>, InvalidTls> {
    read_file(path).map_err(|why| {
        let shown = path.display();
        InvalidTls::new(field, format!("could not read `{shown}`: {why}"))
    })
}

/// As [`read`], with the plain reason.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a pipe waits for somebody who writes.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it has more than 1 MiB"));
    }
    Ok(text)
}

/// Both `cert` and `key`, or neither.
pub(super) fn both(
    cert: Option<&PathBuf>,
    key: Option<&PathBuf>,
) -> Result<Option<Identity>, InvalidTls> {
    match (cert, key) {
        (Some(cert), Some(key)) => Identity::read(cert, key).map(Some),
        (None, None) => Ok(None),
        (Some(_), None) => Err(InvalidTls::new("key", "is needed beside `cert`")),
        (None, Some(_)) => Err(InvalidTls::new("cert", "is needed beside `key`")),
    }
}
