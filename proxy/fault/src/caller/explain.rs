//! What the faults that a request asks for would do to it, and which of its words count for nothing.

use std::ops::ControlFlow;

use super::{
    CALLER_FIELDS,
    asked::{self, Asked},
};
use crate::{
    fields::Fields,
    phase::Phase,
    plan::{Explained, Verdict},
    probability::Percent,
    read::shorten,
};

/// Whether callers are given what they ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallersAllowed {
    /// They are, at most so many of those that ask.
    Yes(Percent),
    /// The route does not allow it.
    NotOnRoute,
    /// The route allows it to requests from other addresses.
    NotFromThere,
    /// Somebody has halted, and nothing may be armed yet.
    Halted,
}

/// What callers' faults would do to a request with these fields, and what of the fields is ignored.
pub(crate) fn explain_callers(fields: &dyn Fields, allowed: CallersAllowed) -> Vec<Explained> {
    let reading = asked::read(fields);
    let asked = reading.asked.iter();
    let mut explained: Vec<Explained> = asked.map(|asked| explain(asked, allowed)).collect();
    if reading.was_ignored {
        explained.push(Explained {
            id: "caller:ignored".to_owned(),
            kind: "none",
            phase: Phase::Request,
            verdict: Verdict::Passes,
            share: Some(0.0),
            why: format!(
                "something that the request asks for cannot be understood, may not be asked for or is asked for twice, and is \
                 ignored: {}",
                written(fields).join(", ")
            ),
        });
    }
    explained
}

fn explain(Asked { fault, percent }: &Asked, allowed: CallersAllowed) -> Explained {
    let most = match allowed {
        CallersAllowed::Yes(most) => most,
        CallersAllowed::NotOnRoute | CallersAllowed::NotFromThere | CallersAllowed::Halted => {
            Percent::ALL
        }
    };
    let given = percent.at_most(most);
    let is_cut = given != *percent;
    let share = given.share();
    let (verdict, share, why) = match (allowed, share) {
        (CallersAllowed::NotOnRoute, _) => (
            Verdict::Passes,
            0.0,
            "the request asks for it, and the route does not allow that (`caller_faults`)",
        ),
        (CallersAllowed::NotFromThere, _) => (
            Verdict::Passes,
            0.0,
            "the request asks for it, and the route allows that to others (`caller_faults`)",
        ),
        (CallersAllowed::Halted, _) => (
            Verdict::Passes,
            0.0,
            "the request asks for it, and everything was halted: nothing may be asked for yet",
        ),
        (CallersAllowed::Yes(_), 0.0) if is_cut => (
            Verdict::Passes,
            share,
            "the request asks for it, and the route gives it to 0 percent of those that ask (`caller_faults`)",
        ),
        (CallersAllowed::Yes(_), 0.0) => (
            Verdict::Passes,
            share,
            "the request asks for 0 percent of it",
        ),
        (CallersAllowed::Yes(_), 1.0) => (Verdict::Acts, share, "the request asks for it"),
        (CallersAllowed::Yes(_), _) if is_cut => (
            Verdict::ByChance,
            share,
            "the request asks for it, and the route gives it to some of those that ask, by chance (`caller_faults`)",
        ),
        (CallersAllowed::Yes(_), _) => (
            Verdict::ByChance,
            share,
            "the request asks for it, by chance",
        ),
    };
    Explained {
        id: format!("caller:{}", fault.name()),
        kind: fault.name(),
        phase: fault.phase(),
        verdict,
        share: Some(share),
        why: why.to_owned(),
    }
}

/// The fields by which the request asks, as they were sent.
fn written(fields: &dyn Fields) -> Vec<String> {
    let mut written = Vec::new();
    fields.walk(&mut |name, value| {
        let known = CALLER_FIELDS.iter();
        if let Some(name) = (known.copied()).find(|it| it.as_bytes().eq_ignore_ascii_case(name)) {
            let value = String::from_utf8_lossy(value);
            written.push(format!("`{name}: {}`", shorten(&value)));
        }
        ControlFlow::Continue(())
    });
    written
}
