//! Each rule, on records written by hand: healthy and defective clients with different time-outs and budgets.

mod answers;
mod follows;
mod hangs;
mod load;
mod pools;
mod probes;
mod serial;

use super::*;
use brownout_wire::RequestEnd;

use crate::forensics::{
    Content, Usual, Verdict,
    finding::FindingId as Id,
    record::{AttemptRecord, PageRecord, tests::attempt},
};

const MS: u64 = 1_000;

/// What a client is like, in ms.
#[derive(Debug, Clone, Copy)]
struct Client {
    budget: u64,
    /// Of an attempt.
    timeout: u64,
    /// The shortest and the longest first wait; later ones double.
    wait: (u64, u64),
    /// A call and a page in calm.
    call: u64,
    page: u64,
}

/// Three clients that have nothing in common.
const CLIENTS: [Client; 3] = [
    Client {
        budget: 1_000,
        timeout: 250,
        wait: (40, 80),
        call: 20,
        page: 25,
    },
    Client {
        budget: 5_000,
        timeout: 1_500,
        wait: (200, 400),
        call: 90,
        page: 110,
    },
    Client {
        budget: 400,
        timeout: 60,
        wait: (24, 48),
        call: 5,
        page: 8,
    },
];

impl Client {
    fn scale(self) -> Scale {
        Scale {
            budget: self.budget * MS,
            page_p50: self.page * MS,
            page_p95: self.page * 2 * MS,
            call_p50: self.call * MS,
            call_p95: self.call * 2 * MS,
            calls_per_page: 1.0,
            background: false,
            attempt_timeout: Some(self.timeout * MS),
            calm: usual(24),
            fallback: Usual::default(),
        }
    }

    /// The wait before a retry: even between its bounds over 16 pages, doubled for each further one.
    fn wait_before(self, page: u64, retry: usize) -> u64 {
        let (low, high) = self.wait;
        let drawn = low + (high - low) * (page * 7 % 16) / 15;
        drawn << retry
    }
}

/// A page with so many items.
fn items(count: usize) -> Content {
    let items: Vec<usize> = (0..count).collect();
    Content::of(serde_json::json!({ "items": items }).to_string().as_bytes())
}

fn usual(count: usize) -> Usual {
    let mut usual = Usual::default();
    usual.learn(&items(count));
    usual
}

/// Records as they are written.
#[derive(Debug, Default)]
struct Records {
    trial: Trial,
    number: u64,
}

/// How an attempt ends in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    With(u16),
    Reset,
    ByClient,
    Open,
}

impl Records {
    fn armed(at_ms: u64) -> Self {
        let mut records = Self::default();
        records.trial.armed = at_ms * MS;
        records.trial.struck = Some(1);
        records
    }

    fn form(mut self, form: &str) -> Self {
        self.trial.form = form.to_owned();
        self
    }

    /// A page from a moment on, for so many ms; none for one that is not answered.
    fn page(&mut self, at: u64, took: Option<u64>, status: u16, degraded: bool) {
        let number = self.trial.pages.len() as u64;
        self.trial.pages.push(PageRecord {
            number,
            intended: at * MS,
            sent: at * MS,
            ended: took.map(|it| (at + it) * MS),
            status: took.map(|_| status),
            degraded,
            content: Some(items(if degraded { 0 } else { 24 })),
            ..PageRecord::default()
        });
    }

    fn attempt(&mut self, at: u64, took: u64, ends: Ends, fp: u64) -> &mut AttemptRecord {
        self.number += 1;
        let (end, status) = match ends {
            Ends::With(status) => (RequestEnd::Answered, Some(status)),
            Ends::Reset => (RequestEnd::Fault, None),
            Ends::ByClient => (RequestEnd::ClientRst, None),
            Ends::Open => (RequestEnd::StillOpen, None),
        };
        let mut attempt = attempt(self.number, at * MS, took * MS);
        attempt.end = end;
        attempt.status = status;
        attempt.path = "/items".to_owned();
        attempt.fingerprint = fp.to_string();
        if status.is_none() {
            (attempt.t_first_out, attempt.t_last_out) = (None, None);
        }
        self.trial.attempts.push(attempt);
        self.trial.attempts.last_mut().expect("it was just pushed")
    }

    fn removed(mut self, at_ms: u64) -> Self {
        self.trial.removed = Some(at_ms * MS);
        self
    }

    fn until(mut self, at_ms: u64) -> Trial {
        self.trial.until = at_ms * MS;
        self.trial
    }
}

/// What is said of one id.
fn told(client: Client, battery: &Battery, id: Id) -> Finding {
    told_at(&client.scale(), battery, id)
}

fn told_at(scale: &Scale, battery: &Battery, id: Id) -> Finding {
    let all = findings("up", scale, battery);
    all.into_iter()
        .find(|it| it.id == id)
        .expect("every id is there")
}

#[track_caller]
fn assert_told(client: Client, battery: &Battery, id: Id, verdict: Verdict) {
    let finding = told(client, battery, id);
    assert_eq!(finding.verdict, verdict, "{client:?}: {finding:?}");
    assert_eq!(finding.verdict == Verdict::Defect, !finding.fix.is_empty());
}

#[test]
fn every_id_is_there_once_and_what_was_not_tried_is_undetermined() {
    let all = findings("up", &CLIENTS[0].scale(), &Battery::default());

    let ids: Vec<Id> = all.iter().map(|it| it.id).collect();
    assert_eq!(ids, Id::ALL);
    assert_eq!(ids.len(), 33);
    for finding in &all {
        assert_eq!(finding.verdict, Verdict::Undetermined, "{finding:?}");
        let why = match finding.id {
            Id::RetriesPost => "no order was named, such as --order POST:/order",
            _ => "it was not tried",
        };
        assert_eq!(finding.why, why, "{finding:?}");
        assert!(finding.sentence.starts_with("undetermined, because "));
    }
}

#[test]
fn ids_are_written_as_they_are_documented() {
    let text = serde_json::to_string(&Id::ALL).unwrap();

    for id in [
        "no-timeout",
        "retries-4xx",
        "breaker-ignores-5xx",
        "breaker-opens-on-4xx",
        "serialised",
    ] {
        assert!(text.contains(&format!("\"{id}\"")), "{text}");
    }
    assert_eq!(Id::Retries4xx.as_str(), "retries-4xx");
}

#[test]
fn a_fault_that_never_struck_and_a_busy_machine_tell_nothing() {
    let mut records = Records::armed(0);
    records.page(0, None, 0, false);
    records.attempt(0, 5_000, Ends::Open, 1);
    let hang = records.until(5_000);
    let missed = Battery {
        hang: vec![Trial {
            struck: Some(0),
            ..hang.clone()
        }],
        ..Battery::default()
    };
    let busy = Battery {
        hang: vec![Trial { busy: true, ..hang }],
        ..Battery::default()
    };

    assert_eq!(
        told(CLIENTS[0], &missed, Id::NoTimeout).why,
        "the fault never struck"
    );
    assert_eq!(
        told(CLIENTS[0], &busy, Id::NoTimeout).why,
        "the machine was too busy"
    );
}

#[test]
fn the_scale_is_taken_from_calm_pages() {
    for client in CLIENTS {
        let mut calm = Records::default();
        for page in 0..20 {
            calm.page(page * 1_000, Some(client.page), 200, false);
            calm.attempt(page * 1_000 + 1, client.call, Ends::With(200), page);
        }

        let calm = Calm::of(client.budget * MS, &calm.until(20_000)).unwrap();

        assert_eq!(calm.scale.page_p50, client.page * MS);
        assert_eq!(calm.scale.call_p95, client.call * MS);
        assert!((calm.scale.calls_per_page - 1.0).abs() < 1e-9 && !calm.scale.background);
        assert!(calm.scale.calm.fits(&items(24)) && !calm.scale.calm.fits(&items(23)));
        assert_eq!(calm.paths.len(), 1);
    }
}

#[test]
fn calls_without_pages_are_a_refresher_and_rules_of_pages_do_not_apply() {
    let mut calm = Records::default();
    for page in 0..10 {
        calm.page(page * 1_000, Some(3), 200, false);
        calm.attempt(page * 1_000 + 500, 20, Ends::With(200), page);
    }

    let scale = Calm::of(Scale::BUDGET, &calm.until(10_000)).unwrap().scale;

    assert!(scale.background);
    let mut storm = Records::armed(0);
    storm.page(0, Some(3), 200, false);
    let battery = Battery {
        storm_404: Some(storm.until(3_000)),
        ..Battery::default()
    };
    let id = Id::BreakerOpensOn4xx;
    assert_eq!(
        told_at(&scale, &battery, id).verdict,
        Verdict::NotApplicable
    );
}

/// Seen of a poller of 700 ms: its first call fell into a page by chance, and its second came after the last one.
#[test]
fn calls_of_which_half_come_without_pages_are_a_refreshers() {
    let mut calm = Records::default();
    for page in 0..20 {
        calm.page(page * 11, Some(11), 200, false);
        calm.attempt(page * 11 + 1, 9, Ends::With(200), page);
    }
    for at in [105, 812] {
        calm.attempt(at, 9, Ends::With(200), 1).path = "/prices".to_owned();
    }

    let calm = Calm::of(Scale::BUDGET, &calm.until(1_700)).unwrap();

    assert!(calm.path("/prices").unwrap().scale.background);
    assert!(!calm.path("/items").unwrap().scale.background);
}

/// Calm pages that call two paths each.
fn calm_of_two_paths(client: Client) -> Calm {
    let mut calm = Records::default();
    for page in 0..20 {
        calm.page(page * 1_000, Some(client.page), 200, false);
        for (fp, path) in ["/items", "/prices"].into_iter().enumerate() {
            calm.attempt(page * 1_000 + 1, client.call, Ends::With(200), fp as u64)
                .path = path.to_owned();
        }
    }
    Calm::of(client.budget * MS, &calm.until(20_000)).unwrap()
}

/// Of three paths of a page one has no time-out: the dependency has none, and the sentence names the path.
#[test]
fn each_path_is_judged_by_itself() {
    let client = CLIENTS[0];
    let calm = calm_of_two_paths(client);
    let hangs = |path: &str, ends: Ends, took: u64| {
        let mut records = Records::armed(0);
        records.page(0, (ends == Ends::ByClient).then_some(took), 200, true);
        records.attempt(1, took, ends, 1).path = path.to_owned();
        let mut trial = records.until(12_000);
        trial.path = Some(path.to_owned());
        trial
    };
    let battery = Battery {
        hang: vec![
            hangs("/items", Ends::ByClient, 250),
            hangs("/prices", Ends::Open, 12_000),
        ],
        ..Battery::default()
    };

    let told = findings_by_path("up", &calm, &calm.scale, &battery);

    let told = told.into_iter().find(|it| it.id == Id::NoTimeout).unwrap();
    assert_eq!(told.verdict, Verdict::Defect);
    assert!(told.sentence.starts_with("calls of /prices: "), "{told:?}");
}

/// Seen of a page that sends an event by POST beside its GET: of the other path it was said that no order was named.
#[test]
fn what_a_page_sends_is_told_though_another_of_its_paths_sends_nothing() {
    let client = CLIENTS[0];
    let page = |records: &mut Records, at: u64, ends: Ends| {
        records.page(at, Some(client.page), 200, false);
        records.attempt(at + 1, client.call, Ends::With(200), 1);
        let event = records.attempt(at + 1, client.call, ends, 2);
        (event.path, event.method) = ("/events".to_owned(), "POST".to_owned());
    };
    let mut calm = Records::default();
    for number in 0..20 {
        page(&mut calm, number * 1_000, Ends::With(200));
    }
    let calm = Calm::of(client.budget * MS, &calm.until(20_000)).unwrap();
    let mut failing = Records::armed(0);
    page(&mut failing, 0, Ends::With(503));
    let battery = Battery {
        all_503: Some(failing.until(2_000)),
        ..Battery::default()
    };

    let told = findings_by_path("up", &calm, &calm.scale, &battery);

    let told = told
        .into_iter()
        .find(|it| it.id == Id::RetriesPost)
        .unwrap();
    assert_eq!(told.verdict, Verdict::Ok, "{told:?}");
}

#[test]
fn what_was_left_out_is_undetermined_unless_it_is_a_defect_already() {
    let why = "it did not fit into --fast's 30 s";
    let good = Outcome::ok(Id::NoJitter, "waits differ", serde_json::json!({})).of_route("up");
    let unknown = Outcome::unknown(Id::Retries4xx, NOT_TRIED).of_route("up");

    for finding in [good, unknown] {
        let left_out = finding.left_out(why);
        assert_eq!(
            (left_out.verdict, left_out.why.as_str()),
            (Verdict::Undetermined, why)
        );
    }
}

#[test]
fn a_page_that_ends_before_its_last_attempt_begins_has_late_starts() {
    let page = |ended| PageRecord {
        sent: 0,
        ended,
        ..PageRecord::default()
    };
    let attempts = || vec![attempt(1, 100, 50), attempt(2, 300, 50)];
    let trial = |ended| Trial {
        pages: vec![page(ended)],
        attempts: attempts(),
        ..Trial::default()
    };

    assert!(!trial(Some(400)).has_late_starts());
    assert!(trial(Some(200)).has_late_starts());
    assert!(trial(None).has_late_starts());
    assert_eq!(trial(Some(400)).attempts_of_a_page(), 2);
}

#[test]
fn pauses_double_where_they_grow_to_the_end() {
    use super::retries::pauses_double;
    let ms =
        |pauses: &[u64]| pauses_double(&pauses.iter().map(|it| it * 1_000).collect::<Vec<_>>());

    assert!(ms(&[250, 500, 1_000, 2_000]));
    // Jitter of a fifth: single steps are smaller and larger.
    assert!(ms(&[348, 500, 1_399, 2_673, 4_216]));
    // An upper bound of two seconds, and of one and a half with jitter.
    assert!(!ms(&[250, 500, 1_000, 2_000, 2_000]));
    assert!(!ms(&[300, 620, 1_250, 1_480, 1_290]));
    // A breaker that stays open for about as long each time.
    assert!(!ms(&[2_000, 2_010, 1_990, 2_005]));
    assert!(!ms(&[800, 1_000, 1_210]));
    assert!(!ms(&[500, 1_000, 2_000]));
}
