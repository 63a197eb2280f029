//! `/explain`: which faults look at a request, and why each acts or lets it pass.

use axum::extract::State;
use brownout_fault::{Explained, Verdict};
use brownout_wire::{ExplainAnswer, ExplainSpec, ExplainVerdict, ExplainedFault};

use crate::{
    answer::Json,
    bounds,
    control::Shared,
    extract::{Body, Query},
    off_thread::off_thread,
    ops::OpError,
    problem::ApiError,
    requests::{journal_of, record},
};

/// `POST /explain`: of a request that may come, or of one that a route carried. Changes and counts nothing.
pub(crate) async fn explain(
    State(control): State<Shared>,
    query: Query,
    body: Body,
) -> Result<Json<ExplainAnswer>, ApiError> {
    let [] = query.only(&[])?;
    off_thread(&control, move |ops| {
        let value = body.json()?;
        bounds::check(&value).map_err(OpError::Invalid)?;
        match ExplainSpec::read(&value).map_err(OpError::Invalid)? {
            ExplainSpec::Imagined(request) => {
                let explained = ops.explain(&request)?;
                Ok(Json(ExplainAnswer {
                    route: request.route,
                    method: request.method,
                    path: request.path,
                    record: None,
                    faults: explained.into_iter().map(answer).collect(),
                }))
            }
            ExplainSpec::Recorded(number) => {
                let journal = journal_of(ops, None)?;
                let explained = ops.explain_record(journal, number);
                let (attempt, faults) = explained.ok_or_else(|| {
                    ApiError::NoPath(format!("there is no record of a request {number}"))
                })?;
                let faults = faults.into_iter().map(|one| {
                    let base = one.explained.map(answer);
                    ExplainedFault {
                        id: one.id,
                        kind: one.kind,
                        acted: one.acted,
                        why: one.why,
                        phase: base.as_ref().and_then(|base| base.phase.clone()),
                        percent: base.as_ref().and_then(|base| base.percent),
                        verdict: base.map_or(ExplainVerdict::Passes, |base| base.verdict),
                    }
                });
                Ok(Json(ExplainAnswer {
                    route: attempt.route.clone(),
                    method: attempt.method.clone(),
                    path: attempt.path.clone(),
                    faults: faults.collect(),
                    record: Some(record(attempt, journal.now())),
                }))
            }
        }
    })
    .await
}

fn answer(explained: Explained) -> ExplainedFault {
    ExplainedFault {
        id: explained.id,
        kind: explained.kind.to_owned(),
        phase: Some(explained.phase.name().to_owned()),
        verdict: match explained.verdict {
            Verdict::Acts => ExplainVerdict::Acts,
            Verdict::ByChance => ExplainVerdict::ByChance,
            Verdict::Passes => ExplainVerdict::Passes,
            Verdict::Unknown => ExplainVerdict::Unknown,
        },
        percent: (explained.share).map(|share| (share * 1_000_000.0).round() / 10_000.0),
        acted: None,
        why: explained.why,
    }
}
