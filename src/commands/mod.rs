//! One module for each command.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod inflate;
pub(crate) mod input;
pub(crate) mod parity;
pub(crate) mod play;
pub(crate) mod policy;
mod recordings;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod schema;
pub(crate) mod sweep;
pub(crate) mod test;
