//! Where a head ends, found without looking at a byte twice.

use std::sync::LazyLock;

use memchr::memmem;

use super::HeadLimits;

/// Empty lines that are skipped before a request (RFC 9112 §2.2).
const EMPTY_LINES_MAX: u8 = 8;

/// Built once: a head is searched in fewer instructions than the searcher takes to build.
static END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\n\r\n"));

/// How far the search for a head's end has come. One for each head; the input begins with the same bytes each time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HeadSearch {
    /// Bytes of empty lines before the head.
    skipped: usize,
    empty_lines: u8,
    /// Bytes of the head that were looked at.
    looked: usize,
}

/// What stands before a request.
pub(super) enum Before {
    /// All of the input is empty lines.
    Nothing,
    /// The head begins here.
    Head(usize),
    /// An empty line without its CR.
    BareLf,
    /// A CR without its LF.
    BareCr,
    TooManyLines,
}

/// Where the head ends, if it does.
pub(super) enum Found {
    /// Its empty line ends here, or earlier.
    End(usize),
    NotYet,
    TooLong,
}

impl HeadSearch {
    /// Whether nothing of the head was looked at yet.
    pub(super) fn is_new(&self) -> bool {
        self.looked == 0
    }

    /// Skips the empty lines before a request.
    pub(super) fn skip_empty_lines(&mut self, input: &[u8]) -> Before {
        if self.looked > 0 {
            return Before::Head(self.skipped);
        }
        loop {
            match input.get(self.skipped..).unwrap_or_default() {
                [] | [b'\r'] => return Before::Nothing,
                [b'\r', b'\n', ..] if self.empty_lines == EMPTY_LINES_MAX => {
                    return Before::TooManyLines;
                }
                [b'\r', b'\n', ..] => {
                    self.skipped += 2;
                    self.empty_lines += 1;
                }
                [b'\r', ..] => return Before::BareCr,
                [b'\n', ..] => return Before::BareLf,
                [_, ..] => return Before::Head(self.skipped),
            }
        }
    }

    /// Looks for the end of the head that `head` begins with.
    ///
    /// An empty line may end with a bare LF, so that such a head is refused or mended rather than waited for.
    pub(super) fn end_of(&mut self, head: &[u8], limits: &HeadLimits) -> Found {
        let window = &head[..head.len().min(limits.bytes)];
        // Both texts are at most three bytes long: two of those that were looked at may belong to one.
        let from = self.looked.saturating_sub(2);
        let new = window.get(from..).unwrap_or_default();
        self.looked = window.len();
        if let Some(at) = END.find(new) {
            return Found::End(from + at + 3);
        }
        if let Some(at) = memmem::find(new, b"\n\n") {
            return Found::End(from + at + 2);
        }
        if window.len() == limits.bytes {
            return Found::TooLong;
        }
        Found::NotYet
    }
}
