use std::{fmt, str::FromStr};

use crate::metrics::Id;

/// Longer names are cut, so that any line fits a packet many times.
const NAME_BYTES_MAX: usize = 256;

/// How tags are written, which daemons do not agree on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Tag values become parts of the name, `proxy.responses.web.2xx`: understood by all.
    #[default]
    Etsy,
    /// Tags behind the name, `proxy.responses,route=web,class=2xx`: Telegraf. The original daemon would take the
    /// commas out and merge everything.
    Influx,
    /// Tags at the end of the line, `proxy.responses:1|c|#route:web,class:2xx`: the Datadog agent, Vector, Telegraf
    /// with `datadog_extensions`.
    Datadog,
}

/// The text is not the name of a dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no statsd dialect; there are etsy, influx and datadog")]
pub struct UnknownDialect {
    /// As written.
    pub word: String,
}

/// What a series is called in one dialect. A part such as `p50` goes behind `name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) name: String,
    /// Behind the name and its part.
    pub(super) tags: String,
    /// At the end of the line.
    pub(super) end: String,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 3] = [Self::Etsy, Self::Influx, Self::Datadog];

    /// Its name in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etsy => "etsy",
            Self::Influx => "influx",
            Self::Datadog => "datadog",
        }
    }

    /// Whether the daemon takes single durations with the number of their kind, `@1/n`, for what it is.
    pub(super) fn takes_durations(self) -> Option<&'static str> {
        match self {
            Self::Etsy => None, // Its percentiles forget the number.
            Self::Influx => Some("ms"),
            Self::Datadog => Some("d"),
        }
    }

    /// The name under which a series is sent, at most 256 bytes of ASCII, and its tags.
    pub(super) fn label_of(self, id: &Id) -> Label {
        let mut name: String = id.name.chars().map(safe).collect();
        if self == Self::Etsy {
            for value in &id.tag_values {
                name.push('.');
                name.extend(shown(value).map(|c| if c == '.' { '_' } else { c }));
            }
        }
        name.truncate(NAME_BYTES_MAX);
        let (mut tags, mut end) = (String::new(), String::new());
        for (number, (key, value)) in id.tags().enumerate() {
            let value = shown(&value).take(NAME_BYTES_MAX);
            match self {
                Self::Etsy => {}
                Self::Influx => {
                    tags.extend([",", key, "="]);
                    tags.extend(value);
                }
                Self::Datadog => {
                    end.extend([if number == 0 { "|#" } else { "," }, key, ":"]);
                    end.extend(value);
                }
            }
        }
        Label { name, tags, end }
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(word: &str) -> Result<Self, UnknownDialect> {
        let known = Self::ALL.into_iter().find(|it| it.name() == word);
        known.ok_or_else(|| UnknownDialect {
            word: word.to_owned(),
        })
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A tag's value. An empty one would be none, or break the line.
fn shown(value: &str) -> impl Iterator<Item = char> {
    let value = if value.is_empty() { "_" } else { value };
    value.chars().map(safe)
}

/// Leaves what daemons take for a name. A colon, bar, at sign or line end would end it, a comma or equals sign a tag,
/// the rest some daemons drop, which merges series.
fn safe(c: char) -> char {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '/' => c,
        _ => '_',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metrics, names};

    /// What is sent of the value 1 of each of these series, but for the first, which every registry has.
    fn lines(dialect: Dialect, metrics: &Metrics) -> Vec<String> {
        let table = metrics.table();
        let series = table.counters.series.iter().skip(1);
        let line = |label: Label| format!("{}{}:1|c{}", label.name, label.tags, label.end);
        series.map(|(id, _)| line(dialect.label_of(id))).collect()
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
    fn long_names_are_cut() {
        let metrics = Metrics::new();
        drop(metrics.counter_named("x:1|c\ny".repeat(100)));

        let line = lines(Dialect::Etsy, &metrics).remove(0);

        assert_eq!(line.len(), NAME_BYTES_MAX + ":1|c".len());
        assert!(line.starts_with("x_1_c_y"));
    }

    #[test]
    fn dialects_have_names() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
        }
        let error = "statsd".parse::<Dialect>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`statsd` is no statsd dialect; there are etsy, influx and datadog"
        );
    }
}
