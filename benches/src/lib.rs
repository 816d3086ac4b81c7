//! Benchmarks of the public surface.
