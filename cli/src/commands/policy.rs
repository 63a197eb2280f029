//! `brownout policy`: what a policy says, with everything it leaves unsaid.

use demo_services::policies;

use crate::{
    args::{PolicyArgs, PolicyCommand},
    exit::{Exit, Failure},
    policy, show,
};

pub(crate) fn run(args: &PolicyArgs) -> Result<Exit, Failure> {
    match &args.command {
        PolicyCommand::Show { policy: word } => print!("{}", policy::find(word)?.to_toml()),
        PolicyCommand::Check { policies: words } => return check(words),
        PolicyCommand::Ls => ls(),
    }
    Ok(Exit::Ok)
}

/// Reads them all and says of each what is wrong with it.
fn check(words: &[String]) -> Result<Exit, Failure> {
    let mut wrong = Vec::new();
    for word in words {
        match policy::find(word) {
            Ok(_) => println!("{word}: good"),
            Err(failure) => wrong.push(failure.message),
        }
    }
    if wrong.is_empty() {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::Usage, wrong.join("\n")))
}

fn ls() {
    let summary = |text: &str| {
        let first = text.lines().next().unwrap_or_default();
        first.trim_start_matches('#').trim().to_owned()
    };
    let rows = policies::built_in()
        .iter()
        .map(|(name, text)| [(*name).to_owned(), summary(text)]);
    show::table(["POLICY", "WHAT IT IS"], rows);
}
