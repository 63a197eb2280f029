//! What a page says, for snapshots.

/// What a page says: without its markup, and with a line for each block, as a browser shows it.
pub(crate) fn read(page: &str) -> String {
    let body = page.split_once("<body>").unwrap().1;
    let body = body.split_once("<script").map_or(body, |(body, _)| body);
    let mut text = String::new();
    let mut rest = body;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let (tag, after) = after.split_once('>').unwrap();
        let name = tag
            .trim_start_matches('/')
            .split([' ', '\n'])
            .next()
            .unwrap();
        match name {
            "td" | "th" | "dt" | "dd" if tag.starts_with('/') => text.push_str(" | "),
            "code" | "strong" | "span" | "a" | "td" | "th" | "dt" | "dd" | "text" | "rect" => {}
            _ => text.push('\n'),
        }
        // The labels of a chart are drawn, not said.
        rest = match name {
            "svg" if !tag.starts_with('/') => after.split_once("</svg>").unwrap().1,
            _ => after,
        };
    }
    let lines = text.lines().map(str::trim).filter(|it| !it.is_empty());
    let lines: Vec<&str> = lines.collect();
    lines
        .join("\n")
        .replace("&#39;", "'")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}
