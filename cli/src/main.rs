//! The command `sockeye`.

fn main() {}
