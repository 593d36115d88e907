//! The resolver against the types of real kernels, against btf-rs, and against types made at random.

mod excerpt;
mod judge;
mod kernels;
mod random;
mod writer;

use std::path::PathBuf;

use super::Btf;

/// Kernels of which a reduced BTF is kept with the tests.
const KERNELS: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "7.2"];

fn fixture_path(kernel: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", &format!("{kernel}.btf")].iter().collect()
}

fn fixture(kernel: &str) -> Btf {
    Btf::from_file(&fixture_path(kernel)).unwrap()
}
