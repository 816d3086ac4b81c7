//! The driver of virtual time: the event [`engine`], which knows no Kubernetes.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::iter_over_hash_type)]

pub mod engine;
