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

/// A count with its noun: `1 fault`, `3 faults`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
