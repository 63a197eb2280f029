//! The three services of the library, and the gate's five ways.

use std::{fmt, str::FromStr, time::Duration};

use thiserror::Error;

use crate::service::{Service, UnknownService};

/// One of the library's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LibraryService {
    /// Where readers ask; asks the other two.
    Gate,
    /// The book service that is asked first: `/api/alm/reactive/books`.
    Primary,
    /// The book service that is asked when the first does not answer: `/api/alm/mvc/books`, slower.
    Fallback,
}

impl LibraryService {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gate, Self::Primary, Self::Fallback];

    /// The name on command lines, with dashes: `library-gate`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "library-gate",
            Self::Primary => "library-primary",
            Self::Fallback => "library-fallback",
        }
    }

    /// The name in metrics, spans and JSON, with underscores: `library_gate`.
    #[must_use]
    pub const fn metric_name(self) -> &'static str {
        match self {
            Self::Gate => "library_gate",
            Self::Primary => "library_primary",
            Self::Fallback => "library_fallback",
        }
    }

    /// Where its books are.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Gate => "/api/almg/books",
            Self::Primary => "/api/alm/reactive/books",
            Self::Fallback => "/api/alm/mvc/books",
        }
    }

    /// How long a request occupies a worker besides what its calls and its statements take, unless configured.
    #[must_use]
    pub const fn default_work(self) -> Duration {
        match self {
            Self::Gate => Duration::from_millis(2),
            Self::Primary => Duration::from_millis(12),
            Self::Fallback => Duration::from_millis(20),
        }
    }

    /// Requests that are worked on at once, unless configured. The gate mostly waits, so it has many.
    #[must_use]
    pub const fn default_workers(self) -> usize {
        match self {
            Self::Gate => 64,
            Self::Primary | Self::Fallback => 8,
        }
    }
}

impl fmt::Display for LibraryService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LibraryService {
    type Err = UnknownService;

    fn from_str(name: &str) -> Result<Self, UnknownService> {
        let named = Self::ALL.into_iter().find(|it| it.as_str() == name);
        named.ok_or_else(|| UnknownService::among(name, &Self::ALL.map(Self::as_str)))
    }
}

/// One of the ways through the gate. They ask the same services, each under a policy and with a breaker of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GateName {
    /// Under `library/gate-1.toml`.
    G1,
    /// Under `library/gate-2.toml`.
    G2,
    /// Under `library/gate-3.toml`.
    G3,
    /// Under `library/gate-4.toml`.
    G4,
    /// Under `library/gate-5.toml`.
    G5,
}

impl GateName {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::G1, Self::G2, Self::G3, Self::G4, Self::G5];

    /// The name in paths, on the health page and in metrics: `g1`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::G1 => "g1",
            Self::G2 => "g2",
            Self::G3 => "g3",
            Self::G4 => "g4",
            Self::G5 => "g5",
        }
    }
}

impl FromStr for GateName {
    type Err = UnknownGate;

    fn from_str(name: &str) -> Result<Self, UnknownGate> {
        let named = Self::ALL.into_iter().find(|it| it.as_str() == name);
        named.ok_or_else(|| UnknownGate(name.to_owned()))
    }
}

/// There is no such gate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown gate `{0}`; known: {known}", known = GateName::ALL.map(GateName::as_str).join(", "))]
pub struct UnknownGate(String);

/// One of all services that come with this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyService {
    /// One of those behind the homepage.
    Homepage(Service),
    /// One of the library's.
    Library(LibraryService),
}

impl FromStr for AnyService {
    type Err = UnknownService;

    fn from_str(name: &str) -> Result<Self, UnknownService> {
        let homepage = name.parse().map(Self::Homepage);
        homepage
            .or_else(|_| name.parse().map(Self::Library))
            .map_err(|_| {
                let homepage = Service::ALL.map(Service::as_str);
                let library = LibraryService::ALL.map(LibraryService::as_str);
                UnknownService::among(name, &[&homepage[..], &library[..]].concat())
            })
    }
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_found_by_its_name() {
        for service in LibraryService::ALL {
            assert_eq!(service.to_string().parse(), Ok(service));
            assert_eq!(
                service.to_string().parse(),
                Ok(AnyService::Library(service))
            );
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_nearest() {
        let error = "library-gates".parse::<LibraryService>().unwrap_err();

        assert_eq!(
            error.to_string(),
            "unknown service `library-gates`; did you mean `library-gate`?"
        );
    }

    #[test]
    fn every_gate_is_found_by_its_name_and_no_other() {
        for gate in GateName::ALL {
            assert_eq!(gate.to_string().parse(), Ok(gate));
        }
        assert_eq!(
            "g6".parse::<GateName>().unwrap_err().to_string(),
            "unknown gate `g6`; known: g1, g2, g3, g4, g5"
        );
    }
}
