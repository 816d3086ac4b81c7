//! The shipped queue against the reference.
