//! How things look: colour on a terminal, plain text that stays the same in a pipe.

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};

use crate::print;

const BOLD: Style = Style::new().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const RED: Style = AnsiColor::Red.on_default().bold();

/// Says on standard error what went wrong.
pub(crate) fn error(message: &str) {
    print::err(format_args!("{RED}error:{RED:#} {message}"));
}

/// Says on standard error what to look at.
pub(crate) fn warning(message: &str) {
    print::err(format_args!("{YELLOW}warning:{YELLOW:#} {message}"));
}

/// Says something on standard error.
pub(crate) fn note(message: &str) {
    print::err(format_args!("{message}"));
}

/// Empties a terminal, to show something in the place of what it showed; nothing elsewhere.
pub(crate) fn clear() {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() {
        print!("\x1b[2J\x1b[H");
    }
}

/// A line that stands out.
pub(crate) fn heading(text: &str) {
    println!("{BOLD}{text}{BOLD:#}");
}

/// Rows under their headings, in columns.
pub(crate) fn table<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    // One line a row, without trailing blanks.
    for (index, line) in table.lines().enumerate() {
        match index {
            0 => heading(line.trim_end()),
            _ => println!("{}", line.trim_end()),
        }
    }
}

/// What a command line of curl needs besides the call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Curl {
    /// The file with the certificates to trust.
    pub(crate) ca: Option<String>,
    /// Any certificate is taken.
    pub(crate) insecure: bool,
    /// A token is asked for. It is in the variable of that name; a command line never has it in words.
    pub(crate) token: bool,
}

impl Curl {
    /// The command line, up to the body.
    pub(crate) fn line(&self, method: &str, url: &str) -> String {
        let mut line = "curl".to_owned();
        if let Some(ca) = &self.ca {
            line.push_str(" --cacert ");
            line.push_str(&quoted(ca));
        }
        if self.insecure {
            line.push_str(" --insecure");
        }
        if self.token {
            line.push_str(" -H \"Authorization: Bearer $BROWNOUT_TOKEN\"");
        }
        format!("{line} -X {method} {url}")
    }
}

/// A word of a command line, in quotes where a shell would read it otherwise.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A count with its noun: `1 fault`, `3 faults`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_has_what_the_call_needs_and_no_secret() {
        let plain = Curl::default();
        let all = Curl {
            ca: Some("/home/a b/ca.pem".to_owned()),
            insecure: false,
            token: true,
        };

        assert_eq!(
            plain.line("DELETE", "http://h:1/faults"),
            "curl -X DELETE http://h:1/faults"
        );
        assert_eq!(
            all.line("POST", "https://h:1/halt"),
            "curl --cacert '/home/a b/ca.pem' -H \"Authorization: Bearer $BROWNOUT_TOKEN\" -X POST https://h:1/halt"
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
