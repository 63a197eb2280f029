//! What a page says, as far as it can be compared with other pages.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Places of a page beyond this many are not looked at.
const PLACES_MAX: usize = 512;
/// Values deeper than this are not looked at.
const DEPTH_MAX: usize = 12;
/// The longest text that is kept.
const WORD_MAX: usize = 80;
/// A place that has had more values than this has no usual one.
const WORDS_MAX: usize = 3;
/// Of fewer pages nobody knows whether a word is usual.
const PAGES_MIN: u64 = 5;

/// What is said of a page: how often each place occurs, and which words stand at places that occur once.
///
/// A page in JSON has places such as `/items/*/id`; numbers are left out, as they change. Any other page is one place
/// that occurs as often as it has bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    counts: BTreeMap<String, u64>,
    words: BTreeMap<String, String>,
}

impl Content {
    /// Reads a page's body.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let mut content = Self::default();
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => {
                content.walk(&value, &mut String::new(), 0);
                content.words.retain(|place, _| content.counts[place] == 1);
            }
            Err(_) => {
                content.counts.insert(String::new(), body.len() as u64);
            }
        }
        content
    }

    fn walk(&mut self, value: &Value, place: &mut String, depth: usize) {
        if self.counts.len() >= PLACES_MAX || depth > DEPTH_MAX {
            return;
        }
        *self.counts.entry(place.clone()).or_default() += 1;
        let length = place.len();
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    place.push('/');
                    place.push_str(key);
                    self.walk(member, place, depth + 1);
                    place.truncate(length);
                }
            }
            Value::Array(elements) => {
                place.push_str("/*");
                for element in elements {
                    self.walk(element, place, depth + 1);
                }
                place.truncate(length);
            }
            Value::String(text) if text.len() <= WORD_MAX => {
                self.words.insert(place.clone(), text.clone());
            }
            Value::Bool(truth) => {
                self.words.insert(place.clone(), truth.to_string());
            }
            Value::Null => {
                self.words.insert(place.clone(), "null".to_owned());
            }
            Value::String(_) | Value::Number(_) => {}
        }
    }
}

/// What some pages of one kind have in common.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usual {
    pages: u64,
    counts: BTreeMap<String, (u64, u64)>,
    words: BTreeMap<String, BTreeSet<String>>,
}

impl Usual {
    /// One more page of this kind.
    pub fn learn(&mut self, content: &Content) {
        for (place, (low, _)) in &mut self.counts {
            if !content.counts.contains_key(place) {
                *low = 0;
            }
        }
        for (place, count) in &content.counts {
            let new = (if self.pages == 0 { *count } else { 0 }, *count);
            let (low, high) = self.counts.entry(place.clone()).or_insert(new);
            (*low, *high) = ((*low).min(*count), (*high).max(*count));
        }
        for (place, word) in &content.words {
            let words = self.words.entry(place.clone()).or_default();
            if words.len() <= WORDS_MAX {
                words.insert(word.clone());
            }
        }
        self.pages += 1;
    }

    /// Whether a page could be one of these; never where there were none.
    #[must_use]
    pub fn fits(&self, content: &Content) -> bool {
        let is_known = |place: &str| self.counts.contains_key(place);
        let counted = self.counts.iter().all(|(place, (low, high))| {
            let count = content.counts.get(place).copied().unwrap_or(0);
            match place.is_empty() && *high > 1 {
                // Texts are seldom exactly as long again.
                true => (low - low / 5..=high + high / 5).contains(&count),
                false => (*low..=*high).contains(&count),
            }
        });
        self.pages > 0
            && counted
            && content.counts.keys().all(|it| is_known(it))
            && content
                .words
                .iter()
                .all(|(place, word)| self.has_word(place, word))
    }

    /// Whether a word may stand at a place: one that had few values has no others.
    fn has_word(&self, place: &str, word: &str) -> bool {
        match self.words.get(place) {
            Some(words) => {
                self.pages < PAGES_MIN || words.len() >= WORDS_MAX || words.contains(word)
            }
            None => false,
        }
    }

    /// Whether a page says of itself that it is another one, at a place whose name tells so: `degraded`, `source` and the
    /// like.
    #[must_use]
    pub fn is_told_apart_by(&self, content: &Content) -> bool {
        const TELLING: [&str; 9] = [
            "degraded", "fallback", "source", "stale", "partial", "cached", "complete", "error",
            "warning",
        ];
        let tells = |place: &str| {
            let name = place.rsplit('/').next().unwrap_or_default().to_lowercase();
            TELLING.iter().any(|it| name.contains(it))
        };
        let words = content.words.iter().filter(|(place, _)| tells(place));
        self.pages > 0
            && words
                .into_iter()
                .any(|(place, word)| !self.has_word(place, word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(pages: &[&str]) -> Usual {
        let mut usual = Usual::default();
        for page in pages {
            usual.learn(&Content::of(page.as_bytes()));
        }
        usual
    }

    fn fits(usual: &Usual, page: &str) -> bool {
        usual.fits(&Content::of(page.as_bytes()))
    }

    #[test]
    fn other_numbers_and_ids_are_the_same_page() {
        let page = |id: u32| {
            format!(
                r#"{{"items":[{{"id":{id},"name":"a{id}"}},{{"id":2,"name":"b"}}],"source":"primary","t":{id}}}"#
            )
        };
        let pages: Vec<String> = (0..6).map(page).collect();
        let usual = usual(&pages.iter().map(String::as_str).collect::<Vec<_>>());

        assert!(fits(&usual, &page(77)));
        assert!(!fits(&usual, r#"{"items":[],"source":"primary","t":1}"#));
        assert!(!fits(&usual, &page(7).replace("primary", "fallback")));
        assert!(!fits(&usual, "<html>"));
    }

    #[test]
    fn a_page_of_changing_length_fits_within_what_was_seen() {
        let usual = usual(&[r#"{"items":[1,2,3]}"#, r#"{"items":[1,2,3,4,5]}"#]);

        assert!(fits(&usual, r#"{"items":[9,9,9,9]}"#));
        assert!(!fits(&usual, r#"{"items":[9]}"#));
    }

    #[test]
    fn a_text_fits_by_its_length() {
        let usual = usual(&["<p>12 items, served at 10:00</p>"]);

        assert!(fits(&usual, "<p>12 items, served at 9:59</p>"));
        assert!(!fits(&usual, "<p>12 it"));
    }

    #[test]
    fn nothing_fits_where_nothing_was_learnt() {
        assert!(!fits(&Usual::default(), "{}"));
    }

    #[test]
    fn a_page_may_say_that_it_is_a_fallback() {
        let calm = usual(&[r#"{"items":[1],"source":"primary"}"#; 6]);
        let says = |page: &str| calm.is_told_apart_by(&Content::of(page.as_bytes()));

        assert!(says(r#"{"items":[],"source":"fallback"}"#));
        assert!(says(r#"{"items":[1],"source":"primary","degraded":true}"#));
        assert!(!says(r#"{"items":[],"source":"primary"}"#));
    }
}
