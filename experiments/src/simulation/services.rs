//! The four services of the original.

use serde::{Deserialize, Serialize};

/// Something for each service, by the service's name in metrics and JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services<T> {
    /// Of the page that users ask for.
    pub homepage: T,
    /// Of the service that knows the users.
    pub authentication: T,
    /// Of the service that is put to the test.
    pub recommendations: T,
    /// Of the service that calls nobody and needs nobody.
    pub popular_items: T,
}

impl<T> Services<T> {
    /// What each has.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let Self {
            homepage,
            authentication,
            recommendations,
            popular_items,
        } = self;
        [homepage, authentication, recommendations, popular_items].into_iter()
    }
}
