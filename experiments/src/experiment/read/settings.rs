//! Sections without phases: guard, verdict, reports.

use std::time::Duration;

use brownout_fault::{
    read::{Object, Problem, text, unknown, whole},
    units::duration_up_to,
};

use super::{DURATION_MAX, Reader};
use crate::experiment::{
    Experiment, Guard, ReportFiles, VerdictRule,
    fields::{confidence, path},
};

impl Reader<'_> {
    pub(super) fn guard(&mut self, file: &Object<'_>) -> Guard {
        let mut guard = Guard {
            halt_if: Vec::new(),
            min_samples: 50,
            lease: Duration::from_secs(15),
        };
        let Some((at, table)) = self.table(file, "guard") else {
            return guard;
        };
        let Ok(object) = Object::new(&table) else {
            return guard;
        };
        self.only(&at, &object, &["halt_if", "min_samples", "lease"]);
        guard.halt_if = self.expected(&at, &object, "halt_if");
        let samples = object.optional("min_samples", whole(1, Experiment::PAGES_MAX));
        guard.min_samples = self.keep(&at, samples).unwrap_or(guard.min_samples);
        let lease = object.optional("lease", duration_up_to(DURATION_MAX));
        guard.lease = self.keep(&at, lease).unwrap_or(guard.lease);
        guard
    }

    pub(super) fn verdict(&mut self, file: &Object<'_>) -> VerdictRule {
        let read = file.optional("verdict", |value| {
            let verdict = Object::new(value)?;
            verdict.only(&["repeat", "confidence", "inconclusive", "min_samples"])?;
            let words = ["fail", "skip"];
            let inconclusive = verdict.optional("inconclusive", |value| {
                let word = text(value)?;
                let is_known = words.contains(&word);
                is_known
                    .then_some(word == "fail")
                    .ok_or_else(|| Problem::here(unknown("word", word, &words)))
            })?;
            let repeat = verdict.optional("repeat", whole(1, VerdictRule::REPEAT_MAX.into()))?;
            Ok(VerdictRule {
                repeat: repeat.map_or(1, |it| u32::try_from(it).unwrap_or(VerdictRule::REPEAT_MAX)),
                min_samples: verdict
                    .optional("min_samples", whole(0, Experiment::PAGES_MAX))?
                    .unwrap_or(VerdictRule::MIN_SAMPLES),
                confidence: verdict.optional("confidence", confidence)?.unwrap_or(0.95),
                inconclusive_fails: inconclusive.unwrap_or(true),
            })
        });
        self.keep("", read).unwrap_or_default()
    }

    pub(super) fn report(&mut self, file: &Object<'_>) -> ReportFiles {
        let read = file.optional("report", |value| {
            let report = Object::new(value)?;
            report.only(&["junit", "json", "html", "markdown", "github", "traces"])?;
            let github = report.optional("github", |value| {
                brownout_fault::read::one_of("word", &["auto", "off"])(value).map(|it| it == "auto")
            })?;
            Ok(ReportFiles {
                junit: report.optional("junit", path)?,
                json: report.optional("json", path)?,
                html: report.optional("html", path)?,
                markdown: report.optional("markdown", path)?,
                github: github.unwrap_or(true),
                traces: report.optional("traces", |value| match text(value)? {
                    url if url.starts_with("http") && url.contains("{trace_id}") => {
                        Ok(url.to_owned())
                    }
                    _ => Err(Problem::here("is not a URL with {trace_id} in it")),
                })?,
            })
        });
        let github = true;
        let usual = ReportFiles {
            github,
            ..ReportFiles::default()
        };
        self.keep("", read).unwrap_or(usual)
    }
}
