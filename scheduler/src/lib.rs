//! The scheduling framework, its queue and its plugins.
