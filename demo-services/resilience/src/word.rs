//! Words: the values of an enum as they stand in files, metrics and spans.

/// An enum whose every value has one word.
pub(crate) trait Word: Copy + PartialEq + 'static {
    /// All words with their values.
    const WORDS: &'static [(&'static str, Self)];

    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, value)| *value == self)
            .map(|(word, _)| *word)
            .expect("every value has a word")
    }
}
