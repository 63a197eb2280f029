//! Printing that survives a reader who has seen enough, as in `brownout fault kinds | head`.
//!
//! The standard library's `println!` panics there. The macros of the same names take its place in this crate.

use std::{
    fmt::Arguments,
    io::{self, Write},
};

macro_rules! print {
    ($($text:tt)*) => { $crate::print::out(std::format_args!($($text)*), "") };
}

macro_rules! println {
    () => { $crate::print::out(std::format_args!(""), "\n") };
    ($($text:tt)*) => { $crate::print::out(std::format_args!($($text)*), "\n") };
}

/// Writes to standard output; colours only where that is a terminal.
///
/// # Panics
/// As the standard library's macros, when it cannot be written for another reason than that nobody reads it.
pub(crate) fn out(text: Arguments<'_>, end: &str) {
    let mut stdout = anstream::stdout().lock();
    let written = write!(stdout, "{text}{end}").and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        panic!("could not print: {error}");
    }
}
