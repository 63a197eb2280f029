//! Changes of an answer on its way: status, fields and content.

use brownout_fault::{BodyChange, Change};
use bytes::Bytes;

use super::{Exchange, respond::Answer};
use crate::http1::{BodyError, BodyLength};

/// What an answer's content is made of.
#[derive(Debug)]
pub(super) enum Content {
    /// The upstream's, as it comes.
    Upstream,
    /// Other content in its place.
    Own(Bytes),
    /// What was read of the upstream's, and what is behind it.
    Gathered { content: Bytes, rest: Rest },
}

/// What is behind content that was read.
#[derive(Debug)]
pub(super) enum Rest {
    Nothing,
    /// The rest, as it comes.
    Follows,
    /// It broke off there.
    Broken(BodyError),
}

impl Content {
    /// How long it is, if that is known; `upstream` is how the upstream's is.
    pub(super) fn length(&self, upstream: BodyLength) -> Option<u64> {
        let said = match upstream {
            BodyLength::Empty => Some(0),
            BodyLength::Sized(bytes) => Some(bytes),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        };
        match self {
            Self::Upstream | Self::Gathered { .. } => said,
            Self::Own(content) => Some(content.len() as u64),
        }
    }
}

impl Exchange<'_, '_> {
    /// Changes the answer. Tells whether anything of it is another than before.
    pub(super) async fn change(
        &self,
        change: &Change,
        answer: &mut Answer<'_>,
        content: &mut Content,
    ) -> bool {
        let status = change.status.map_or(answer.head.status, |it| it.as_u16());
        // RFC 9110 §15.3.5, §15.3.6, §15.4.5: it has no content.
        let is_bare = has_no_content(status);
        let mut has_changed = match &change.body {
            Some(body) if !self.asked.is_head && !is_bare => {
                self.change_content(body, answer, content).await
            }
            Some(_) | None => false,
        };
        if status != answer.head.status {
            has_changed = true;
            answer.head.set_status(status, reason(status));
            self.record.borrow_mut().changed_by_fault(status);
            if is_bare {
                // Nor does it tell a length of its own.
                *content = Content::Own(Bytes::new());
                self.forget_content(answer);
            }
        }
        if !change.edits.is_empty() {
            let before = answer.head.fields.clone();
            change.apply_to(&mut answer.head.fields);
            has_changed |= !before.iter().eq(answer.head.fields.iter());
        }
        has_changed
    }

    /// Changes the content, or leaves it as it is. Tells whether it did.
    async fn change_content(
        &self,
        change: &BodyChange,
        answer: &mut Answer<'_>,
        content: &mut Content,
    ) -> bool {
        if !change.needs_json() {
            let Some(changed) = change.apply(&[]) else {
                return false;
            };
            self.forget_content(answer);
            *content = Content::Own(changed);
            return true;
        }
        let max = Change::PATCHED_BYTES_MAX;
        let is_long = content
            .length(answer.length)
            .is_some_and(|bytes| bytes > max as u64);
        if is_long || !BodyChange::may_be_json(&answer.head.fields) {
            return false;
        }
        let gathered = match std::mem::replace(content, Content::Upstream) {
            Content::Upstream => answer.gather(self, max).await,
            gathered @ (Content::Own(_) | Content::Gathered { .. }) => gathered,
        };
        let whole = match gathered {
            Content::Own(whole)
            | Content::Gathered {
                content: whole,
                rest: Rest::Nothing,
            } => whole,
            partly @ (Content::Upstream | Content::Gathered { .. }) => {
                *content = partly;
                return false;
            }
        };
        match change.apply(&whole) {
            Some(changed) => {
                self.forget_content(answer);
                *content = Content::Own(changed);
                true
            }
            None => {
                *content = Content::Gathered {
                    content: whole,
                    rest: Rest::Nothing,
                };
                false
            }
        }
    }

    /// Removes what the head says about the upstream's own content.
    #[expect(clippy::unused_self, reason = "it reads as one of the steps")]
    fn forget_content(&self, answer: &mut Answer<'_>) {
        for name in ["content-length", "content-encoding", "trailer"] {
            answer.head.fields.remove(name);
        }
    }
}

/// Whether an answer with this status has no content (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
fn has_no_content(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
}

/// The reason phrase of a status that a fault chose: empty for one without a name.
pub(super) fn reason(status: u16) -> &'static [u8] {
    let known = http::StatusCode::from_u16(status).ok();
    let reason = known.and_then(|status| status.canonical_reason());
    reason.unwrap_or("").as_bytes()
}
