//! Authentication: who a token belongs to, and what that user may do. Every token is valid.

use std::hash::Hasher;

use brownout_telemetry::{Counter, Metrics};
use serde::Serialize;
use siphasher::sip128::{Hasher128, SipHasher24};
use uuid::Uuid;

use crate::{
    answer::{self, Answer},
    authorization::{CAN_VIEW_HOMEPAGE, CAN_VIEW_RECOMMENDATIONS},
    inbound::Inbound,
};

#[derive(Debug, Serialize)]
struct User {
    uuid: String,
    permissions: [&'static str; 2],
}

#[derive(Debug)]
pub(crate) struct Authentication {
    seed: u64,
    missing_token: Counter,
}

impl Authentication {
    pub(crate) fn new(seed: u64, metrics: &Metrics) -> Self {
        Self {
            seed,
            missing_token: metrics.counter_named("authentication.missing_auth_token"),
        }
    }

    pub(crate) fn answer(&self, inbound: &Inbound) -> Answer {
        let Some(token) = inbound.token() else {
            self.missing_token.add(1);
            return answer::unauthorized("send a token along: `Authorization: Token 0x132`");
        };
        answer::json(&User {
            uuid: self.owner(token.as_bytes()).to_string(),
            permissions: [CAN_VIEW_RECOMMENDATIONS, CAN_VIEW_HOMEPAGE],
        })
    }

    /// The user a token belongs to: the same for as long as the seed is the same.
    fn owner(&self, token: &[u8]) -> Uuid {
        let mut hasher = SipHasher24::new_with_keys(self.seed, 0);
        hasher.write(token);
        uuid::Builder::from_random_bytes(hasher.finish128().as_bytes()).into_uuid()
    }
}
