//! Bearer tokens (RFC 6750): one for everything, and one that only reads.

use std::{fmt, hint::black_box};

use axum::{
    extract::Request,
    http::{Method, header},
};

use crate::problem::ApiError;

/// A secret that a caller shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has 8 to 1024 visible ASCII characters, and no spaces")]
pub struct InvalidToken;

impl Token {
    /// Reads a token; white space around it, such as the newline of a file, is none of it.
    ///
    /// # Errors
    /// When it is too short, too long, or cannot stand in a header field.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if (8..=1024).contains(&text.len()) && is_visible {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidToken)
        }
    }

    /// The secret itself, for who sends it.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Takes as long for a wrong text as for the right one, whatever they have in common; only the length shows.
    fn is(&self, shown: &str) -> bool {
        let (ours, shown) = (self.0.as_bytes(), shown.as_bytes());
        let differences = ours.iter().zip(shown).fold(0, |all, (a, b)| all | (a ^ b));
        ours.len() == shown.len() && black_box(differences) == 0
    }
}

/// Never the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The tokens that callers are asked for.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    all: Option<Token>,
    read: Option<Token>,
}

impl Tokens {
    pub(crate) fn new(all: Option<Token>, read: Option<Token>) -> Self {
        Self { all, read }
    }

    /// Whether a caller of what answers everybody may be told the rest.
    pub(crate) fn may_read(&self, request: &Request) -> bool {
        let mut tokens = [&self.all, &self.read].into_iter().flatten();
        let shown = shown(request);
        self.all.is_none() || shown.is_some_and(|shown| tokens.any(|token| token.is(shown)))
    }

    /// Refuses a call without a token, if there is one. A sign of life is given to everybody.
    pub(super) fn check(&self, request: &Request) -> Result<(), ApiError> {
        let Some(all) = &self.all else {
            return Ok(());
        };
        if matches!(request.uri().path(), "/healthz" | "/readyz") {
            return Ok(());
        }
        let Some(shown) = shown(request) else {
            return Err(ApiError::Unauthorized(
                "a token is asked for: Authorization: Bearer TOKEN",
            ));
        };
        if all.is(shown) {
            return Ok(());
        }
        if !self.read.as_ref().is_some_and(|read| read.is(shown)) {
            return Err(ApiError::Unauthorized("the token is wrong"));
        }
        match *request.method() {
            Method::GET | Method::HEAD => Ok(()),
            _ => Err(ApiError::Forbidden("the token only reads".to_owned())),
        }
    }
}

/// What a caller shows. Twice is nothing: whoever sends two wants one of them to be overlooked.
fn shown(request: &Request) -> Option<&str> {
    let mut fields = request.headers().get_all(header::AUTHORIZATION).iter();
    let field = fields.next().filter(|_| fields.next().is_none())?;
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_secret_of_some_length() {
        assert!(Token::new(" s3cret-token\n").unwrap().is("s3cret-token"));
        for text in [
            "",
            "short",
            "with a space",
            "tab\tinside",
            "größer-als-acht",
        ] {
            assert_eq!(Token::new(text), Err(InvalidToken), "{text}");
        }
        let token = Token::new("s3cret-token").unwrap();
        assert!(!token.is("s3cret-tokem") && !token.is("s3cret-token-") && !token.is(""));
        assert_eq!(format!("{token:?}"), "Token");
    }
}
