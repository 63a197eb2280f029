//! Authorization: whether the user behind a request may have what it asks for.

use brownout_telemetry::{Counter, Metrics};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    answer::{self, Answer},
    inbound::Inbound,
    upstream::{Reply, UpstreamClient},
};

/// May see recommendations.
pub(crate) const CAN_VIEW_RECOMMENDATIONS: &str = "can_view_recommendations";
/// May see the homepage.
pub(crate) const CAN_VIEW_HOMEPAGE: &str = "can_view_homepage";

/// Asks the authentication service who sent a request, and wants one permission of that user.
#[derive(Debug)]
pub(crate) struct Authorization {
    authentication: UpstreamClient,
    permission: &'static str,
    granted: Counter,
    denied: Counter,
}

/// What is wanted of the authentication service's answer.
#[derive(Debug, Deserialize)]
struct User {
    #[serde(default)]
    permissions: Vec<String>,
}

/// Why a request gets nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// It has no token.
    NoToken,
    /// The authentication service does not accept its token.
    BadToken,
    /// Its user lacks the permission.
    Denied,
    /// The authentication service could not be asked. There is nothing to fall back to.
    Unknown,
}

impl Authorization {
    pub(crate) fn new(
        authentication: UpstreamClient,
        permission: &'static str,
        metrics: &Metrics,
    ) -> Self {
        Self {
            authentication,
            permission,
            granted: metrics.counter_named("authorization.authorization_success"),
            denied: metrics.counter_named("authorization.permission_denied"),
        }
    }

    pub(crate) async fn check(&self, inbound: &Inbound) -> Result<(), Refusal> {
        if inbound.token().is_none() {
            return Err(Refusal::NoToken);
        }
        let user: User = match self.authentication.call(inbound).await {
            Ok(Reply::Content(user)) => user,
            Ok(Reply::Refused(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _)) => {
                return Err(Refusal::BadToken);
            }
            Ok(Reply::Refused(..) | Reply::Fallback) | Err(_) => return Err(Refusal::Unknown),
        };
        if !user.permissions.iter().any(|it| it == self.permission) {
            self.denied.add(1);
            return Err(Refusal::Denied);
        }
        self.granted.add(1);
        Ok(())
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoToken => {
                answer::unauthorized("send a token along: `Authorization: Token 0x132`")
            }
            Refusal::BadToken => answer::unauthorized("the token was not accepted"),
            Refusal::Denied => answer::problem(
                StatusCode::FORBIDDEN,
                "the user lacks the permission to see this",
            ),
            Refusal::Unknown => answer::problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the authentication service could not be asked",
            ),
        }
    }
}
