//! An initramfs: a cpio archive ("newc") built in memory, so that no staging folder, no root and no cpio
//! program is needed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const REGULAR: u32 = 0o100_000;
const NODE: u32 = 0o020_600;

/// The archive. Paths are the guest's, absolute; parents are made as needed.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    /// What is there already: the kernel would take a second entry of the same name for another file.
    paths: BTreeSet<String>,
}

impl Archive {
    /// A folder and its parents.
    pub fn folder(&mut self, path: &str) -> Result<()> {
        let path = path.trim_end_matches('/');
        if path.is_empty() || self.paths.contains(path) {
            return Ok(());
        }
        self.entry(path, FOLDER, (0, 0), &[])
    }

    /// A file with contents.
    pub fn file(&mut self, path: &str, permissions: u32, contents: &[u8]) -> Result<()> {
        self.entry(path, REGULAR | permissions, (0, 0), contents)
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.entry(path, LINK, (0, 0), target.as_bytes())
    }

    /// A character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) -> Result<()> {
        self.entry(path, NODE, (major, minor), &[])
    }

    /// Whether the path is there already.
    pub fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// A file of this machine or a folder with all that is in it. Symbolic links are followed.
    pub fn copy(&mut self, from: &Path, to: &str) -> Result<()> {
        let metadata = fs::metadata(from).with_context(|| format!("cannot find {}", from.display()))?;
        if !metadata.is_dir() {
            use std::os::unix::fs::PermissionsExt as _;
            let contents = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
            return self.file(to, metadata.permissions().mode() & 0o777, &contents);
        }
        self.folder(to)?;
        let mut children: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
            children.push(entry?.path());
        }
        children.sort();
        for child in children {
            let name = child.file_name().and_then(|name| name.to_str());
            let name = name.with_context(|| format!("{} is not UTF-8", child.display()))?;
            self.copy(&child, &format!("{}/{name}", to.trim_end_matches('/')))?;
        }
        Ok(())
    }

    /// The archive's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.write("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), contents: &[u8]) -> Result<()> {
        if !path.starts_with('/') {
            bail!("{path}: a path in the guest begins with /");
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent)?;
        }
        if !self.paths.insert(path.to_owned()) {
            bail!("{path} is in the guest twice");
        }
        self.write(path.trim_start_matches('/'), mode, device, contents);
        Ok(())
    }

    fn write(&mut self, name: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        let inode = self.paths.len();
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        let (size, name_size) = (contents.len(), name.len() + 1);
        let header = format!(
            "070701{inode:08x}{mode:08x}{owner:08x}{owner:08x}{links:08x}{time:08x}{size:08x}\
             {owner:08x}{owner:08x}{major:08x}{minor:08x}{name_size:08x}{checksum:08x}",
            owner = 0,
            time = 0,
            major = device.0,
            minor = device.1,
            checksum = 0,
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn parents_are_made_once_and_every_part_is_aligned() {
        let mut archive = Archive::default();
        archive.file("/a/b/one", 0o755, b"12345").unwrap();
        archive.file("/a/b/two", 0o644, b"").unwrap();
        archive.link("/a/three", "b/one").unwrap();
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        // a, a/b, one, two, three, and the trailer.
        assert_eq!(text.matches("070701").count(), 6);
        assert!(text.contains("TRAILER!!!"));
    }

    #[test]
    fn a_header_has_thirteen_fields_of_eight_digits() {
        let mut archive = Archive::default();
        archive.device("/dev", 5, 1).unwrap();
        let bytes = archive.finish();
        assert_eq!(&bytes[..6], b"070701");
        assert!(bytes[6..110].iter().all(u8::is_ascii_hexdigit));
        assert_eq!(&bytes[110..114], b"dev\0");
    }

    #[test]
    fn the_same_path_twice_and_a_relative_path_are_errors() {
        let mut archive = Archive::default();
        archive.file("/a", 0o644, b"").unwrap();
        assert!(archive.file("/a", 0o644, b"").is_err());
        assert!(archive.file("b", 0o644, b"").is_err());
    }
}
