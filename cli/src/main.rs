//! The brownout command.

fn main() {}
