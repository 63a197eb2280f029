//! Printing that survives a reader who has seen enough, as in `brownout fault kinds | head`, and a full disk.
//!
//! The standard library's `println!` panics there. The macros of the same names take its place in this crate.

use std::{
    fmt::Arguments,
    io::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

macro_rules! print {
    ($($text:tt)*) => { $crate::print::out(std::format_args!($($text)*), "") };
}

macro_rules! println {
    () => { $crate::print::out(std::format_args!(""), "\n") };
    ($($text:tt)*) => { $crate::print::out(std::format_args!($($text)*), "\n") };
}

/// Why something could not be printed first.
static FAILED: OnceLock<String> = OnceLock::new();

/// Whether a reader has seen enough.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Writes to standard output; colours only where that is a terminal. What cannot be written is lost: see [`failed`].
pub(crate) fn out(text: Arguments<'_>, end: &str) {
    let mut stdout = anstream::stdout().lock();
    let written = write!(stdout, "{text}{end}").and_then(|()| stdout.flush());
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
        }
        Err(error) => {
            FAILED.get_or_init(|| error.to_string());
        }
    }
}

/// Writes a line to standard error, if that can be written.
pub(crate) fn err(text: Arguments<'_>) {
    let mut stderr = anstream::stderr().lock();
    // There is nobody left to tell.
    writeln!(stderr, "{text}").ok();
}

/// Whether nobody reads standard output any more, as the last write found out; or it cannot be written.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed) || failed().is_some()
}

/// Why not everything was printed, unless it is that nobody reads it.
pub(crate) fn failed() -> Option<&'static str> {
    FAILED.get().map(String::as_str)
}
