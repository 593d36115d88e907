//! Builds the kernel programs with aya-build. Touches neither the network nor the machine: what is missing
//! is named, `cargo xtask setup` installs it.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, anyhow};
use aya_build::{Package, Toolchain, build_ebpf};

const OBJECT: &str = "sockeye-ebpf";

fn main() -> anyhow::Result<()> {
    let ebpf = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../agent-ebpf");
    let ebpf = ebpf.canonicalize().context("agent-ebpf is not beside agent")?;
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", ebpf.join("../agent-common/src").display());

    let out = PathBuf::from(env::var("OUT_DIR")?).join(OBJECT);
    let skip = env::var("AYA_BUILD_SKIP").is_ok_and(|value| value == "1" || value == "true");
    if skip {
        fs::write(&out, []).with_context(|| format!("cannot write {}", out.display()))?;
    }

    // SAFETY: a build script has one thread at this point. The BPF target needs core built from source
    // and unstable inline assembly in aya-ebpf; set here, the switch reaches that build only, and every
    // crate for the host stays on real stable.
    #[expect(unsafe_code, reason = "see above")]
    unsafe {
        env::set_var("RUSTC_BOOTSTRAP", "1");
    }
    // aya-build turns each line that the inner cargo prints into a warning, shown again at every build.
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "see above")]
    unsafe {
        env::set_var("CARGO_TERM_QUIET", "true");
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".to_owned());
    build_ebpf(
        [Package {
            name: "agent-ebpf",
            root_dir: ebpf.to_str().ok_or_else(|| anyhow!("{} is not UTF-8", ebpf.display()))?,
            ..Default::default()
        }],
        Toolchain::Custom(&toolchain),
    )
    .context("the kernel programs did not build; `cargo xtask setup` installs what it takes")
}
