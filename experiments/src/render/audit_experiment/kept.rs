//! What is kept of one dependency: phases, each with a fault of the audit and what held under it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{PAGES, budget};
use crate::{
    audit::{AuditReport, CalmRecord, ExperimentRecord},
    forensics::{Finding, FindingId as Id, Scale, Verdict, join::JoinedBy},
};

/// A phase of the experiment.
pub(super) struct KeptPhase {
    pub(super) name: String,
    pub(super) route: String,
    /// As in the audit.
    pub(super) faults: Vec<Value>,
    /// Where it has another number of pages than the load says.
    pub(super) pages: Option<u64>,
    /// How long each of these takes at most.
    pub(super) page: Duration,
    pub(super) expect: Vec<String>,
    /// So many seconds after the fault calls come as in calm; none where that is not expected.
    pub(super) back_within: Option<u64>,
    /// The checks whose protection it would miss.
    pub(super) shows: Vec<Id>,
}

/// A dependency, and what an audit says of it.
pub(super) struct Kept<'r> {
    pub(super) report: &'r AuditReport,
    pub(super) calm: &'r CalmRecord,
}

/// A phase to be, and the experiments that it is made from.
struct Draft<'r> {
    phase: KeptPhase,
    /// With one page at a time, as in the phase.
    alike: Vec<&'r ExperimentRecord>,
    /// Those and the same fault under load.
    all: Vec<&'r ExperimentRecord>,
}

impl Kept<'_> {
    /// Gentle faults first, outages last, as pages may do without calls after one.
    pub(super) fn phases(&self) -> Vec<KeptPhase> {
        let drafts = [
            self.slow(),
            self.one_fails("one-reset", "S3", ""),
            self.one_fails("one-503", "S2", "a 503"),
            self.answers_404(),
            self.damaged("broken-json", "S24", "broken JSON", Id::AcceptsCorrupt),
            self.damaged(
                "wrong-shape",
                "S24",
                "a text instead of an object",
                Id::AcceptsCorrupt,
            ),
            self.damaged(
                "cut-short",
                "S23",
                "content-length, closed",
                Id::AcceptsTruncated,
            ),
            self.damaged(
                "cut-short-in-chunks",
                "S23",
                "chunked, closed",
                Id::AcceptsTruncated,
            ),
            self.takes_long("dribbles", "S6", None, &[Id::PerReadTimeout]),
            self.takes_long("stops-in-its-body", "S7", None, &[Id::HeadOnlyTimeout]),
            self.takes_long(
                "does-not-answer",
                "S4",
                Some("S19"),
                &[Id::NoTimeout, Id::TimeoutOverBudget, Id::NoTotalTimeout],
            ),
            self.resets(),
            self.answers_503(),
            self.retry_after(),
        ];
        let phases = drafts.into_iter().flatten().map(|it| it.phase);
        phases.filter(|it| !it.expect.is_empty()).collect()
    }

    /// Whether outages were tried, and so a breaker would have been seen.
    pub(super) fn knows_outages(&self) -> bool {
        !self.tried("S15", "").is_empty()
    }

    /// S1: no more calls where they are slow but fine.
    fn slow(&self) -> Vec<Draft<'_>> {
        let mut drafts = self.drafts("is-slow", "S1", "", None);
        for draft in &mut drafts {
            draft.phase.back_within = None;
            self.expect_calls(draft, &[Id::PermanentHedge]);
        }
        drafts
    }

    /// S2 and S3: every third page meets one failure.
    fn one_fails(&self, what: &str, id: &str, form: &str) -> Vec<Draft<'_>> {
        let mut drafts = self.drafts(what, id, form, None);
        for draft in &mut drafts {
            draft.phase.back_within = None;
            for fault in &mut draft.phase.faults {
                fault.as_object_mut().map(|it| it.remove("limit"));
                fault["pages"] = json!({ "every": 3, "attempts": 1 });
            }
            if id == "S3" && self.is_ok(Id::ResetSurfaced) {
                let pages_are_whole = draft.all.iter().all(|it| it.seen.degraded == 0);
                if let (true, Some(told)) = (pages_are_whole, self.fallback()) {
                    draft.phase.expect.push(format!("{told} <= 5%"));
                }
                draft.shows_if_expects(Id::ResetSurfaced);
            }
            let wait = self.number(Id::ImmediateRetries, "median_us");
            if let (Some(wait), "S2", JoinedBy::Id) = (wait, id, self.report.joined_by) {
                let (route, least) = (&self.calm.route, (wait / 2_000.0).floor());
                let told = format!("{route}.retry_gap.p50 >= {least}ms");
                draft.phase.expect.push(told);
                draft.phase.shows.push(Id::ImmediateRetries);
            }
        }
        drafts
    }

    fn answers_404(&self) -> Vec<Draft<'_>> {
        let mut drafts = self.drafts("answers-404", "S8", "404", Some("S21"));
        for draft in &mut drafts {
            draft.lasts(self.pages_until_open());
            self.expect_calls(draft, &[Id::Retries4xx]);
            if self.is_ok(Id::BreakerOpensOn4xx) && draft.alike.len() < draft.all.len() {
                let route = &self.calm.route;
                let told = format!("{route}.calls_per_page >= 0.7x baseline");
                draft.phase.expect.push(told);
                draft.phase.shows.push(Id::BreakerOpensOn4xx);
            }
        }
        drafts
    }

    /// S23 and S24: no page is whole without its answer.
    fn damaged(&self, what: &str, id: &str, form: &str, shows: Id) -> Vec<Draft<'_>> {
        let mut drafts = self.drafts(what, id, form, None);
        for draft in &mut drafts {
            let is_degraded = |it: &&ExperimentRecord| it.seen.degraded == it.pages;
            if let (true, true, Some(told)) = (
                self.is_ok(shows),
                draft.all.iter().all(is_degraded),
                self.fallback(),
            ) {
                draft.phase.expect.push(format!("{told} >= 80%"));
                draft.phase.shows.push(shows);
            }
        }
        drafts
    }

    /// S4, S6, S7: pages are answered in time though an answer is not.
    fn takes_long(&self, what: &str, id: &str, load: Option<&str>, shows: &[Id]) -> Vec<Draft<'_>> {
        let mut drafts = self.drafts(what, id, "", load);
        for draft in &mut drafts {
            if self.expect_in_time(draft, shows) && load.is_some() {
                self.also_shows(draft, &[Id::ConnectTimeoutOnly, Id::SlowFallback]);
            }
            if load.is_some() {
                self.expect_back(draft, &[Id::PinnedConnection, Id::PoolLeak]);
            }
        }
        drafts
    }

    fn resets(&self) -> Vec<Draft<'_>> {
        let mut drafts = self.drafts("is-reset", "S16", "", None);
        for draft in &mut drafts {
            self.expect_back(draft, &[]);
        }
        drafts
    }

    fn answers_503(&self) -> Vec<Draft<'_>> {
        let mut drafts = self.drafts("answers-503", "S11", "", Some("S15"));
        for draft in &mut drafts {
            match self.pages_until_open() {
                Some(pages) => {
                    let route = &self.calm.route;
                    let told = format!("{route}.calls_per_page <= 0.6x baseline");
                    draft.lasts(Some(pages));
                    draft.phase.expect.push(told);
                    draft
                        .phase
                        .shows
                        .extend([Id::NoEffectiveBreaker, Id::BreakerIgnores5xx]);
                }
                None => self.expect_one_layer(draft),
            }
            self.expect_back(draft, &[Id::BreakerNeverCloses, Id::StickyFallback]);
        }
        drafts
    }

    /// No more attempts than were seen, unless so many are a defect.
    fn expect_one_layer(&self, draft: &mut Draft<'_>) {
        let is_defect = self.is_any_defect(&[Id::NoRetryBudget, Id::UncappedBackoff]);
        if !is_defect && self.expect_calls(draft, &[Id::NestedRetries]) {
            self.also_shows(draft, &[Id::FallbackSameDependency]);
        }
    }

    /// S9: fewer attempts than where nobody asks to wait. A client without retries has nothing to show.
    fn retry_after(&self) -> Vec<Draft<'_>> {
        let mut drafts = self.drafts("says-retry-after", "S9", "503", None);
        let usual = calls(&self.tried("S11", ""));
        drafts.retain(|it| calls(&it.alike) * 1.2 < usual);
        for draft in &mut drafts {
            self.expect_calls(draft, &[Id::IgnoresRetryAfter]);
            self.expect_in_time(draft, &[Id::WaitsOutRetryAfter]);
        }
        drafts
    }

    /// A phase for each way in which an experiment struck: all paths, or each path alone. Every page is expected to be a success
    /// where all were, also of the same fault under load.
    fn drafts(&self, what: &str, id: &str, form: &str, load: Option<&str>) -> Vec<Draft<'_>> {
        let under_load = load.map_or_else(Vec::new, |it| self.tried(it, ""));
        let tried = match self.tried(id, form) {
            // A dependency that is called without pages.
            none if none.is_empty() => under_load.clone(),
            some => some,
        };
        // Where all paths were struck together as well, that is enough.
        let has_all = tried.iter().any(|it| it.faults.len() > 1);
        let mut ways: Vec<&Vec<Value>> = Vec::new();
        for record in &tried {
            let is_whole = !has_all || record.faults.len() > 1;
            if is_whole && !ways.contains(&&record.faults) {
                ways.push(&record.faults);
            }
        }
        let several = ways.len() > 1;
        let draft = |(nth, faults): (usize, &Vec<Value>)| {
            let alike = tried.iter().filter(|it| it.faults == *faults);
            let alike: Vec<&ExperimentRecord> = alike.copied().collect();
            let all = [alike.clone(), under_load.clone()].concat();
            let seen = all.iter().map(|it| &it.seen);
            let is_good = seen.clone().all(|it| it.failed + it.left + it.late == 0);
            let name = match several {
                true => format!("{}-{what}-{nth}", self.calm.route),
                false => format!("{}-{what}", self.calm.route),
            };
            let expect = match is_good {
                true => vec!["load.success_rate == 100%".to_owned()],
                false => Vec::new(),
            };
            let phase = KeptPhase {
                name,
                route: self.calm.route.clone(),
                faults: faults.clone(),
                pages: self.pages_to_strike(),
                page: Duration::from_secs_f64(self.calm.page_p50_ms / 1_000.0),
                expect,
                back_within: self.back_within().filter(|_| self.calls_stop()),
                shows: Vec::new(),
            };
            Draft { phase, alike, all }
        };
        (1..).zip(ways).map(draft).collect()
    }

    /// The experiments of this dependency that struck, on a machine that was not too busy.
    fn tried(&self, id: &str, form: &str) -> Vec<&ExperimentRecord> {
        let own = self.report.experiments.iter();
        let own = own.filter(|it| it.route == self.calm.route && it.id == id);
        own.filter(|it| form.is_empty() || it.form == form)
            .filter(|it| !it.busy && it.struck > Some(0) && !it.faults.is_empty())
            .collect()
    }

    /// No more calls than were seen, and a tenth for those of pages that begin in the phase and end behind it. Whether that is
    /// expected, as all of the checks held.
    fn expect_calls(&self, draft: &mut Draft<'_>, shows: &[Id]) -> bool {
        let seen = calls(&draft.all).max(self.calm.calls_per_page.values().sum());
        let is_expected = shows.iter().all(|it| self.is_ok(*it));
        if is_expected {
            let most = (seen * 11.0 - 1e-6).ceil() / 10.0;
            let told = format!("{}.calls_per_page <= {most:.1}", self.calm.route);
            draft.phase.expect.push(told);
            draft.phase.shows.extend(shows);
        }
        is_expected
    }

    /// Half as long again as was seen, for a busy machine 100 ms longer at least, and at most as long as a page may take. Whether
    /// that is expected, as all of the checks held.
    fn expect_in_time(&self, draft: &mut Draft<'_>, shows: &[Id]) -> bool {
        const SPARE_MS: f64 = 100.0;
        let limit = budget(self.report).as_secs_f64() * 1_000.0;
        let seen = draft.all.iter().map(|it| it.seen.page_max_ms);
        let seen = seen.fold(0.0, f64::max);
        let is_expected = shows.iter().all(|it| self.is_ok(*it)) && seen <= limit;
        if is_expected {
            let most = (seen * 1.5).max(seen + SPARE_MS).min(limit).ceil();
            let told = format!("load.answered within {most}ms");
            draft.phase.expect.push(told);
            draft.phase.shows.extend(shows);
        }
        is_expected
    }

    /// What the same expectations tell of, where it held.
    fn also_shows(&self, draft: &mut Draft<'_>, ids: &[Id]) {
        let held = ids.iter().filter(|it| self.is_ok(**it));
        draft.phase.shows.extend(held);
    }

    fn expect_back(&self, draft: &mut Draft<'_>, shows: &[Id]) {
        draft.phase.back_within = self.back_within();
        if draft.phase.back_within.is_some() {
            self.also_shows(draft, shows);
        }
    }

    /// So many seconds after an outage calls come as in calm.
    fn back_within(&self) -> Option<u64> {
        let after = |of: &str| self.number(Id::BreakerNeverCloses, of);
        let (first, second) = (after("back_after_503s_us")?, after("back_after_resets_us")?);
        // It may have been seen near the end of the time for which a breaker stays open.
        let most = Duration::from_secs_f64(first.max(second) / 1e6 * 2.5);
        Some((most.as_secs() + 1).max(5))
    }

    /// Whether a breaker stops calls in an outage of either kind.
    fn calls_stop(&self) -> bool {
        ["late_in_503s", "late_in_resets"]
            .iter()
            .any(|it| self.stops(it))
    }

    fn stops(&self, outage: &str) -> bool {
        let late = self.number(Id::NoEffectiveBreaker, outage);
        let usual = self.number(Id::NoEffectiveBreaker, "calls_per_page");
        late.zip(usual)
            .is_some_and(|(late, usual)| late <= usual * 0.25)
    }

    /// Four times as many pages as a breaker took to open in an outage of 503s; none where it did not, or took very long.
    fn pages_until_open(&self) -> Option<u64> {
        const MOST: u64 = 400;
        if !self.stops("late_in_503s") {
            return None;
        }
        let record = *self.tried("S15", "").first()?;
        let seen = record.seen.over_time.as_ref()?;
        let calls: usize = seen
            .steps
            .iter()
            .enumerate()
            .filter_map(|(nth, step)| {
                let at = nth as u64 * seen.step_ms;
                let is_struck = seen.armed_ms? <= at && seen.removed_ms.is_none_or(|it| at < it);
                is_struck.then_some(step.calls)
            })
            .sum();
        let pages = calls as f64 / self.calm.calls_per_page.values().sum::<f64>().max(0.1) * 4.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count; what is too large is more than the most"
        )]
        let pages = pages as u64;
        (pages <= MOST).then(|| pages.max(PAGES))
    }

    /// More pages where only some of them call.
    fn pages_to_strike(&self) -> Option<u64> {
        let calls: f64 = self.calm.calls_per_page.values().sum();
        (self.calm.background || calls < Scale::EACH_PAGE).then_some(PAGES * 10)
    }

    /// The share of pages that say that something is missing, where one sign tells.
    fn fallback(&self) -> Option<String> {
        match &self.report.degraded_if[..] {
            [sign] => Some(format!("load.fallback_rate({sign})")),
            _ => None,
        }
    }

    fn found(&self, id: Id) -> Option<&Finding> {
        let mut own = self.report.findings.iter();
        own.find(|it| it.route == self.calm.route && it.id == id)
    }

    fn is_ok(&self, id: Id) -> bool {
        self.found(id).is_some_and(|it| it.verdict == Verdict::Ok)
    }

    fn is_any_defect(&self, ids: &[Id]) -> bool {
        let is_defect = |it: &Finding| it.verdict == Verdict::Defect;
        ids.iter().any(|it| self.found(*it).is_some_and(is_defect))
    }

    /// A number from the evidence of what held.
    fn number(&self, id: Id, key: &str) -> Option<f64> {
        let found = self.found(id).filter(|it| it.verdict == Verdict::Ok)?;
        found.evidence.get(key)?.as_f64()
    }
}

impl Draft<'_> {
    /// As long as so many pages take while calls go on.
    fn lasts(&mut self, pages: Option<u64>) {
        let Some(pages) = pages else { return };
        let page = self.alike.iter().map(|it| it.seen.page_max_ms);
        self.phase.page = Duration::from_secs_f64(page.fold(0.0, f64::max) / 1_000.0);
        self.phase.pages = Some(pages);
    }

    fn shows_if_expects(&mut self, id: Id) {
        if !self.phase.expect.is_empty() {
            self.phase.shows.push(id);
        }
    }
}

/// The most calls of a page: of all pages of an experiment, and of the one page with the most.
fn calls(records: &[&ExperimentRecord]) -> f64 {
    let each = records.iter().map(|it| {
        let mean = it.attempts as f64 / it.pages.max(1) as f64;
        let exemplar = it.seen.exemplar.as_ref();
        let most = exemplar.map_or(0, |it| it.attempts.len() + it.more);
        mean.max(most as f64)
    });
    each.fold(0.0, f64::max)
}
