//! The controllers, as state machines without I/O.
