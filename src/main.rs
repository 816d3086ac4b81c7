//! The `seatrial` program.
fn main() {}
