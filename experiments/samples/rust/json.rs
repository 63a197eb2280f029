//! Just enough JSON to tell a whole list from a damaged one. Nesting is bounded.

const NESTING_MAX: u32 = 16;

/// Returns the text of `items`, if `document` is JSON and `items` is a list of objects, as many as `count` says.
pub fn items(document: &str) -> Option<&str> {
    let mut rest = document;
    value(&mut rest, 0)?;
    let body = document.trim().strip_prefix("{\"items\": [")?;
    let (items, count) = body.rsplit_once("], \"count\": ")?;
    let count: usize = count.strip_suffix('}')?.parse().ok()?;
    let start = document.len() - document.trim_start().len() + "{\"items\": ".len();
    let whole = rest.trim().is_empty() && items.matches("{\"id\": ").count() == count;
    whole.then(|| &document[start..start + items.len() + 2])
}

fn value(rest: &mut &str, depth: u32) -> Option<()> {
    *rest = rest.trim_start();
    match rest.chars().next()? {
        _ if depth > NESTING_MAX => None,
        '{' => sequence(rest, '}', |rest| {
            string(rest)?;
            take(rest, ':')?;
            value(rest, depth + 1)
        }),
        '[' => sequence(rest, ']', |rest| value(rest, depth + 1)),
        '"' => string(rest),
        _ => {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            *rest = after;
            (matches!(word, "true" | "false" | "null") || word.parse::<f64>().is_ok()).then_some(())
        }
    }
}

fn sequence(rest: &mut &str, end: char, mut element: impl FnMut(&mut &str) -> Option<()>) -> Option<()> {
    *rest = &rest[1..];
    if take(rest, end).is_some() {
        return Some(());
    }
    loop {
        element(rest)?;
        if take(rest, end).is_some() {
            return Some(());
        }
        take(rest, ',')?;
    }
}

fn string(rest: &mut &str) -> Option<()> {
    take(rest, '"')?;
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                *rest = &rest[at + 1..];
                return Some(());
            }
            0..0x20 => return None,
            _ => {}
        }
    }
    None
}

fn take(rest: &mut &str, wanted: char) -> Option<()> {
    *rest = rest.trim_start().strip_prefix(wanted)?;
    Some(())
}
