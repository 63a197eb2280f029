//! A text with numbers that differ from page to page.

use std::fmt;

/// A text with any number of `{FIRST..LAST}` in it, each replaced by a number from that range, both ends included.
///
/// Which number is a function of the seed, the page's number and the place: the same run asks for the same pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Range(u64, u64),
}

impl Template {
    /// Reads a text. Braces around anything else than a range stay as they are.
    ///
    /// # Errors
    /// When a range ends before it begins.
    pub fn parse(source: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some(open) = rest.find('{') {
            let (before, from) = rest.split_at(open);
            text.push_str(before);
            let range = from.find('}').and_then(|close| {
                let (first, last) = from[1..close].split_once("..")?;
                Some((close, first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
            });
            let Some((close, first, last)) = range else {
                text.push('{');
                rest = &from[1..];
                continue;
            };
            if first > last {
                return Err(format!("`{{{first}..{last}}}` ends before it begins"));
            }
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Range(first, last));
            rest = &from[close + 1..];
        }
        text.push_str(rest);
        parts.push(Part::Text(text));
        Ok(Self {
            source: source.to_owned(),
            parts,
        })
    }

    /// The text for one page.
    #[must_use]
    pub fn fill(&self, seed: u64, page: u64) -> String {
        let mut filled = String::new();
        let mut place = 0;
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Range(first, last) => {
                    place += 1;
                    let drawn = mix(seed ^ mix(page.wrapping_mul(31).wrapping_add(place)));
                    let number = match (last - first).checked_add(1) {
                        Some(span) => first + drawn % span,
                        None => drawn,
                    };
                    filled.push_str(&number.to_string());
                }
            }
        }
        filled
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ranges_are_replaced_by_numbers_that_repeat_from_the_seed() {
        let template = Template::parse("user-{1..5}/{10..10}?q={a}").unwrap();

        let pages: Vec<String> = (0..200).map(|page| template.fill(42, page)).collect();

        let users: BTreeSet<&String> = pages.iter().collect();
        assert_eq!(users.len(), 5, "{users:?}");
        assert!(
            pages
                .iter()
                .all(|it| it.starts_with("user-") && it.ends_with("/10?q={a}"))
        );
        let again: Vec<String> = (0..200).map(|page| template.fill(42, page)).collect();
        assert_eq!(pages, again);
        let other: Vec<String> = (0..200).map(|page| template.fill(43, page)).collect();
        assert_ne!(pages, other);
    }

    #[test]
    fn the_widest_range_is_a_range() {
        let template = Template::parse("{0..18446744073709551615}").unwrap();

        assert!(template.fill(1, 1).parse::<u64>().is_ok());
        assert!(Template::parse("{5..1}").is_err());
    }
}
