//! S26: the second source, which is asked only where the first one fails, hangs.

use std::time::Duration;

use serde_json::json;

use super::{AuditError, caller::Patience, lab::Lab};
use crate::forensics::{
    Calm, Finding, FindingId as Id, Verdict,
    rules::{Battery, findings, not_called},
};

/// What is said of a second source: whether its calls end in time. The rest does not apply, as pages do not call it in calm.
pub(super) async fn audit(
    lab: &mut Lab<'_>,
    primary: &str,
    second: &str,
    calm: &Calm,
) -> Result<Vec<Finding>, AuditError> {
    const TOLD: [Id; 3] = [Id::NoTimeout, Id::TimeoutOverBudget, Id::NoTotalTimeout];
    let untold = not_called(second, "it is called only where another fails");
    if !TOLD.iter().any(|it| lab.options.wants(*it)) {
        return Ok(untold);
    }
    lab.turn_to(second);
    let mut probe = lab.begin("no answer").await?;
    let fails = json!({ "abort": 503 });
    lab.arm_on(&mut probe, primary, &[fails]).await?;
    lab.arm(&mut probe, &[json!({ "blackhole": {} })]).await?;
    let patience = Patience::of(lab.patience());
    lab.one_page(&mut probe, patience).await;
    lab.settle(Duration::from_millis(150), Duration::from_millis(500))
        .await?;
    let trial = lab.finish(probe).await?;
    if trial.attempts.is_empty() {
        return Ok(not_called(
            second,
            "it is not called where the first source fails either",
        ));
    }
    let battery = Battery {
        hang: vec![trial],
        ..Battery::default()
    };
    let told = findings(second, &calm.scale, &battery);
    let found = told.into_iter().zip(untold).map(|(told, untold)| {
        match TOLD.contains(&told.id) && told.verdict != Verdict::Undetermined {
            true => told,
            false => untold,
        }
    });
    Ok(found.collect())
}
