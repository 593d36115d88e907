//! The files of an image, and the layer that they make: sorted, owned by root, without times, so that the same
//! files are the same bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use tar::{Builder, EntryType, Header};

/// Files by their path in the image, without the leading slash.
#[derive(Default)]
pub struct Tree {
    files: BTreeMap<String, File>,
}

struct File {
    mode: u32,
    bytes: Vec<u8>,
}

impl Tree {
    /// Adds a file; the folders above it come by themselves.
    pub fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        self.files.insert(path.trim_start_matches('/').to_owned(), File { mode, bytes });
    }

    /// The layer: a tar archive.
    pub fn layer(&self) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for folder in self.folders() {
            append(&mut tar, &format!("{folder}/"), EntryType::Directory, 0o755, &[])?;
        }
        for (path, File { mode, bytes }) in &self.files {
            append(&mut tar, path, EntryType::Regular, *mode, bytes)?;
        }
        tar.into_inner().context("cannot finish a layer")
    }

    /// Writes the files into a folder.
    pub fn write(&self, into: &Path) -> Result<()> {
        for (path, File { mode, bytes }) in &self.files {
            let path = into.join(path);
            let folder = path.parent().context("a file without a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
        }
        Ok(())
    }

    /// Each folder once, those above first.
    fn folders(&self) -> BTreeSet<&str> {
        let above = |path: &'_ str| {
            let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
            slashes
        };
        self.files.keys().flat_map(|path| above(path).into_iter().map(|at| &path[..at])).collect()
    }
}

/// Adds an entry as all entries are here: root's, and of no time.
pub fn append(
    tar: &mut Builder<Vec<u8>>,
    path: &str,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes).with_context(|| format!("cannot put {path} into an archive"))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::Tree;

    fn tree(order: &[&str]) -> Tree {
        let mut tree = Tree::default();
        order.iter().for_each(|path| tree.file(path, 0o755, path.as_bytes().to_vec()));
        tree
    }

    #[test]
    fn the_order_in_which_files_come_makes_no_difference() {
        let one = tree(&["/usr/bin/a", "/etc/b"]).layer().unwrap();
        let other = tree(&["/etc/b", "/usr/bin/a"]).layer().unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_nobody_but_root_owns_or_writes() {
        let layer = tree(&["/usr/bin/a", "/usr/b"]).layer().unwrap();
        let mut archive = tar::Archive::new(&layer[..]);
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header().clone();
            let (uid, gid, time) = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
            assert_eq!((uid, gid, time, header.mode().unwrap() & 0o022), (0, 0, 0, 0));
            let name = entry.path().unwrap().display().to_string();
            if header.entry_type().is_file() {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                assert_eq!(text, format!("/{name}"));
            }
            names.push(name);
        }
        assert_eq!(names, ["usr/", "usr/bin/", "usr/b", "usr/bin/a"]);
    }
}
