use crate::metrics::Id;

/// Longer names are cut, so that any line fits a packet many times.
const NAME_BYTES_MAX: usize = 256;

/// How tags are written, which daemons do not agree on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Tag values become parts of the name, `proxy.responses.web.2xx`: understood by all.
    #[default]
    Etsy,
}

impl Dialect {
    /// The name under which a series is sent, at most 256 bytes of ASCII.
    pub(super) fn name_of(self, id: &Id) -> String {
        match self {
            Self::Etsy => {
                let mut name: String = id.name.chars().map(safe).collect();
                for value in &id.tag_values {
                    name.push('.');
                    if value.is_empty() {
                        name.push('_');
                    }
                    name.extend(value.chars().map(|c| if c == '.' { '_' } else { safe(c) }));
                }
                name.truncate(NAME_BYTES_MAX);
                name
            }
        }
    }
}

/// Leaves what daemons take for a name. A colon, bar, at sign or line end would end it, the rest
/// some daemons drop, which merges series.
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

    #[test]
    fn etsy_names() {
        let metrics = Metrics::new();
        for (route, class) in [
            ("web", "2xx"),
            ("api.v1", "5xx"),
            ("a:b|c@d\ne f", "none"),
            ("größe", ""),
        ] {
            metrics
                .counter(names::PROXY_RESPONSES, &[route, class])
                .add(1);
        }
        metrics
            .counter_named("circuitbreaker./recommendations_breaker_open")
            .add(1);
        metrics.counter_named("x:1|c\ny".repeat(100)).add(1);

        let table = metrics.table();
        let names: Vec<_> = table
            .counters
            .series
            .iter()
            .map(|(id, _)| Dialect::Etsy.name_of(id))
            .collect();

        assert_eq!(
            names[..6],
            [
                "telemetry.series_overflow",
                "proxy.responses.web.2xx",
                "proxy.responses.api_v1.5xx",
                "proxy.responses.a_b_c_d_e_f.none",
                "proxy.responses.gr__e._",
                "circuitbreaker./recommendations_breaker_open",
            ]
        );
        assert_eq!(names[6].len(), NAME_BYTES_MAX);
        assert!(names[6].starts_with("x_1_c_y"));
    }
}
