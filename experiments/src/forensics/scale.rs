//! The scale of the client under test: every bound is taken from it.

use std::collections::{BTreeMap, BTreeSet};

use brownout_wire::RequestEnd;

use super::{
    AttemptRecord, PageRecord, Usual,
    derive::quantile,
    join::{JoinedBy, join},
    rules::Trial,
};

/// So long after a page's end a call may still be of its own: what is fetched anew behind it.
const BEHIND_US: u64 = 30_000;
/// So long before a page was sent a call is still its own, as two clocks differ.
const BEFORE_US: u64 = 2_000;

/// What is usual for the client. Times in µs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scale {
    /// How long a page may take: told by the user, else 1 s.
    pub budget: u64,
    /// The median of a page in calm.
    pub page_p50: u64,
    /// Its 95th percentile.
    pub page_p95: u64,
    /// The median of a call in calm.
    pub call_p50: u64,
    /// Its 95th percentile.
    pub call_p95: u64,
    /// Calls for each page in calm.
    pub calls_per_page: f64,
    /// Whether calls come without pages: a refresher in the background.
    pub background: bool,
    /// After how long the client ends an attempt itself; none where it never did.
    pub attempt_timeout: Option<u64>,
    /// What pages say in calm.
    pub calm: Usual,
    /// What pages say while every call fails, where they do not say that something is missing.
    pub fallback: Usual,
}

/// What was seen of one dependency in calm.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calm {
    /// The scale of all its paths together.
    pub scale: Scale,
    /// Each path that was called.
    pub paths: Vec<PathCalm>,
    /// How attempts can be joined to pages.
    pub joined_by: Option<JoinedBy>,
    /// How its calls fail, where none was well though nothing was broken.
    pub fails: Option<String>,
}

/// What was seen of one path of a dependency in calm.
#[derive(Debug, Clone, PartialEq)]
pub struct PathCalm {
    /// The path, with `*` for ids.
    pub path: String,
    /// Its scale.
    pub scale: Scale,
    /// The methods of its calls.
    pub methods: BTreeSet<String>,
    /// How long its shortest answer was, in bytes.
    pub bytes: u64,
    /// Whether all calls of a page to it asked for the same.
    pub is_one_request: bool,
}

impl Scale {
    /// The budget of a page where the user says none.
    pub const BUDGET: u64 = 1_000_000;

    /// The fewest calls for a page in calm where each page is taken to call. With fewer, some pages are answered without a call, as from a cache.
    pub const EACH_PAGE: f64 = 0.9;

    /// Whether each page calls in calm.
    #[must_use]
    pub fn each_page_calls(&self) -> bool {
        self.calls_per_page >= Self::EACH_PAGE
    }

    /// The longest that a page inside its budget takes: the budget, a tenth for the machine, and a calm page.
    #[must_use]
    pub fn page_limit(&self) -> u64 {
        self.budget + self.budget / 10 + self.page_p95
    }
}

impl Calm {
    /// Takes the scale from a calm trial, which goes on for a while without pages. None without a page that ended.
    #[must_use]
    pub fn of(budget: u64, calm: &Trial) -> Option<Self> {
        let took: Vec<u64> = calm.pages.iter().filter_map(PageRecord::duration).collect();
        let mut usual = Usual::default();
        for content in calm.pages.iter().filter_map(|it| it.content.as_ref()) {
            usual.learn(content);
        }
        let whole = Scale {
            budget,
            page_p50: quantile(&took, 0.5)?,
            page_p95: quantile(&took, 0.95)?,
            calm: usual,
            ..Scale::default()
        };
        let mut by_path: BTreeMap<&str, Vec<&AttemptRecord>> = BTreeMap::new();
        for attempt in &calm.attempts {
            by_path.entry(&attempt.path).or_default().push(attempt);
        }
        let paths = by_path.into_iter();
        let paths: Vec<PathCalm> = paths
            .map(|(path, attempts)| PathCalm::of(path, &whole, &calm.pages, &attempts))
            .collect();
        let of_pages = paths.iter().filter(|it| !it.scale.background);
        let calls: Vec<u64> = calm
            .attempts
            .iter()
            .filter(|it| !it.is_open())
            .map(AttemptRecord::duration)
            .collect();
        let scale = Scale {
            call_p50: quantile(&calls, 0.5).unwrap_or(0),
            call_p95: quantile(&calls, 0.95).unwrap_or(0),
            calls_per_page: of_pages.clone().map(|it| it.scale.calls_per_page).sum(),
            background: !paths.is_empty() && of_pages.count() == 0,
            ..whole
        };
        let joined_by = (!calm.attempts.is_empty()).then(|| join(&calm.pages, &calm.attempts).by);
        Some(Self {
            scale,
            paths,
            joined_by,
            fails: fails(&calm.attempts),
        })
    }

    /// What was seen of a path.
    #[must_use]
    pub fn path(&self, path: &str) -> Option<&PathCalm> {
        self.paths.iter().find(|it| it.path == path)
    }

    /// The paths that are called without pages, beside others that pages call; none where no page calls.
    #[must_use]
    pub fn paths_beside_pages(&self) -> BTreeSet<String> {
        let beside = self.paths.iter().filter(|it| it.scale.background);
        match self.scale.background {
            true => BTreeSet::new(),
            false => beside.map(|it| it.path.clone()).collect(),
        }
    }

    /// The paths at which all calls of one page ask for the same.
    #[must_use]
    pub fn one_request_paths(&self) -> BTreeSet<String> {
        let paths = self.paths.iter().filter(|it| it.is_one_request);
        paths.map(|it| it.path.clone()).collect()
    }
}

/// How calls fail, where all do: `2 got 404, 1 got no answer`.
fn fails(attempts: &[AttemptRecord]) -> Option<String> {
    let is_well =
        |it: &AttemptRecord| it.end == RequestEnd::Answered && it.status.is_some_and(|it| it < 400);
    let ended: Vec<&AttemptRecord> = attempts.iter().filter(|it| !it.is_open()).collect();
    if ended.is_empty() || ended.iter().any(|it| is_well(it)) {
        return None;
    }
    let mut ways: BTreeMap<String, usize> = BTreeMap::new();
    for attempt in &ended {
        let way = match (attempt.end, attempt.status) {
            (RequestEnd::Answered, Some(status)) => status.to_string(),
            _ => "no answer".to_owned(),
        };
        *ways.entry(way).or_default() += 1;
    }
    let ways: Vec<String> = ways
        .iter()
        .map(|(way, n)| format!("{n} got {way}"))
        .collect();
    Some(format!(
        "its calls fail though nothing is broken: {}; is the upstream's address right?",
        ways.join(", ")
    ))
}

impl PathCalm {
    fn of(path: &str, whole: &Scale, pages: &[PageRecord], attempts: &[&AttemptRecord]) -> Self {
        let of_page = |page: &PageRecord, attempt: &AttemptRecord| {
            let ended = page.ended.unwrap_or(u64::MAX - BEHIND_US);
            (page.sent.saturating_sub(BEFORE_US)..=ended + BEHIND_US).contains(&attempt.t_head)
        };
        let inside = attempts
            .iter()
            .filter(|attempt| pages.iter().any(|page| of_page(page, attempt)))
            .count();
        let ended = attempts.iter().filter(|it| !it.is_open());
        let calls: Vec<u64> = ended.clone().map(|it| it.duration()).collect();
        let is_one_request = pages.iter().all(|page| {
            let own = attempts.iter().filter(|attempt| of_page(page, attempt));
            own.map(|it| &it.fingerprint).collect::<BTreeSet<_>>().len() <= 1
        });
        Self {
            path: path.to_owned(),
            methods: attempts.iter().map(|it| it.method.clone()).collect(),
            bytes: ended
                .map(|it| it.bytes)
                .filter(|it| *it > 0)
                .min()
                .unwrap_or(0),
            is_one_request,
            scale: Scale {
                call_p50: quantile(&calls, 0.5).unwrap_or(0),
                call_p95: quantile(&calls, 0.95).unwrap_or(0),
                calls_per_page: inside as f64 / pages.len().max(1) as f64,
                background: inside * 2 <= attempts.len(),
                ..whole.clone()
            },
        }
    }
}
