//! Homepage: two lists, for those who may see it. It does without either when it must.

use http::{HeaderName, HeaderValue};
use serde::Serialize;

use crate::{
    answer::{self, Answer},
    authorization::Authorization,
    inbound::Inbound,
    upstream::{Reply, UpstreamClient},
};

/// Names the lists that are empty because nobody could be asked.
const DEGRADED: HeaderName = HeaderName::from_static("x-degraded");

#[derive(Debug)]
pub(crate) struct Homepage {
    pub(crate) authorization: Authorization,
    pub(crate) recommendations: UpstreamClient,
    pub(crate) popular_items: UpstreamClient,
}

#[derive(Debug, Serialize)]
struct Page {
    recommendations: Vec<u32>,
    popular_items: Vec<u32>,
}

impl Homepage {
    /// One call after the other, as in the original.
    pub(crate) async fn answer(&self, inbound: &Inbound) -> Answer {
        if let Err(refusal) = self.authorization.check(inbound).await {
            return refusal.into();
        }
        let recommendations = list(&self.recommendations, inbound).await;
        let popular_items = list(&self.popular_items, inbound).await;

        let degraded = match (&recommendations, &popular_items) {
            (Some(_), Some(_)) => None,
            (None, Some(_)) => Some("recommendations"),
            (Some(_), None) => Some("popular_items"),
            (None, None) => Some("recommendations, popular_items"),
        };
        let mut answer = answer::json(&Page {
            recommendations: recommendations.unwrap_or_default(),
            popular_items: popular_items.unwrap_or_default(),
        });
        if let Some(lists) = degraded {
            let lists = HeaderValue::from_static(lists);
            answer.headers_mut().insert(DEGRADED, lists);
        }
        answer
    }
}

/// An upstream's list; none if the page has to do without, whether or not the policy has a fallback.
async fn list(upstream: &UpstreamClient, inbound: &Inbound) -> Option<Vec<u32>> {
    match upstream.call_or_fall_back(inbound).await {
        Ok(Reply::Content(list)) => Some(list),
        Ok(Reply::Refused(..) | Reply::Fallback) | Err(_) => None,
    }
}
