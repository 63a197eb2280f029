//! What is not shown of a request's target: values that sign or authorise, and passwords.
//!
//! One rule for spans, the access log and records of requests.

use std::borrow::Cow;

/// What stands in a value's place, as OpenTelemetry's semantic conventions say for `url.query`.
const REDACTED: &str = "REDACTED";

/// Names of parameters whose values are not shown, in lower case and without `-` and `_`.
///
/// The first are those of OpenTelemetry's semantic conventions for `url.query`, of this version and of those before
/// it; then other signed URLs, credentials, and what OAuth, SAML and sessions hand over in a query.
pub(crate) const NAMES: &[&str] = &[
    "xamzsignature",
    "xamzcredential",
    "xamzsecuritytoken",
    "sig",
    "xgoogsignature",
    "awsaccesskeyid",
    "signature",
    "xgoogcredential",
    "googleaccessid",
    "ossaccesskeyid",
    "sas",
    "hmac",
    "key",
    "code",
    "codeverifier",
    "auth",
    "authorization",
    "bearer",
    "jwt",
    "samlresponse",
    "samlrequest",
    "ticket",
    "pin",
    "devicecode",
    "usercode",
    "mac",
    "sign",
    "md5",
    "hdnts",
    "hdnea",
    "hdntl",
    "pass",
    "passphrase",
    "pwd",
    "session",
    "sid",
    "sessid",
    "phpsessid",
    "credentials",
    "secrets",
    "tokens",
];

/// Endings of such names, likewise: `access_token`, `client-secret`, `userPassword`.
pub(crate) const ENDINGS: &[&str] = &[
    "token",
    "secret",
    "signature",
    "password",
    "passwd",
    "credential",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "authkey",
    "appkey",
    "consumerkey",
    "signingkey",
    "subscriptionkey",
    "accesskeyid",
    "sessionid",
    "tokenhint",
    "assertion",
    "verifier",
    "passcode",
    "otp",
    "csrf",
    "xsrf",
];

/// More than the longest name and the longest ending.
const NAME_BYTES_MAX: usize = 32;

/// Replaces the values of parameters that sign or authorise by `REDACTED`. Without one, it gives the text back and
/// copies nothing.
///
/// `query` is what follows the question mark. A parameter begins behind `&` or `;`; the value of one that is not shown
/// ends at `&`. Names are compared after decoding `%xx`, without regard to case, `-` and `_`; of `user[password]` and
/// `user.password` each part counts. See the documentation of telemetry for the list of names.
///
/// ```
/// use brownout_telemetry::redact_query;
///
/// assert_eq!(redact_query("page=2&sig=6f1a"), "page=2&sig=REDACTED");
/// ```
#[must_use]
pub fn redact_query(query: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut copied = 0;
    let mut begin = 0;
    while begin < query.len() {
        let mut end = until(query, begin, &['&', ';']);
        if let Some(name) = query[begin..end].find('=')
            && is_secret(&query[begin..begin + name])
        {
            let value = begin + name + 1;
            // A semicolon may be part of the secret.
            end = until(query, value, &['&']);
            if value < end {
                shown.push_str(&query[copied..value]);
                shown.push_str(REDACTED);
                copied = end;
            }
        }
        begin = end + 1;
    }
    if copied == 0 {
        return Cow::Borrowed(query);
    }
    shown.push_str(&query[copied..]);
    Cow::Owned(shown)
}

/// Replaces the values of such parameters of a path's segments (`/cart;jsessionid=1`) by `REDACTED`. Without one it copies
/// nothing.
///
/// Parameters begin behind `;` (RFC 3986 §3.3) and end at the next `;` or `/`. Names are those of [`redact_query`].
///
/// ```
/// use brownout_telemetry::redact_path;
///
/// assert_eq!(redact_path("/cart;jsessionid=6f1a/items"), "/cart;jsessionid=REDACTED/items");
/// ```
#[must_use]
pub fn redact_path(path: &str) -> Cow<'_, str> {
    if !path.contains(';') {
        return Cow::Borrowed(path); // As nearly all are.
    }
    let mut shown = String::new();
    let mut copied = 0;
    for (semicolon, _) in path.match_indices(';') {
        let begin = semicolon + 1;
        let end = until(path, begin, &[';', '/']);
        if let Some((name, value)) = path[begin..end].split_once('=')
            && !value.is_empty()
            && is_secret(name)
        {
            shown.push_str(&path[copied..end - value.len()]);
            shown.push_str(REDACTED);
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(path);
    }
    shown.push_str(&path[copied..]);
    Cow::Owned(shown)
}

/// Where the first of `marks` is from `begin` on, or the end of `text`.
fn until(text: &str, begin: usize, marks: &[char]) -> usize {
    text[begin..]
        .find(marks)
        .map_or(text.len(), |it| begin + it)
}

/// Replaces user name and password before a host by `REDACTED:REDACTED@`. Without them it copies nothing.
#[must_use]
pub fn redact_authority(authority: &str) -> Cow<'_, str> {
    match authority.rsplit_once('@') {
        None => Cow::Borrowed(authority),
        Some((_, host)) => Cow::Owned(format!("{REDACTED}:{REDACTED}@{host}")),
    }
}

/// As [`redact_path`], [`redact_query`] and [`redact_authority`], of a whole target: a path with or without a query, or a
/// URL.
///
/// What follows `#` is taken for parameters as well.
#[must_use]
pub fn redact_url(url: &str) -> Cow<'_, str> {
    let path = path_of(url);
    let authority = url[..path].find("//").map_or(path, |it| it + 2);
    let query = until(url, path, &['?', '#']);
    let fragment = until(url, query, &['#']);
    let parameters = |part: std::ops::Range<usize>| {
        let (mark, parameters) = url[part].split_at_checked(1).unwrap_or_default();
        [Cow::Borrowed(mark), redact_query(parameters)]
    };
    let [question, query_shown] = parameters(query..fragment);
    let [hash, fragment_shown] = parameters(fragment..url.len());
    let parts = [
        Cow::Borrowed(&url[..authority]),
        redact_authority(&url[authority..path]),
        redact_path(&url[path..query]),
        question,
        query_shown,
        hash,
        fragment_shown,
    ];
    match parts.iter().all(|part| matches!(part, Cow::Borrowed(_))) {
        true => Cow::Borrowed(url),
        false => Cow::Owned(parts.concat()),
    }
}

/// Where a URL's path begins, or its query if it has none; 0 of what is no URL.
fn path_of(url: &str) -> usize {
    let Some(scheme) = url.find("://") else {
        return 0;
    };
    if url[..scheme].contains(['/', '?', '#']) {
        return 0;
    }
    let authority = scheme + 3;
    let end = url[authority..].find(['/', '?', '#']);
    end.map_or(url.len(), |it| authority + it)
}

/// Whether the value of a parameter of this name is not to be shown.
fn is_secret(name: &str) -> bool {
    let mut part = Part::default();
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => decoded(&mut bytes).unwrap_or(b'%'),
            byte => byte,
        };
        match byte {
            b'[' | b']' | b'.' => {
                if part.is_secret() {
                    return true;
                }
                part = Part::default();
            }
            b'-' | b'_' => {}
            byte => part.push(byte.to_ascii_lowercase()),
        }
    }
    part.is_secret()
}

/// The byte that two hexadecimal digits stand for, which are consumed.
fn decoded(rest: &mut std::str::Bytes<'_>) -> Option<u8> {
    let mut ahead = rest.clone();
    let mut digit = || char::from(ahead.next()?).to_digit(16);
    let byte = digit()? << 4 | digit()?;
    *rest = ahead;
    u8::try_from(byte).ok()
}

/// The end of a name, or of a part of it.
#[derive(Default)]
struct Part {
    bytes: [u8; NAME_BYTES_MAX],
    length: usize,
    is_cut: bool,
}

impl Part {
    fn push(&mut self, byte: u8) {
        if self.length == NAME_BYTES_MAX {
            self.bytes.copy_within(NAME_BYTES_MAX / 2.., 0);
            self.length = NAME_BYTES_MAX / 2;
            self.is_cut = true;
        }
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn is_secret(&self) -> bool {
        let name = &self.bytes[..self.length];
        let is_named = |it: &&str| it.as_bytes() == name;
        (!self.is_cut && NAMES.iter().any(is_named))
            || ENDINGS
                .iter()
                .any(|ending| name.ends_with(ending.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_sign_or_authorise_are_redacted_and_names_stay() {
        for (query, shown) in [
            ("color=blue&sig=6f1a", "color=blue&sig=REDACTED"),
            ("sig=6f1a&color=blue", "sig=REDACTED&color=blue"),
            ("SIG=1", "SIG=REDACTED"),
            (
                "AWSAccessKeyId=AKIA&Signature=a%2Bb&Expires=1",
                "AWSAccessKeyId=REDACTED&Signature=REDACTED&Expires=1",
            ),
            ("X-Goog-Signature=1", "X-Goog-Signature=REDACTED"),
            ("X-Amz-Signature=1", "X-Amz-Signature=REDACTED"),
            ("x-amz-credential=1", "x-amz-credential=REDACTED"),
            ("X-Amz-Security-Token=1", "X-Amz-Security-Token=REDACTED"),
            (
                "api_key=1&apikey=2&api-key=3&apiKey=4&key=5",
                "api_key=REDACTED&apikey=REDACTED&api-key=REDACTED&apiKey=REDACTED&key=REDACTED",
            ),
            (
                "client_secret=1&clientSecret=2",
                "client_secret=REDACTED&clientSecret=REDACTED",
            ),
            ("user=7&passwd=a=b=c", "user=7&passwd=REDACTED"),
            ("token=a;b&q=1", "token=REDACTED&q=1"),
            ("q=1;token=a", "q=1;token=REDACTED"),
            (
                "s%69g=1&%53IG=2&access%5Ftoken=3",
                "s%69g=REDACTED&%53IG=REDACTED&access%5Ftoken=REDACTED",
            ),
            (
                "user[password]=1&user%5Btoken%5D=2&user.pwd=3&token[]=4",
                "user[password]=REDACTED&user%5Btoken%5D=REDACTED&user.pwd=REDACTED&token[]=REDACTED",
            ),
            ("token=\u{e4}&\u{e4}=1", "token=REDACTED&\u{e4}=1"),
            ("&&sig=1&&", "&&sig=REDACTED&&"),
            (
                "id_token_hint=1&client_assertion=2&Ocp-Apim-Subscription-Key=3",
                "id_token_hint=REDACTED&client_assertion=REDACTED&Ocp-Apim-Subscription-Key=REDACTED",
            ),
            (
                "AccessKeyId=1&sign=2&auth_key=3&oauth_verifier=4&totp=5&csrf=6",
                "AccessKeyId=REDACTED&sign=REDACTED&auth_key=REDACTED&oauth_verifier=REDACTED&totp=REDACTED&csrf=REDACTED",
            ),
        ] {
            assert_eq!(redact_query(query), shown);
        }
        let long = format!("{}_token=1", "x".repeat(1000));
        assert!(redact_query(&long).ends_with("_token=REDACTED"));
    }

    #[test]
    fn every_name_of_the_list_is_redacted_in_every_spelling() {
        for name in NAMES.iter().chain(ENDINGS) {
            let (first, rest) = name.split_at(1);
            for spelling in [
                (*name).to_owned(),
                name.to_uppercase(),
                format!("{first}-{rest}"),
                format!("{first}_{rest}"),
                format!("%{:02x}{rest}", first.as_bytes()[0]),
                format!("%{:02X}{rest}", first.as_bytes()[0].to_ascii_uppercase()),
            ] {
                let query = format!("a=1&{spelling}=hidden&b=2");
                let shown = format!("a=1&{spelling}=REDACTED&b=2");
                assert_eq!(redact_query(&query), shown);
            }
        }
    }

    #[test]
    fn what_hides_nothing_is_neither_changed_nor_copied() {
        for query in [
            "",
            "q=OpenTelemetry",
            "page=2&sort=name;asc&design=1&signal=2&monkey=3&codec=4&author=5&sessions=6&stopped=7&machine=8&pinned=9&verified=1",
            "sig",
            "sig&token",
            "token=",
            "=token",
            "a=token&b=sig",
            "a=b=token",
            "%=1&%7=2&%zz=3&si%66n=4",
            "tok%2565n=1",
        ] {
            assert!(
                matches!(redact_query(query), Cow::Borrowed(it) if it == query),
                "{query}"
            );
        }
    }

    #[test]
    fn sessions_and_tokens_in_a_path_are_redacted() {
        for (path, shown) in [
            ("/a;jsessionid=1", "/a;jsessionid=REDACTED"),
            (
                "/a;JSESSIONID=1;v=2/b;access_token=3",
                "/a;JSESSIONID=REDACTED;v=2/b;access_token=REDACTED",
            ),
            ("/;sid=a=b", "/;sid=REDACTED"),
        ] {
            assert_eq!(redact_path(path), shown);
        }
        for path in [
            "", "/", "/a;v=1", "/a;sid", "/a;sid=", "/token=1", ";", "/a;;=/",
        ] {
            assert!(
                matches!(redact_path(path), Cow::Borrowed(it) if it == path),
                "{path}"
            );
        }
    }

    #[test]
    fn user_and_password_of_an_authority_are_redacted() {
        assert_eq!(
            redact_authority("user:secret@[::1]:80"),
            "REDACTED:REDACTED@[::1]:80"
        );
        assert_eq!(redact_authority("a@b@host"), "REDACTED:REDACTED@host");
        assert!(matches!(
            redact_authority("host:80"),
            Cow::Borrowed("host:80")
        ));
    }

    #[test]
    fn a_target_of_any_form_is_redacted() {
        for (target, shown) in [
            ("/a?sig=1", "/a?sig=REDACTED"),
            (
                "/a?next=http://u:p@h/&sig=1",
                "/a?next=http://u:p@h/&sig=REDACTED",
            ),
            (
                "https://u:p@h/a@b?sig=1#token=2",
                "https://REDACTED:REDACTED@h/a@b?sig=REDACTED#token=REDACTED",
            ),
            (
                "http://u:p@h?sig=1",
                "http://REDACTED:REDACTED@h?sig=REDACTED",
            ),
            ("http://u:p@h", "http://REDACTED:REDACTED@h"),
            ("http://h#id_token=1&x=2", "http://h#id_token=REDACTED&x=2"),
            ("http://h/a;sid=1/b?c=2", "http://h/a;sid=REDACTED/b?c=2"),
        ] {
            assert_eq!(redact_url(target), shown);
        }
        for target in [
            "",
            "*",
            "/",
            "/a@b?x=1#y",
            "http://h",
            "http://h/?",
            "/#",
            "?",
            "\u{e4}?\u{e4}#\u{e4}",
        ] {
            assert!(
                matches!(redact_url(target), Cow::Borrowed(it) if it == target),
                "{target}"
            );
        }
    }
}
