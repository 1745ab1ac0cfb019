//! Set-up, build, test, parity and benchmarks.

fn main() {}
