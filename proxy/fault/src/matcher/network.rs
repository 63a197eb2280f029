//! Ranges of client addresses.

use std::{fmt, net::IpAddr};

use serde_json::Value;

use crate::read::{Problem, shorten, text};

/// A range of addresses in CIDR form (RFC 4632): `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads a range.
    ///
    /// # Errors
    /// When it is none, or has bits set behind its prefix, which would match another range than it seems to.
    pub fn read(value: &Value) -> Result<Self, Problem> {
        let written = text(value)?;
        let invalid = || {
            Problem::here(format!(
                "`{}` is no range of addresses; write it like \"10.0.0.0/8\" or \"::1\"",
                shorten(written)
            ))
        };
        let (address, prefix) = match written.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (written, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) => prefix.parse().map_err(|_| invalid())?,
        };
        if prefix > bits {
            return Err(Problem::here(format!("/{prefix} is above /{bits}")));
        }
        let network = Self { address, prefix };
        let first = network.first();
        if first != address {
            return Err(Problem::here(format!(
                "`{}` has bits behind its prefix; the range begins at {first}/{prefix}",
                shorten(written)
            )));
        }
        Ok(network)
    }

    /// Whether `address` is in it. An IPv4 address that came over an IPv6 socket counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                let wanted = Self {
                    address: address.to_canonical(),
                    prefix: self.prefix,
                };
                wanted.first() == self.address
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    fn first(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix));
                IpAddr::from((address.to_bits() & mask.unwrap_or(0)).to_be_bytes())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix));
                IpAddr::from((address.to_bits() & mask.unwrap_or(0)).to_be_bytes())
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_range_holds_the_addresses_with_its_prefix() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "203.0.113.7", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("fd00::/8", "fdab::1", true),
            ("::/0", "127.0.0.1", false),
        ];
        for (range, address, wanted) in cases {
            let range = Network::read(&json!(range)).unwrap();
            assert_eq!(
                range.contains(address.parse().unwrap()),
                wanted,
                "{address} in {range}"
            );
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0", "10.0.0.0/33", "10.0.0.1/8", "a/8", "::1/129"] {
            assert!(Network::read(&json!(text)).is_err(), "{text}");
        }
    }
}
