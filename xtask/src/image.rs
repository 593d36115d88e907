//! `cargo xtask image`: the container image as an OCI archive, from the static binary, without a container engine.
//! The same input gives the same bytes, and so the same digest. The Dockerfile makes the same content from
//! `cargo xtask image --rootfs`.

mod archive;
mod config;
mod sbom;
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};

pub use self::{
    archive::{Archive, archive},
    config::Config,
    tree::Tree,
};
use crate::{build, setup, setup::Scope, workspace};

/// More is no image that every node of a cluster fetches.
const LIMIT_BYTES: usize = 20 << 20;

/// Where the binary is in the image.
pub const BINARY: &str = "/usr/bin/sockeye";
/// Where the list of what it is made of is.
const SBOM: &str = "/usr/share/sockeye/sbom.cdx.json";
/// Where the licences are.
const LICENSES: &str = "/usr/share/licenses/sockeye";

#[derive(clap::Args)]
pub struct Arguments {
    /// The image's name
    #[arg(long, default_value_t = reference(), value_name = "NAME:TAG")]
    tag: String,
    /// The archive's file (default: target/image/sockeye-<version>-<architecture>.tar)
    #[arg(long, value_name = "FILE", conflicts_with = "rootfs")]
    output: Option<PathBuf>,
    /// Lay the image's content out in this folder instead, as the Dockerfile wants it
    #[arg(long, value_name = "FOLDER")]
    rootfs: Option<PathBuf>,
}

pub fn main(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(folder) = &arguments.rootfs {
        root(&build::sockeye()?)?.0.write(folder)?;
        println!("{}", folder.display());
        return Ok(ExitCode::SUCCESS);
    }
    let image = Image::build(&arguments.tag)?;
    let path = arguments.output.clone().unwrap_or_else(|| image.default_path());
    let folder = path.parent().context("the output is no file")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(&path, &image.archive.bytes).with_context(|| format!("cannot write {}", path.display()))?;
    let sbom = path.with_extension("cdx.json");
    fs::write(&sbom, &image.sbom).with_context(|| format!("cannot write {}", sbom.display()))?;
    println!("{}", path.display());
    let megabytes = image.archive.bytes.len() as f64 / f64::from(1 << 20);
    eprintln!("{}, {megabytes:.1} MiB, digest {}", arguments.tag, image.archive.digest);
    Ok(ExitCode::SUCCESS)
}

/// Sockeye's image.
pub struct Image {
    /// The archive.
    pub archive: Archive,
    /// What the binary is made of.
    sbom: Vec<u8>,
}

impl Image {
    /// Builds the binary and its image.
    pub fn build(reference: &str) -> Result<Self> {
        Self::of(&build::sockeye()?, reference)
    }

    /// The image of a binary that was built already.
    pub fn of(sockeye: &Path, reference: &str) -> Result<Self> {
        let (tree, sbom) = root(sockeye)?;
        let archive = archive(reference, &Config::sockeye(env!("CARGO_PKG_VERSION")), &tree)?;
        let (has, may) = (archive.unpacked_bytes, LIMIT_BYTES);
        ensure!(has <= may, "the image has {has} bytes unpacked; more than {may} is too much for every node");
        Ok(Self { archive, sbom })
    }

    fn default_path(&self) -> PathBuf {
        let (version, architecture) = (env!("CARGO_PKG_VERSION"), config::architecture());
        workspace::target().join("image").join(format!("sockeye-{version}-{architecture}.tar"))
    }
}

/// The image's name where nobody gave one.
fn reference() -> String {
    format!("sockeye:{}", env!("CARGO_PKG_VERSION"))
}

/// The image's content: the binary, what it is made of, and under which licences.
fn root(sockeye: &Path) -> Result<(Tree, Vec<u8>)> {
    let target = setup::ensure(Scope::Build)?;
    let sbom = sbom::of_package("cli", &target.triple)?;
    let mut tree = Tree::default();
    tree.file(BINARY, 0o755, read(sockeye)?);
    tree.file(SBOM, 0o644, sbom.clone());
    for name in ["LICENSE", "LICENSE-GPL-2.0", "LICENSE-MIT"] {
        tree.file(&format!("{LICENSES}/{name}"), 0o644, read(&workspace::root().join(name))?);
    }
    Ok((tree, sbom))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
