//! `brownout schema`: the forms of files, for editors and other programs.

use brownout_experiment::{audit::audit_schema, experiment, run::result_schema};

use crate::{
    args::{SchemaArgs, SchemaOf},
    exit::{Exit, Failure},
};

pub(crate) fn run(args: &SchemaArgs) -> Result<Exit, Failure> {
    let schema = match args.of {
        SchemaOf::Experiment => experiment::schema(),
        SchemaOf::Result => result_schema(),
        SchemaOf::Audit => audit_schema(),
    };
    let text = serde_json::to_string_pretty(&schema);
    println!(
        "{}",
        text.map_err(|error| Failure::new(Exit::Internal, error))?
    );
    Ok(Exit::Ok)
}
