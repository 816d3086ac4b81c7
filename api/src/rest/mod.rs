//! The API server's REST rules: requests of HTTP in, answers out.

pub mod go_value;
pub mod patch;
pub mod resource;
