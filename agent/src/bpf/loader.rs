//! aya's loader without the kernel's types.
//!
//! `EbpfLoader::new()` reads and parses `/sys/kernel/btf/vmlinux`, half of the whole start-up time, for
//! relocations that these programs do not have (their offsets are globals). It cannot be told not to, and goes
//! on without when the file is not there: so it is made by a thread for which it is not there.

use std::thread::JoinHandle;

use aya::EbpfLoader;
use rustix::{
    process::chroot,
    thread::{UnshareFlags, unshare_unsafe},
};

/// Any directory without that path below it, that exists wherever the path does.
const ELSEWHERE: &str = "/sys/kernel/btf";

/// A loader that is being made.
pub struct Loader(JoinHandle<EbpfLoader<'static>>);

impl Loader {
    /// Starts to make it.
    pub fn start() -> Self {
        Self(std::thread::spawn(|| {
            // SAFETY: of this thread alone, and it shares no descriptors less than before.
            let alone = unsafe { unshare_unsafe(UnshareFlags::FS) };
            // Without CAP_SYS_CHROOT it takes longer, and comes to the same.
            if alone.is_ok()
                && let Err(error) = chroot(ELSEWHERE)
            {
                tracing::debug!(%error, "aya reads the kernel's types");
            }
            let mut loader = EbpfLoader::new();
            loader.btf(None);
            loader
        }))
    }

    pub(super) fn wait(self) -> EbpfLoader<'static> {
        self.0.join().expect("making a loader does not panic")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Loader;
    use crate::host::btf::{Btf, Kept, excerpt};

    #[test]
    fn aya_reads_an_excerpt_of_the_kernels_types() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/6.12.btf");
        let kept = [Kept::Tracepoint("inet_sock_set_state".to_owned())];
        let bytes = excerpt(&Btf::from_file(&fixture).unwrap(), &kept);
        aya::Btf::parse(&bytes, aya::Endianness::default()).unwrap();
    }

    #[test]
    fn a_loader_is_made_with_and_without_the_right_to_change_the_root_folder() {
        let _ = Loader::start().wait();
        assert!(std::env::current_dir().is_ok(), "other threads keep their folders");
    }
}
