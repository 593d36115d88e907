//! The project's own tool: `cargo xtask`.

fn main() {}
