use std::{fmt, str::FromStr};

/// Longer names are cut, so that any line fits a packet many times.
pub(super) const NAME_BYTES_MAX: usize = 256;
/// Longer values of tags are cut: three of them and a name of the table stay below [`NAME_BYTES_MAX`].
pub(super) const VALUE_BYTES_MAX: usize = 64;

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

    /// What stands for a name that is made at run time, ASCII.
    pub(super) fn name_text(self, name: &str) -> String {
        name.chars().map(safe).collect()
    }

    /// What stands for a tag's value, ASCII. An empty one would be none, or break the line.
    pub(super) fn value_text(self, value: &str) -> String {
        let value = if value.is_empty() { "_" } else { value };
        let text = value.chars().map(safe);
        match self {
            Self::Etsy => text.map(|c| if c == '.' { '_' } else { c }).collect(),
            Self::Influx | Self::Datadog => text.collect(),
        }
    }

    /// Texts for which this is the same are the same to a daemon: the original one turns `/` into `-`, that of Datadog
    /// makes tags lower case.
    pub(super) fn told_apart(self, text: &str) -> String {
        match self {
            Self::Etsy => text.replace('/', "-"),
            Self::Influx => text.to_owned(),
            Self::Datadog => text.to_ascii_lowercase(),
        }
    }

    /// How a series is written that has this name, and these texts for the values of its tags.
    pub(super) fn label(self, mut name: String, tag_texts: &[(&'static str, String)]) -> Label {
        let (mut tags, mut end) = (String::new(), String::new());
        for (number, (key, text)) in tag_texts.iter().enumerate() {
            match self {
                Self::Etsy => name.extend([".", text]),
                Self::Influx => tags.extend([",", key, "=", text]),
                Self::Datadog => {
                    let mark = if number == 0 { "|#" } else { "," };
                    end.extend([mark, key, ":", text]);
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
