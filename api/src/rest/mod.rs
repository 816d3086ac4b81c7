//! The API server's REST rules: requests of HTTP in, answers out.
//!
//! Below is the typed store ([`crate::store::ApiServer`]), the one truth about names, identities,
//! versions, admission and deletion. Here are documents, as clients see them: decoding with Go's
//! words for errors, defaulting, patches, validation with upstream's words, and the HTTP surface of
//! paths, queries and Status answers. Beside each object that a client wrote its document is kept;
//! what the store or a controller changes later is laid over it when it is read.

mod create;
pub mod decode;
pub mod defaults;
mod delete;
mod encode;
pub mod errors;
pub mod go_value;
pub mod json;
mod machine;
pub mod patch;
mod prepare;
mod read;
pub mod request;
pub mod resource;
mod selector;
pub mod status;
mod sub_resources;
mod update;
pub mod validate;

pub use machine::Rest;
pub use request::{Body, HttpAnswer, HttpRequest, Method};
