//! `brownout plan`: what experiments would do, without doing it.

use brownout_experiment::render;

use crate::{
    args::PlanArgs,
    commands::run::read_all,
    exit::{Exit, Failure},
};

pub(crate) fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    for (index, file) in read_all(&args.files)?.iter().enumerate() {
        if index > 0 {
            println!();
        }
        print!("{}", render::plan(&file.experiment, &file.name));
    }
    Ok(Exit::Ok)
}
