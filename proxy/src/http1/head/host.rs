//! `Host` and the authority of a target.

use std::net::Ipv6Addr;

/// Whether this is `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2). An empty one is.
pub(super) fn is_valid(host: &[u8]) -> bool {
    let Some(literal) = host.strip_prefix(b"[") else {
        let colon = host.iter().position(|byte| *byte == b':');
        let (name, port) = match colon {
            Some(colon) => (&host[..colon], &host[colon + 1..]),
            None => (host, &[][..]),
        };
        return is_name(name) && port.iter().all(u8::is_ascii_digit);
    };
    let Some(end) = memchr::memchr(b']', literal) else {
        return false;
    };
    let (address, port) = (&literal[..end], &literal[end + 1..]);
    let port = match port {
        [] => port,
        [b':', port @ ..] => port,
        [_, ..] => return false,
    };
    is_address(address) && port.iter().all(u8::is_ascii_digit)
}

/// Whether this is the authority of an http URI: user information, which nobody gets to see, and a host that is
/// not empty (RFC 9110 §4.2.1).
pub(super) fn is_valid_authority(authority: &str) -> bool {
    let host = without_userinfo(authority);
    let userinfo = authority.len() - host.len();
    let userinfo = authority[..userinfo].strip_suffix('@').unwrap_or_default();
    let is_userinfo = is_pct_encoded(userinfo.as_bytes(), |byte| {
        is_name_byte(byte) || byte == b':'
    });
    is_userinfo && !host.is_empty() && !host.starts_with(':') && is_valid(host.as_bytes())
}

pub(super) fn without_userinfo(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// A `reg-name`, which an IPv4 address is too.
fn is_name(name: &[u8]) -> bool {
    name.iter().all(|byte| is_name_byte(*byte)) || is_pct_encoded(name, is_name_byte)
}

/// `unreserved` and `sub-delims` of RFC 3986 §2.
fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[usize::from(byte)]
}

static NAME_BYTES: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        bytes[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
            );
        byte += 1;
    }
    bytes
};

fn is_pct_encoded(text: &[u8], is_plain: impl Fn(u8) -> bool) -> bool {
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest
            }
            [byte, rest @ ..] if is_plain(*byte) => rest,
            [_, ..] => return false,
        };
    }
}

/// An IPv6 address, or one of a later version (`IPvFuture`).
fn is_address(address: &[u8]) -> bool {
    if let [b'v' | b'V', rest @ ..] = address {
        let Some(dot) = memchr::memchr(b'.', rest) else {
            return false;
        };
        let (version, rest) = (&rest[..dot], &rest[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !rest.is_empty()
            && rest.iter().all(|byte| is_name_byte(*byte) || *byte == b':');
    }
    str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
}
