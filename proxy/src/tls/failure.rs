//! Why a TLS connection failed, in words that say what to look at.

use std::{fmt, io};

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::validity::date_of;

/// A TLS connection that failed: in its handshake, or when the other side refused it afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFailure {
    pub(crate) cause: TlsCause,
    detail: String,
}

/// What was wrong, as a word for metrics, logs and spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsCause {
    /// The other side's certificate has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// Nobody who is trusted has issued it.
    UnknownIssuer,
    /// It is for other names.
    WrongName,
    /// Something else is wrong about it.
    Certificate,
    /// The other side sent an alert.
    Refused,
    /// The other side speaks no TLS.
    Plain,
    /// The handshake came to no end, or broke a rule.
    Handshake,
}

impl TlsCause {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Expired => "tls_expired",
            Self::NotYetValid => "tls_not_yet_valid",
            Self::UnknownIssuer => "tls_unknown_issuer",
            Self::WrongName => "tls_wrong_name",
            Self::Certificate => "tls_certificate",
            Self::Refused => "tls_refused",
            Self::Plain => "tls_plain",
            Self::Handshake => "tls_handshake",
        }
    }
}

impl TlsFailure {
    /// The other side sent plain HTTP where a handshake should have been.
    pub(crate) fn plain() -> Self {
        Self {
            cause: TlsCause::Plain,
            detail: "plain HTTP came instead of a TLS handshake".to_owned(),
        }
    }

    /// The other side closed before the handshake was over.
    pub(crate) fn closed() -> Self {
        Self {
            cause: TlsCause::Handshake,
            detail: "the connection was closed during the TLS handshake".to_owned(),
        }
    }

    /// The connection broke before the handshake was over.
    pub(crate) fn broken(error: &io::Error) -> Self {
        Self {
            cause: TlsCause::Handshake,
            detail: format!("the connection broke during the TLS handshake: {error}"),
        }
    }

    /// What the TLS library found.
    pub(crate) fn of(error: &Error) -> Self {
        let (cause, detail) = match error {
            Error::InvalidCertificate(error) => of_certificate(error),
            Error::AlertReceived(alert) => (TlsCause::Refused, of_alert(*alert)),
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => (
                TlsCause::Plain,
                "something else than TLS came instead of a handshake".to_owned(),
            ),
            Error::NoCertificatesPresented => (
                TlsCause::Certificate,
                "the other side sent no certificate".to_owned(),
            ),
            Error::PeerIncompatible(why) => (TlsCause::Handshake, of_incompatible(why)),
            Error::NoApplicationProtocol => (
                TlsCause::Handshake,
                "there is no protocol that both sides offer with ALPN".to_owned(),
            ),
            other => (
                TlsCause::Handshake,
                format!("the TLS handshake broke: {other}"),
            ),
        };
        Self { cause, detail }
    }

    /// The failure inside an I/O error of a TLS connection.
    pub(crate) fn inside(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for TlsFailure {}

impl From<TlsFailure> for io::Error {
    fn from(failure: TlsFailure) -> Self {
        Self::new(io::ErrorKind::InvalidData, failure)
    }
}

fn of_certificate(error: &CertificateError) -> (TlsCause, String) {
    use CertificateError as E;
    match error {
        E::ExpiredContext { not_after, .. } => (
            TlsCause::Expired,
            format!(
                "its certificate expired on {}",
                date_of(not_after.as_secs())
            ),
        ),
        E::Expired => (TlsCause::Expired, "its certificate has expired".to_owned()),
        E::NotValidYetContext { not_before, .. } => (
            TlsCause::NotYetValid,
            format!(
                "its certificate is not valid before {}",
                date_of(not_before.as_secs())
            ),
        ),
        E::NotValidYet => (
            TlsCause::NotYetValid,
            "its certificate is not valid yet".to_owned(),
        ),
        E::UnknownIssuer => (
            TlsCause::UnknownIssuer,
            "its certificate has an unknown issuer: give the issuer's certificate as `ca`"
                .to_owned(),
        ),
        E::NotValidForNameContext {
            expected,
            presented,
        } => (
            TlsCause::WrongName,
            format!(
                "its certificate is not for `{}`{}",
                expected.to_str(),
                of_names(presented)
            ),
        ),
        E::NotValidForName => (
            TlsCause::WrongName,
            "its certificate is for another name".to_owned(),
        ),
        // As when an authority was made anew under the name of the old one.
        E::BadSignature => (
            TlsCause::UnknownIssuer,
            "its certificate is not signed by the key of the issuer that is trusted under that name: \
             `ca` may be an older one"
                .to_owned(),
        ),
        E::Other(why) => (TlsCause::Certificate, of_other(&why.to_string())),
        other => (
            TlsCause::Certificate,
            format!("its certificate is not accepted: {other}"),
        ),
    }
}

/// What webpki found wrong with a certificate, by its word for it: the TLS library passes it on as a text.
fn of_other(why: &str) -> String {
    match why {
        "CaUsedAsEndEntity" => {
            "its certificate is an authority's own (CA:TRUE), as `openssl req -x509` makes it: \
             make one with CA:FALSE, give it as `ca`, or set `insecure = true`"
                .to_owned()
        }
        "UnsupportedCertVersion" => {
            "its certificate is of X.509 version 1: make one of version 3, with the names in subjectAltName"
                .to_owned()
        }
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// The names that a certificate has, as far as they are few.
fn of_names(presented: &[String]) -> String {
    /// More are not told.
    const TOLD_MAX: usize = 5;
    let told: Vec<&str> = (presented.iter().take(TOLD_MAX))
        .map(|name| {
            // As webpki writes them: DnsName("web.test").
            let inner = name
                .split_once('"')
                .and_then(|(_, rest)| rest.rsplit_once('"'));
            inner.map_or(name.as_str(), |(inner, _)| inner)
        })
        .collect();
    match (told.as_slice(), presented.len().saturating_sub(TOLD_MAX)) {
        ([], _) => " and has no names".to_owned(),
        (told, 0) => format!(" but for {}", told.join(", ")),
        (told, more) => format!(" but for {} and {more} more", told.join(", ")),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    let word = match alert.as_str() {
        Some(word) => snake_case(word),
        None => u8::from(alert).to_string(),
    };
    let hint = match alert {
        AlertDescription::HandshakeFailure => {
            ": no version or cipher suite in common, or it needs a client certificate"
        }
        AlertDescription::CertificateRequired => {
            ": it needs a client certificate, `cert` and `key`"
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => ": it does not accept our certificate",
        AlertDescription::NoApplicationProtocol => ": it does not speak HTTP/1.1",
        AlertDescription::UnrecognisedName => ": it does not know the name asked for",
        AlertDescription::ProtocolVersion => ": it speaks neither TLS 1.2 nor TLS 1.3",
        _ => "",
    };
    format!("it refused the handshake with the alert {word}{hint}")
}

fn of_incompatible(why: &PeerIncompatible) -> String {
    format!("the TLS handshake found nothing in common: {why:?}")
}

/// `UnknownCA` as RFC 8446 §6 writes it: `unknown_ca`.
fn snake_case(word: &str) -> String {
    let mut snake = String::with_capacity(word.len() + 4);
    let mut was_lower = false;
    for letter in word.chars() {
        if letter.is_ascii_uppercase() && was_lower {
            snake.push('_');
        }
        was_lower = letter.is_ascii_lowercase();
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    #[test]
    fn alerts_are_told_as_the_standard_names_them() {
        for (alert, word) in [
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::HandshakeFailure, "handshake_failure"),
            (
                AlertDescription::NoApplicationProtocol,
                "no_application_protocol",
            ),
        ] {
            let failure = TlsFailure::of(&Error::AlertReceived(alert));
            assert!(failure.to_string().contains(word), "{failure}");
            assert_eq!(failure.cause, TlsCause::Refused);
        }
    }

    #[test]
    fn an_authority_that_was_made_anew_under_its_name_is_an_unknown_issuer() {
        let failure = TlsFailure::of(&Error::InvalidCertificate(CertificateError::BadSignature));

        assert_eq!(failure.cause, TlsCause::UnknownIssuer);
        assert!(failure.to_string().contains("`ca` may be an older one"));
    }

    #[test]
    fn certificates_as_openssl_makes_them_by_default_are_told_in_words() {
        for (why, word) in [
            ("CaUsedAsEndEntity", "CA:FALSE"),
            ("UnsupportedCertVersion", "version 3"),
            ("BadDer", "BadDer"),
        ] {
            let why = OtherError(Arc::new(io::Error::other(why)));
            let failure = TlsFailure::of(&Error::InvalidCertificate(CertificateError::Other(why)));

            assert!(failure.to_string().contains(word), "{failure}");
            assert_eq!(failure.cause, TlsCause::Certificate);
        }
    }

    #[test]
    fn names_of_a_certificate_are_told_but_not_all_of_many() {
        let name = |name: &str| format!("DnsName(\"{name}\")");
        assert_eq!(of_names(&[name("a.test")]), " but for a.test");
        assert_eq!(of_names(&[]), " and has no names");
        let many: Vec<String> = (0..7).map(|n| name(&format!("{n}.test"))).collect();
        assert!(of_names(&many).ends_with("4.test and 2 more"));
    }
}
