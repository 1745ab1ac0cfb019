//! Learn containers by running them: labs, a container runtime, a simulator.

fn main() {}
