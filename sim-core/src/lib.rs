//! The event engine and the simulated cluster.
