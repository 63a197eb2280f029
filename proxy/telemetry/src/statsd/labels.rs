//! What each series is called in one dialect. No two values of a tag are called the same.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::dialect::{Dialect, Label, NAME_BYTES_MAX, VALUE_BYTES_MAX};
use crate::metrics::Id;

/// The key of names that are made at run time, which are told apart like values of a tag.
const NAMES: &str = "";

/// The texts that stand for values in one dialect.
///
/// Dialects leave only some characters as they are, so that values may fall together: routes `a.b` and `a_b` in
/// `etsy`. The first that comes gets the text `a_b`, the next one `a_b_2`, and so on, for as long as one of its series
/// lives and in all of them.
#[derive(Debug)]
pub(super) struct Labels {
    dialect: Dialect,
    shown: HashMap<(&'static str, Box<str>), Shown>,
    /// As daemons tell them apart, which is less than the text.
    taken: HashSet<(&'static str, String)>,
}

#[derive(Debug)]
struct Shown {
    text: String,
    /// How many series have it.
    series: usize,
}

impl Labels {
    pub(super) fn of(dialect: Dialect) -> Self {
        Self {
            dialect,
            shown: HashMap::new(),
            taken: HashSet::new(),
        }
    }

    /// The label of a series that came, until it is [given back](Self::give_back).
    pub(super) fn take(&mut self, id: &Id) -> Label {
        let name = match &id.name {
            Cow::Borrowed(name) => (*name).to_owned(),
            Cow::Owned(name) => self.text(NAMES, name, NAME_BYTES_MAX),
        };
        let mut tags = Vec::new();
        for (key, value) in id.tags() {
            tags.push((key, self.text(key, value, VALUE_BYTES_MAX)));
        }
        self.dialect.label(name, &tags)
    }

    /// Frees the texts that only the series `id` had.
    pub(super) fn give_back(&mut self, id: &Id) {
        if let Cow::Owned(name) = &id.name {
            self.free(NAMES, name);
        }
        for (key, value) in id.tags() {
            self.free(key, value);
        }
    }

    fn text(&mut self, key: &'static str, value: &str, bytes_max: usize) -> String {
        if let Some(shown) = self.shown.get_mut(&(key, Box::from(value))) {
            shown.series += 1;
            return shown.text.clone();
        }
        let mut plain = match key {
            NAMES => self.dialect.name_text(value),
            _ => self.dialect.value_text(value),
        };
        plain.truncate(bytes_max);
        let mut text = plain.clone();
        let mut number = 1;
        while !self.taken.insert((key, self.dialect.told_apart(&text))) {
            number += 1;
            let suffix = format!("_{number}");
            text.clone_from(&plain);
            text.truncate(bytes_max - suffix.len());
            text.push_str(&suffix);
        }
        let shown = Shown {
            text: text.clone(),
            series: 1,
        };
        self.shown.insert((key, Box::from(value)), shown);
        text
    }

    fn free(&mut self, key: &'static str, value: &str) {
        let place = (key, Box::from(value));
        let Some(shown) = self.shown.get_mut(&place) else {
            return;
        };
        shown.series -= 1;
        if shown.series == 0 {
            let told_apart = self.dialect.told_apart(&shown.text);
            self.taken.remove(&(key, told_apart));
            self.shown.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metrics, names};

    /// What is sent of the value 1 of each of these series, but for the first, which every registry has.
    fn lines(dialect: Dialect, metrics: &Metrics) -> Vec<String> {
        let table = metrics.table();
        let mut labels = Labels::of(dialect);
        let series = table.counters.since(1);
        let line = |label: Label| format!("{}{}:1|c{}", label.name, label.tags, label.end);
        series.map(|(_, it)| line(labels.take(&it.id))).collect()
    }

    #[test]
    fn the_same_series_in_every_dialect() {
        let metrics = Metrics::new();
        for (route, class) in [
            ("web", "2xx"),
            ("api.v1", "5xx"),
            ("a:b|c@d\ne f,g=h", "none"),
            ("größe", ""),
        ] {
            drop(metrics.counter(names::PROXY_RESPONSES, &[route, class]));
        }
        drop(metrics.counter_named("circuitbreaker./recommendations_breaker_open"));

        assert_eq!(
            lines(Dialect::Etsy, &metrics),
            [
                "proxy.responses.web.2xx:1|c",
                "proxy.responses.api_v1.5xx:1|c",
                "proxy.responses.a_b_c_d_e_f_g_h.none:1|c",
                "proxy.responses.gr__e._:1|c",
                "circuitbreaker./recommendations_breaker_open:1|c",
            ]
        );
        assert_eq!(
            lines(Dialect::Influx, &metrics),
            [
                "proxy.responses,route=web,class=2xx:1|c",
                "proxy.responses,route=api.v1,class=5xx:1|c",
                "proxy.responses,route=a_b_c_d_e_f_g_h,class=none:1|c",
                "proxy.responses,route=gr__e,class=_:1|c",
                "circuitbreaker./recommendations_breaker_open:1|c",
            ]
        );
        assert_eq!(
            lines(Dialect::Datadog, &metrics),
            [
                "proxy.responses:1|c|#route:web,class:2xx",
                "proxy.responses:1|c|#route:api.v1,class:5xx",
                "proxy.responses:1|c|#route:a_b_c_d_e_f_g_h,class:none",
                "proxy.responses:1|c|#route:gr__e,class:_",
                "circuitbreaker./recommendations_breaker_open:1|c",
            ]
        );
    }

    #[test]
    fn long_names_are_cut_and_still_told_apart() {
        let metrics = Metrics::new();
        let (one, other) = ("x:1|c\ny".repeat(100), "x:1|c\nz".repeat(100));
        let long = "r".repeat(100);
        drop(metrics.counter_named(one + "1"));
        drop(metrics.counter_named("x:1|c\ny".repeat(100) + "2"));
        drop(metrics.counter_named(other));
        for route in [format!("{long}1"), format!("{long}2")] {
            drop(metrics.counter(names::PROXY_REQUESTS, &[&route]));
        }

        for dialect in Dialect::ALL {
            let lines = lines(dialect, &metrics);

            assert_eq!(lines[0].len(), NAME_BYTES_MAX + ":1|c".len());
            assert!(lines[0].starts_with("x_1_c_y"));
            let apart: HashSet<&String> = lines.iter().collect();
            assert_eq!(apart.len(), 5, "{lines:#?}");
            assert!(lines.iter().all(|line| line.len() < 300), "{lines:#?}");
        }
    }

    #[test]
    fn routes_that_fall_together_are_told_apart_in_all_their_series() {
        for (dialect, routes, expected) in [
            (
                Dialect::Etsy,
                ["a.b", "a_b", "a:b", "a_b_2", "a/b", "a-b"],
                ["a_b", "a_b_2", "a_b_3", "a_b_2_2", "a/b", "a-b_2"],
            ),
            (
                Dialect::Influx,
                ["a.b", "a_b", "a:b", "a_b_2", "a/b", "a-b"],
                ["a.b", "a_b", "a_b_2", "a_b_2_2", "a/b", "a-b"],
            ),
            (
                // Datadog makes all tags lower case.
                Dialect::Datadog,
                ["a.b", "a_b", "A_b", "a:B", "Web", "web"],
                ["a.b", "a_b", "A_b_2", "a_B_3", "Web", "web_2"],
            ),
        ] {
            let metrics = Metrics::new();
            for route in routes {
                drop(metrics.counter(names::PROXY_REQUESTS, &[route]));
            }
            for route in routes.iter().rev() {
                drop(metrics.counter(names::PROXY_RESPONSES, &[route, "2xx"]));
            }

            let shown = lines(dialect, &metrics);

            let line = |route: &str, class: &str| match (dialect, class) {
                (Dialect::Etsy, "") => format!("proxy.requests.{route}:1|c"),
                (Dialect::Etsy, _) => format!("proxy.responses.{route}.{class}:1|c"),
                (Dialect::Influx, "") => format!("proxy.requests,route={route}:1|c"),
                (Dialect::Influx, _) => {
                    format!("proxy.responses,route={route},class={class}:1|c")
                }
                (Dialect::Datadog, "") => format!("proxy.requests:1|c|#route:{route}"),
                (Dialect::Datadog, _) => {
                    format!("proxy.responses:1|c|#route:{route},class:{class}")
                }
            };
            let requests = expected.iter().map(|route| line(route, ""));
            let responses = expected.iter().rev().map(|route| line(route, "2xx"));
            assert_eq!(shown, requests.chain(responses).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_text_is_free_when_the_last_series_that_had_it_is_gone() {
        let requests = |route: &str| Id::tagged(names::PROXY_REQUESTS.0, &[route]);
        let responses = |route: &str| Id::tagged(names::PROXY_RESPONSES.0, &[route, "2xx"]);
        let mut labels = Labels::of(Dialect::Etsy);

        labels.take(&requests("a.b"));
        labels.take(&responses("a.b"));
        assert_eq!(labels.take(&requests("a_b")).name, "proxy.requests.a_b_2");
        labels.give_back(&requests("a.b"));
        assert_eq!(labels.take(&requests("a:b")).name, "proxy.requests.a_b_3");
        labels.give_back(&responses("a.b"));

        assert_eq!(labels.take(&requests("a|b")).name, "proxy.requests.a_b");
        assert_eq!(
            labels.take(&responses("a_b")).name,
            "proxy.responses.a_b_2.2xx"
        );
        for id in [
            requests("a_b"),
            requests("a:b"),
            requests("a|b"),
            responses("a_b"),
        ] {
            labels.give_back(&id);
        }
        assert!(
            labels.shown.is_empty() && labels.taken.is_empty(),
            "{labels:?}"
        );
    }
}
