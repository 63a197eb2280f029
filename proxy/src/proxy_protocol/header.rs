//! The header itself: read strictly, and written.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str,
};

use crate::limits::PROXY_HEADER_MAX;

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Both ends of the connection of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoints {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadHeader(pub(super) &'static str);

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A header that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Its length.
    pub(super) bytes: usize,
    /// The client's connection. `None`: the connection is the sender's own (a check of health), or of a client without
    /// addresses.
    pub(super) client: Option<Endpoints>,
}

const TEXT: &[u8] = b"PROXY ";
const BINARY: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its end.
const LINE_MAX: usize = 107;
/// What comes before the addresses in version 2.
const FIXED: usize = 16;
/// A checksum over the whole header (CRC-32C).
const CHECKSUM: u8 = 0x03;

/// Reads a header at the beginning of `bytes`. `None`: it is not whole, and all of `bytes` belong to it.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    let agrees = |with: &[u8]| bytes.iter().zip(with).all(|(one, other)| one == other);
    if agrees(TEXT) {
        parse_line(bytes)
    } else if agrees(BINARY) {
        parse_binary(bytes)
    } else {
        Err(BadHeader("it does not begin with a header"))
    }
}

fn parse_line(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    let within = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(feed) = within.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() < LINE_MAX {
            true => Ok(None),
            false => Err(BadHeader("its line is longer than 107 bytes")),
        };
    };
    let line = bytes[TEXT.len()..feed].strip_suffix(b"\r");
    let line = line.ok_or(BadHeader("its line ends with a line feed alone"))?;
    let line = str::from_utf8(line);
    let line = line.map_err(|_| BadHeader("its line is no text"))?;
    let client = match line.split_once(' ').unwrap_or((line, "")) {
        ("UNKNOWN", _) => None,
        ("TCP4", rest) => Some(addresses(rest, |ip| ip.parse().ok().map(IpAddr::V4))?),
        ("TCP6", rest) => Some(addresses(rest, |ip| ip.parse().ok().map(IpAddr::V6))?),
        _ => return Err(BadHeader("its protocol is not TCP4, TCP6 or UNKNOWN")),
    };
    let bytes = feed + 1;
    Ok(Some(Header { bytes, client }))
}

/// Reads the addresses and ports of a line.
fn addresses(text: &str, ip: impl Fn(&str) -> Option<IpAddr>) -> Result<Endpoints, BadHeader> {
    let mut parts = text.split(' ');
    let mut ip = || {
        let ip = parts.next().and_then(&ip);
        ip.ok_or(BadHeader("an address in its line is none"))
    };
    let (source, destination) = (ip()?, ip()?);
    let mut port = || {
        let port = parts.next().and_then(port);
        port.ok_or(BadHeader("a port in its line is none"))
    };
    let (from, to) = (port()?, port()?);
    match parts.next() {
        Some(_) => Err(BadHeader("something follows the ports in its line")),
        None => Ok(Endpoints {
            source: SocketAddr::new(source, from),
            destination: SocketAddr::new(destination, to),
        }),
    }
}

/// A port as a sender must write it: digits alone, without zeros before.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    match is_plain && (text == "0" || !text.starts_with('0')) {
        true => text.parse().ok(),
        false => None,
    }
}

fn parse_binary(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else {
        return Ok(None);
    };
    let is_own = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(BadHeader("its version and command are not known")),
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let whole = FIXED + length;
    if whole > PROXY_HEADER_MAX {
        return Err(BadHeader("it is longer than 4096 bytes"));
    }
    let Some(rest) = rest.get(..length) else {
        return Ok(None);
    };
    // What an own connection says of addresses is to be skipped.
    let taken = match (is_own, fixed[13]) {
        (true, _) => None,
        (false, 0x00) => Some((None, rest)),
        (false, 0x11) => Some(binary_ends(rest, |ip: [u8; 4]| Ipv4Addr::from(ip).into())?),
        (false, 0x21) => Some(binary_ends(rest, |ip: [u8; 16]| Ipv6Addr::from(ip).into())?),
        // Unix sockets: two paths of 108 bytes.
        (false, 0x31) => match rest.split_at_checked(2 * 108) {
            Some((_, more)) => Some((None, more)),
            None => return Err(SHORT),
        },
        (false, _) => return Err(BadHeader("its family or transport is not one of a stream")),
    };
    let client = match taken {
        None => None,
        Some((client, more)) => {
            check_extensions(&bytes[..whole], more)?;
            client
        }
    };
    Ok(Some(Header {
        bytes: whole,
        client,
    }))
}

const SHORT: BadHeader = BadHeader("it is too short for its addresses");

/// Reads addresses of `N` bytes with their ports, and gives what follows them.
fn binary_ends<const N: usize>(
    bytes: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr,
) -> Result<(Option<Endpoints>, &[u8]), BadHeader> {
    let (source, rest) = bytes.split_first_chunk::<N>().ok_or(SHORT)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(SHORT)?;
    let (from, rest) = rest.split_first_chunk::<2>().ok_or(SHORT)?;
    let (to, rest) = rest.split_first_chunk::<2>().ok_or(SHORT)?;
    let ends = Endpoints {
        source: SocketAddr::new(ip(*source), u16::from_be_bytes(*from)),
        destination: SocketAddr::new(ip(*destination), u16::from_be_bytes(*to)),
    };
    Ok((Some(ends), rest))
}

/// Looks whether extensions are whole, and at the checksum if there is one.
fn check_extensions(header: &[u8], mut extensions: &[u8]) -> Result<(), BadHeader> {
    const CUT: BadHeader = BadHeader("an extension of it is cut off");
    while let Some(([kind, high, low], rest)) = extensions.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(CUT)?;
        if *kind == CHECKSUM {
            let said = <[u8; 4]>::try_from(value);
            let said = said.map_err(|_| BadHeader("its checksum has not four bytes"))?;
            let at = header.len() - rest.len() - value.len();
            let without = [&header[..at], &[0; 4], rest].concat();
            if crc32c(&without) != u32::from_be_bytes(said) {
                return Err(BadHeader("its checksum is wrong"));
            }
        }
        extensions = rest;
    }
    match extensions.is_empty() {
        true => Ok(()),
        false => Err(CUT),
    }
}

/// CRC-32C (RFC 4960 appendix B): of few bytes, so bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    const REVERSED: u32 = 0x82f6_3b78;
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (REVERSED & (crc & 1).wrapping_neg())
        })
    });
    !crc
}

/// The header of a connection for a client. `None`: the client has no addresses.
pub(crate) fn header(version: ProxyVersion, client: Option<Endpoints>) -> Vec<u8> {
    match (version, client.map(of_one_family)) {
        (ProxyVersion::V1, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (ProxyVersion::V1, Some(ends)) => {
            let Endpoints {
                source,
                destination,
            } = ends;
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.port(), destination.port());
            let (source, destination) = (source.ip(), destination.ip());
            format!("PROXY {family} {source} {destination} {from} {to}\r\n").into_bytes()
        }
        (ProxyVersion::V2, None) => binary(0x21, 0x00, &[]),
        (ProxyVersion::V2, Some(ends)) => {
            let mut rest = Vec::with_capacity(36);
            for ip in [ends.source.ip(), ends.destination.ip()] {
                match ip {
                    IpAddr::V4(ip) => rest.extend(ip.octets()),
                    IpAddr::V6(ip) => rest.extend(ip.octets()),
                }
            }
            for port in [ends.source.port(), ends.destination.port()] {
                rest.extend(port.to_be_bytes());
            }
            let family = if ends.source.is_ipv4() { 0x11 } else { 0x21 };
            binary(0x21, family, &rest)
        }
    }
}

/// The header of a connection that is for no client.
pub(crate) fn header_of_own(version: ProxyVersion) -> Vec<u8> {
    match version {
        ProxyVersion::V1 => header(version, None),
        ProxyVersion::V2 => binary(0x20, 0x00, &[]),
    }
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("addresses are short");
    [&BINARY[..], &[command, family], &length.to_be_bytes(), rest].concat()
}

/// The ends with addresses of one family: IPv4 where both are, written as IPv6 or not.
fn of_one_family(ends: Endpoints) -> Endpoints {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (plain(ends.source), plain(ends.destination));
    let widened = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    match source.is_ipv4() == destination.is_ipv4() {
        true => Endpoints {
            source,
            destination,
        },
        false => Endpoints {
            source: widened(source),
            destination: widened(destination),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(source: &str, destination: &str) -> Endpoints {
        Endpoints {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    fn client(bytes: &[u8]) -> Option<Endpoints> {
        let header = parse(bytes).unwrap().expect("it is whole");
        assert_eq!(header.bytes, bytes.len());
        header.client
    }

    #[test]
    fn a_line_says_who_the_client_is() {
        assert_eq!(
            client(b"PROXY TCP4 192.0.2.7 198.51.100.1 65535 0\r\n"),
            Some(ends("192.0.2.7:65535", "198.51.100.1:0"))
        );
        assert_eq!(
            client(b"PROXY TCP6 2001:db8::7 ::1 1 443\r\n"),
            Some(ends("[2001:db8::7]:1", "[::1]:443"))
        );
        assert_eq!(client(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(client(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), None);
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_MAX - 16));
        assert_eq!(client(longest.as_bytes()), None);
    }

    #[test]
    fn a_line_that_is_written_otherwise_is_refused() {
        for line in [
            "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
            "PROXY TCP4 192.0.2.7  198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
            "PROXY TCP4\r\n",
            "PROXY tcp4 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
            "proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
            "GET / HTTP/1.1\r\n",
            " PROXY UNKNOWN\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
        ] {
            let parsed = parse(line.as_bytes());
            assert!(parsed.is_err(), "{line}: {parsed:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(LINE_MAX));
        assert!(parse(endless.as_bytes()).is_err());
    }

    #[test]
    fn what_is_written_reads_back_in_pieces_too() {
        for client in [
            Some(ends("192.0.2.7:1", "198.51.100.1:2")),
            Some(ends("[2001:db8::7]:1", "[::1]:2")),
            None,
        ] {
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let written = header(version, client);
                for cut in 0..written.len() {
                    assert_eq!(parse(&written[..cut]), Ok(None), "{version:?} {cut}");
                }
                let mut more = written.clone();
                more.extend(b"GET / HTTP/1.1\r\n\r\n");
                let bytes = written.len();
                assert_eq!(parse(&more), Ok(Some(Header { bytes, client })));
            }
        }
        assert_eq!(client(&header_of_own(ProxyVersion::V2)), None);
    }

    #[test]
    fn addresses_are_written_in_one_family() {
        for (given, wanted) in [
            (
                ends("[::ffff:192.0.2.7]:1", "198.51.100.1:2"),
                ends("192.0.2.7:1", "198.51.100.1:2"),
            ),
            (
                ends("192.0.2.7:1", "[2001:db8::1]:2"),
                ends("[::ffff:192.0.2.7]:1", "[2001:db8::1]:2"),
            ),
        ] {
            assert_eq!(client(&header(ProxyVersion::V1, Some(given))), Some(wanted));
            assert_eq!(client(&header(ProxyVersion::V2, Some(given))), Some(wanted));
        }
    }

    fn with_extensions(extensions: &[u8]) -> Vec<u8> {
        let mut rest = vec![192, 0, 2, 7, 198, 51, 100, 1, 0, 1, 0, 2];
        rest.extend(extensions);
        binary(0x21, 0x11, &rest)
    }

    #[test]
    fn extensions_are_skipped_where_they_are_whole() {
        let wanted = Some(ends("192.0.2.7:1", "198.51.100.1:2"));
        assert_eq!(client(&with_extensions(b"\x01\0\x02h2\xee\0\0")), wanted);

        for cut in [&b"\x01"[..], b"\x01\0", b"\x01\0\x02h"] {
            let parsed = parse(&with_extensions(cut));
            assert_eq!(parsed, Err(BadHeader("an extension of it is cut off")));
        }
    }

    #[test]
    fn a_checksum_is_looked_at() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut header = with_extensions(b"\x03\0\x04\0\0\0\0\x01\0\x02h2");
        let at = header.len() - 9;
        let sum = crc32c(&header);
        header[at..at + 4].copy_from_slice(&sum.to_be_bytes());

        assert!(client(&header).is_some());
        header[at] ^= 1;
        assert_eq!(parse(&header), Err(BadHeader("its checksum is wrong")));
        assert!(parse(&with_extensions(b"\x03\0\x01\0")).is_err());
    }

    #[test]
    fn a_binary_header_that_is_none_is_refused() {
        let good = with_extensions(b"");
        let changed = |at: usize, to: u8| {
            let mut header = good.clone();
            header[at] = to;
            parse(&header)
        };
        assert!(changed(11, b'X').is_err(), "the signature");
        for version in [0x11, 0x22, 0x2f, 0x31] {
            assert!(changed(12, version).is_err(), "{version:x}");
        }
        for family in [0x10, 0x12, 0x22, 0x32, 0x33, 0x41] {
            assert!(changed(13, family).is_err(), "{family:x}");
        }
        assert!(changed(14, 0xff).is_err(), "too long");
        assert!(parse(&binary(0x21, 0x11, &[0; 11])).is_err(), "too short");
        assert!(parse(&binary(0x21, 0x31, &[0; 215])).is_err());
        assert_eq!(client(&binary(0x21, 0x31, &[0; 216])), None);
        assert_eq!(client(&binary(0x20, 0x11, b"anything")), None);
    }
}
