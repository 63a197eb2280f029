//! Recommendations: what a user might like, for those who may see it.

use crate::{
    answer::{self, Answer},
    authorization::Authorization,
    inbound::Inbound,
};

const RECOMMENDATIONS: [u32; 10] = [12, 23, 100, 122, 220, 333, 340, 400, 555, 654];

#[derive(Debug)]
pub(crate) struct Recommendations {
    pub(crate) authorization: Authorization,
}

impl Recommendations {
    pub(crate) async fn answer(&self, inbound: &Inbound) -> Answer {
        match self.authorization.check(inbound).await {
            Ok(()) => answer::json(&RECOMMENDATIONS),
            Err(refusal) => refusal.into(),
        }
    }
}
