//! One module for each command.

pub(crate) mod bench;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod input;
pub(crate) mod play;
pub(crate) mod policy;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod test;
