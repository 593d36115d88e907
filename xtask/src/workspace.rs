//! Where things are: the workspace, and the cache for what is downloaded.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The root of the workspace that this xtask was built from.
pub fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// A folder below `$XDG_CACHE_HOME/sockeye` (or `~/.cache/sockeye`), made if it is not there.
pub fn cache(name: &str) -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        // The XDG specification: a relative path is to be ignored.
        Some(path) if path.is_absolute() => path,
        _ => env::home_dir().context("no home directory for the cache; set XDG_CACHE_HOME")?.join(".cache"),
    };
    let path = base.join("sockeye").join(name);
    fs::create_dir_all(&path).with_context(|| format!("cannot make the cache folder {}", path.display()))?;
    Ok(path)
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
