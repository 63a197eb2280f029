//! Whom a client takes for the control API, where that speaks TLS.

use std::{error::Error, io, path::PathBuf, sync::Arc};

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

/// Whom a client takes for the control API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Who has a certificate of an authority that the system trusts.
    #[default]
    System,
    /// Who has one of the certificates in this PEM file, or one that they vouch for.
    File(PathBuf),
    /// Whoever answers, so anybody on the way as well.
    Anybody,
}

/// Why nobody can be trusted so.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTrust {
    /// The file cannot be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no certificate in it.
    #[error("`{path}` has no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
}

impl Trust {
    /// The largest file of certificates, in bytes.
    const FILE_BYTES_MAX: u64 = 1024 * 1024;

    pub(crate) fn connector(&self) -> Result<HttpsConnector<HttpConnector>, InvalidTrust> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has the cipher suites of both versions");
        let config = match self {
            Self::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth(),
            Self::System => builder
                .with_root_certificates(system())
                .with_no_client_auth(),
            Self::File(path) => builder
                .with_root_certificates(in_file(path)?)
                .with_no_client_auth(),
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(config);
        Ok(connector.https_or_http().enable_http1().build())
    }
}

fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn in_file(path: &std::path::Path) -> Result<RootCertStore, InvalidTrust> {
    let read = |source| InvalidTrust::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(read)?;
    if !metadata.is_file() || metadata.len() > Trust::FILE_BYTES_MAX {
        return Err(read(io::Error::other("it is no file of at most 1 MiB")));
    }
    let text = std::fs::read(path).map_err(read)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .filter_map(Result::ok)
        .collect();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    match roots.is_empty() {
        true => Err(InvalidTrust::NoCertificate {
            path: path.to_owned(),
        }),
        false => Ok(roots),
    }
}

/// Why TLS did not come about, in words; `None` when that was not what failed.
pub(crate) fn why_no_tls(error: &(dyn Error + 'static)) -> Option<String> {
    let error = tls_error(error)?;
    Some(match error {
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "its certificate is of no authority that is trusted; name the file with the authority's certificate \
              (--ca FILE)"
            .to_owned(),
        rustls::Error::InvalidMessage(_) => {
            "what answers does not speak TLS; write the address with http://".to_owned()
        }
        other => other.to_string(),
    })
}

/// The error of TLS in a chain of errors. `source` of an [`io::Error`] passes over what is directly in it.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next: Option<&'e (dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        next = match error.downcast_ref::<io::Error>() {
            Some(io) => io
                .get_ref()
                .map(|inner| -> &(dyn Error + 'static) { inner }),
            None => error.source(),
        };
    }
    None
}

/// Takes any certificate. That the other side has the certificate's key is checked all the same.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
