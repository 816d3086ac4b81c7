//! What to play: the scenario file, its checks, and the library of ready scenarios.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

mod expect;
mod experiment;
mod file;
pub mod inflate;
mod load;
mod machines;
pub mod recordings;
mod schema;

pub use expect::{Expectation, evaluate};
pub use experiment::{Cell, Experiment, Factor, Level, read_experiment};
pub use file::scheduler::read_scheduler_configuration;
pub use file::schema;
pub use load::change::Change;
pub use load::{Files, Loaded, Request, load};
