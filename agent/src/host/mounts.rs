//! The mounts that this process sees.
//!
//! Read here, not with procfs: that crate gives up on all mounts where one has a name that is not UTF-8, and
//! leaves the kernel's escapes (`\040`) in paths.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The part of the file system that is mounted; for a namespace its type and inode (`net:[4026532208]`).
    pub(super) root: PathBuf,
    /// Where.
    pub(super) point: PathBuf,
    /// The file system's type.
    pub(super) kind: String,
}

/// Reads `<proc>/self/mountinfo`. Lines that are not understood are left out.
pub(super) fn read(proc: &Path) -> io::Result<Vec<Mount>> {
    let lines = fs::read(proc.join("self/mountinfo"))?;
    Ok(lines.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = unescape(fields.nth(3)?);
    let point = unescape(fields.next()?);
    // A variable number of optional fields ends with a dash.
    fields.find(|field| *field == b"-")?;
    Some(Mount { root, point, kind: String::from_utf8_lossy(fields.next()?).into_owned() })
}

/// Turns `\040` and the like into the bytes they stand for.
fn unescape(mut field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    while let [first, rest @ ..] = field {
        let escaped = rest
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(escaped.unwrap_or(*first));
        field = if escaped.is_some() { &rest[3..] } else { rest };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::{Mount, parse, read};
    use crate::host::Roots;

    #[test]
    fn a_line_has_a_root_a_point_and_a_type() {
        let mount = |root: &str, point: &str, kind: &str| {
            Some(Mount { root: root.into(), point: point.into(), kind: kind.into() })
        };
        assert_eq!(
            parse(b"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 master:1 - cgroup2 cgroup2 rw"),
            mount("/", "/sys/fs/cgroup/unified", "cgroup2")
        );
        assert_eq!(
            parse(b"99 23 0:4 net:[4026532208] /run/netns/a\\040b\\134c rw - nsfs nsfs rw"),
            mount("net:[4026532208]", "/run/netns/a b\\c", "nsfs")
        );
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"41 31 0:38 / /x rw,relatime shared:4"), None);
    }

    #[test]
    fn this_process_sees_a_root() {
        let mounts = read(&Roots::default().proc).unwrap();
        assert!(mounts.iter().any(|mount| mount.point.as_os_str() == "/"));
    }
}
