//! The four services: what each is called, where it answers, whom it calls.

use std::{fmt, str::FromStr, time::Duration};

use http::Method;
use thiserror::Error;

use crate::word;

/// One of the demo services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// A user's page: two lists, for those who may see it.
    Homepage,
    /// Who a token belongs to, and what that user may do.
    Authentication,
    /// What a user might like, for those who may see it.
    Recommendations,
    /// What everybody likes.
    PopularItems,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Homepage,
        Self::Authentication,
        Self::Recommendations,
        Self::PopularItems,
    ];

    /// The name on command lines, with dashes: `popular-items`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Homepage => "homepage",
            Self::Authentication => "authentication",
            Self::Recommendations => "recommendations",
            Self::PopularItems => "popular-items",
        }
    }

    /// The name in metrics, spans and JSON, with underscores: `popular_items`.
    #[must_use]
    pub const fn metric_name(self) -> &'static str {
        match self {
            Self::PopularItems => "popular_items",
            Self::Homepage | Self::Authentication | Self::Recommendations => self.as_str(),
        }
    }

    /// The path of its one resource.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Homepage => "/",
            Self::Authentication => "/authenticate",
            Self::Recommendations => "/recommendations",
            Self::PopularItems => "/popular_items",
        }
    }

    /// The method of its one resource. Where that is GET, HEAD goes as well.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Authentication => Method::POST,
            Self::Homepage | Self::Recommendations | Self::PopularItems => Method::GET,
        }
    }

    /// The services it calls, in the order of the calls.
    #[must_use]
    pub const fn upstreams(self) -> &'static [Self] {
        match self {
            Self::Homepage => &[
                Self::Authentication,
                Self::Recommendations,
                Self::PopularItems,
            ],
            Self::Recommendations => &[Self::Authentication],
            Self::Authentication | Self::PopularItems => &[],
        }
    }

    /// How long a request occupies a worker besides what its calls take, unless configured.
    #[must_use]
    pub const fn default_work(self) -> Duration {
        match self {
            Self::Homepage => Duration::from_millis(15),
            Self::Authentication | Self::Recommendations | Self::PopularItems => {
                Duration::from_millis(20)
            }
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Service {
    type Err = UnknownService;

    fn from_str(name: &str) -> Result<Self, UnknownService> {
        let named = Self::ALL.into_iter().find(|it| it.as_str() == name);
        named.ok_or_else(|| UnknownService::among(name, &Self::ALL.map(Self::as_str)))
    }
}

/// There is no such service.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown service `{name}`; {hint}")]
pub struct UnknownService {
    /// What was asked for.
    pub name: String,
    hint: String,
}

impl UnknownService {
    pub(crate) fn among(name: &str, known: &[&str]) -> Self {
        Self {
            hint: word::hint(name, known),
            name: name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_found_by_its_name() {
        for service in Service::ALL {
            assert_eq!(service.to_string().parse(), Ok(service));
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_nearest() {
        for (name, message) in [
            (
                "popular_items",
                "unknown service `popular_items`; did you mean `popular-items`?",
            ),
            (
                "Homepage",
                "unknown service `Homepage`; did you mean `homepage`?",
            ),
            (
                "nginx",
                "unknown service `nginx`; known: homepage, authentication, recommendations, popular-items",
            ),
        ] {
            assert_eq!(name.parse::<Service>().unwrap_err().to_string(), message);
        }
    }
}
