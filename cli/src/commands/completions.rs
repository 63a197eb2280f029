//! `brownout completions`: scripts that complete commands in a shell.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{args::Args, exit::Exit};

pub(crate) fn run(shell: Shell) -> Exit {
    let mut script = Vec::new();
    generate(shell, &mut Args::command(), "brownout", &mut script);
    print!("{}", String::from_utf8_lossy(&script));
    Exit::Ok
}
