//! Where the brackets and separators of a JSON text are.

/// What a byte of a JSON text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Brackets and what separates; with how many arrays and objects are around it. A bracket is inside its own.
    At(usize, u8),
    Other,
}

/// The bytes of a valid JSON text.
fn marks(text: &str) -> impl Iterator<Item = Mark> {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    text.bytes().map(move |byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'[' | b'{' => {
                depth += 1;
                return Mark::At(depth, byte);
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                return Mark::At(depth + 1, byte);
            }
            b',' | b':' => return Mark::At(depth, byte),
            _ => {}
        }
        Mark::Other
    })
}

/// How deep a JSON text is nested.
pub(crate) fn depth_of(text: &str) -> usize {
    let depths = marks(text).map(|mark| match mark {
        Mark::At(depth, _) => depth,
        Mark::Other => 0,
    });
    depths.max().unwrap_or(0)
}

/// The texts between the brackets and commas of an array or an object.
pub(super) fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut began = 1;
    for (at, mark) in marks(text).enumerate() {
        if matches!(mark, Mark::At(1, b',' | b']' | b'}')) {
            parts.push(&text[began..at]);
            began = at + 1;
        }
    }
    if matches!(parts[..], [only] if trimmed(only).is_empty()) {
        parts.clear();
    }
    parts
}

/// Where the colon is behind the name of a member.
pub(super) fn end_of_name(member: &str) -> usize {
    let at = marks(member).position(|mark| mark == Mark::At(0, b':'));
    at.unwrap_or(member.len())
}

/// Without the white space of JSON around it (RFC 8259 §2).
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}
