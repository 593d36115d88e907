//! The pages of this program's own file.
//!
//! To load the programs, and to start at all, takes code that never runs again. Its pages stay mapped, and count as
//! memory of this process, until the kernel wants them. Here they are let go of; what is still needed comes back from
//! the page cache, for a few microseconds a page.

use std::{ffi::c_void, fs, os::unix::ffi::OsStrExt as _, path::Path, ptr};

use rustix::mm::{Advice, madvise};

use crate::host::Roots;

/// A mapping of the program's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    begin: usize,
    bytes: usize,
}

/// Lets go of the pages of code and constants that are mapped now. What cannot be read is left as it is.
pub fn let_go(roots: &Roots) {
    let own = roots.proc.join("self");
    let (Ok(file), Ok(maps)) = (fs::read_link(own.join("exe")), fs::read(own.join("smaps"))) else { return };
    for Mapping { begin, bytes } in unchanged(&maps, &file) {
        let begin = ptr::without_provenance_mut::<c_void>(begin);
        // SAFETY: nobody can write to these pages, and none was written to: their content is the file's, and the kernel
        // reads it again. The file cannot change while it runs (ETXTBSY).
        if let Err(error) = unsafe { madvise(begin, bytes, Advice::LinuxDontNeed) } {
            tracing::debug!(%error, "pages of the program's file stay");
        }
    }
}

/// Mappings of the file that cannot be written and have no page of their own. Those that were relocated at the start
/// are read-only, too, but have such pages.
fn unchanged(maps: &[u8], file: &Path) -> Vec<Mapping> {
    let mut found = Vec::new();
    let mut current = None;
    for line in maps.split(|byte| *byte == b'\n') {
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default();
        if let Some(range) = range(first) {
            let is_private = words.next().is_some_and(|rights| matches!(rights, b"r-xp" | b"r--p"));
            // After offset, device and inode; a path may have spaces.
            let is_own = line.ends_with(file.as_os_str().as_bytes()) && !file.as_os_str().is_empty();
            current = (is_private && is_own).then_some(range);
        } else if first == b"Anonymous:" {
            let none = words.next() == Some(b"0");
            found.extend(current.take().filter(|_| none));
        }
    }
    found
}

/// `7f0000-7f1000`.
fn range(word: &[u8]) -> Option<Mapping> {
    let (begin, end) = std::str::from_utf8(word).ok()?.split_once('-')?;
    let begin = usize::from_str_radix(begin, 16).ok()?;
    let bytes = usize::from_str_radix(end, 16).ok()?.checked_sub(begin)?;
    Some(Mapping { begin, bytes })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Mapping, let_go, unchanged};
    use crate::host::Roots;

    #[test]
    fn only_what_nobody_wrote_to_is_let_go_of() {
        let maps = b"10000-12000 r--p 00000000 fe:00 1  /bin/a program\nRss: 8 kB\nAnonymous:  0 kB\n\
            12000-15000 r-xp 00002000 fe:00 1  /bin/a program\nAnonymous:             0 kB\n\
            15000-16000 r--p 00005000 fe:00 1  /bin/a program\nAnonymous:             4 kB\n\
            16000-17000 rw-p 00006000 fe:00 1  /bin/a program\nAnonymous:             0 kB\n\
            17000-18000 r--p 00000000 fe:00 2  /bin/another\nAnonymous:             0 kB\n\
            18000-19000 rw-p 00000000 00:00 0 \nAnonymous:             0 kB\n";
        let own = unchanged(maps, Path::new("/bin/a program"));
        assert_eq!(
            own,
            [Mapping { begin: 0x10000, bytes: 0x2000 }, Mapping { begin: 0x12000, bytes: 0x3000 }]
        );
    }

    #[test]
    fn this_process_lives_on() {
        let text = String::from("what is on the heap stays");
        let before = CONSTANT.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let_go(&Roots::default());
        assert_eq!(CONSTANT.iter().map(|byte| u64::from(*byte)).sum::<u64>(), before);
        assert_eq!(text, "what is on the heap stays");
    }

    static CONSTANT: [u8; 8192] = [7; 8192];
}
