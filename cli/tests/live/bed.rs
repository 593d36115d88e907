//! The test bed: own network namespaces, remote-controlled processes that make the truth, and the tool that
//! has to report it. Nothing here knows how the tool works: it runs the binary and reads its output.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub mod actor;
pub mod cgroup;
pub mod event;
pub mod kernel;
pub mod netns;
pub mod order;
pub mod pins;
pub mod talk;
pub mod trace;

/// Long enough for an emulated machine under load; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Begins a live test: `None` where it cannot run here.
///
/// Live tests share the kernel, so they run one after the other however many threads there are.
pub fn begin(test: &str) -> Option<MutexGuard<'static, ()>> {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if kernel::refusal_expected() || std::env::var_os("SOCKEYE_BIN").is_none() {
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        skip(test, "not root");
        return None;
    }
    Some(guard)
}

/// Says that a test does not run here; `cargo xtask test` lists it.
pub fn skip(test: &str, reason: &str) {
    let name = test.rsplit_once("::").map_or(test, |(name, _)| name);
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    println!("SKIP {name}: {reason}");
}

/// The path of the function that this is used in.
#[macro_export]
macro_rules! test_name {
    () => {{
        fn f() {}
        std::any::type_name_of_val(&f)
    }};
}

/// First line of a live test: holds the bed for it, or returns.
#[macro_export]
macro_rules! begin {
    () => {
        let Some(_bed) = $crate::bed::begin($crate::test_name!()) else { return };
    };
    ($requirement:expr) => {
        let Some(_bed) = $crate::bed::begin($crate::test_name!()) else { return };
        if let Some(reason) = $crate::bed::kernel::lacks($requirement) {
            $crate::bed::skip($crate::test_name!(), &reason);
            return;
        }
    };
}

/// Waits for a condition, looking often; `None` when patience ends.
pub fn until<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A path that nobody else uses.
pub fn scratch(name: &str) -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir();
    std::fs::create_dir_all(&directory).unwrap();
    directory.join(format!("sockeye-live-{}-{number}-{name}", std::process::id()))
}
