//! The start-up snapshot: sockets older than the engine get their record in the kernel.
//!
//! The programs do the work while the iterators are read; what they write is only counted here. Sockets with
//! a descriptor come from `iter/task_file`, in all network namespaces; those without (accept queues, orphans)
//! from `iter/tcp`, one namespace at a time, as far as this process may enter it. A list of all sockets with their
//! counters is the same walk with longer rows.

use std::{collections::HashSet, fs::File, io, os::fd::AsFd as _};

use agent_common::record;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use zerocopy::FromBytes;

use super::iterator;
use crate::{
    bpf::{LoadError, Object},
    host::{Roots, netns},
    probes::{self, Probe},
};

/// What the snapshot found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Sockets.
    pub sockets: usize,
    /// Of these, with an owner.
    pub owned: usize,
    /// Network namespaces that could not be entered; their sockets without a descriptor are not known.
    pub skipped_namespaces: usize,
}

/// Called with each socket's row, decoded and as bytes.
type Visit<'a, R> = dyn FnMut(&R, &[u8]) + Send + 'a;

/// A row of an iterator over sockets.
trait Row: FromBytes {
    fn cookie(&self) -> u64;
}

impl Row for record::Snapshot {
    fn cookie(&self) -> u64 {
        self.socket.cookie
    }
}

impl Row for record::Listed {
    fn cookie(&self) -> u64 {
        self.snapshot.cookie()
    }
}

/// Takes the snapshot. What fails is left out: sockets then get their record with their next event.
pub(super) fn take(object: &mut Object, has: impl Fn(&Probe) -> bool, roots: &Roots) -> Found {
    let mut found = Found::default();
    let skipped_namespaces = visit(object, has, roots, &mut |socket: &record::Snapshot, _| {
        found.sockets += 1;
        found.owned += usize::from(socket.owner.relation != 0);
    });
    Found { skipped_namespaces, ..found }
}

/// Gives each socket's bytes, with its counters: a `record::Listed`.
pub(super) fn list(
    object: &mut Object,
    has: impl Fn(&Probe) -> bool,
    roots: &Roots,
    each: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<usize, LoadError> {
    object.set_listing(true)?;
    let skipped = visit(object, has, roots, &mut |_: &record::Listed, bytes| each(bytes));
    object.set_listing(false)?;
    Ok(skipped)
}

/// Visits every socket once. Gives the number of network namespaces that could not be entered.
fn visit<R: Row>(
    object: &mut Object,
    has: impl Fn(&Probe) -> bool,
    roots: &Roots,
    visit: &mut Visit<'_, R>,
) -> usize {
    let mut seen = HashSet::new();
    if has(&probes::FILES)
        && let Ok(file) = object.open_iterator(probes::FILES.program)
    {
        let _ = read(file, &mut seen, visit);
    }
    if !has(&probes::SOCKETS) {
        return 0;
    }
    // A thread of its own, for it goes from namespace to namespace and does not come back.
    std::thread::scope(|scope| {
        let walk = scope.spawn(|| walk_namespaces(object, roots, &mut seen, visit));
        walk.join().expect("reading iterators does not panic")
    })
}

fn walk_namespaces<R: Row>(
    object: &mut Object,
    roots: &Roots,
    seen: &mut HashSet<u64>,
    visit: &mut Visit<'_, R>,
) -> usize {
    let mut skipped = 0;
    let mut sockets_here = || {
        if let Ok(file) = object.open_iterator(probes::SOCKETS.program) {
            let _ = read(file, seen, visit);
        }
    };
    sockets_here();
    let own = netns::own(roots).ok();
    for namespace in netns::all(roots).known {
        if Some(namespace.inode) == own {
            continue;
        }
        let entered = File::open(&namespace.path).is_ok_and(|file| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).is_ok()
        });
        if entered {
            sockets_here();
        } else {
            skipped += 1;
        }
    }
    skipped
}

/// Reads an iterator to its end. The kernel visits a socket again when the buffer was full, so they are told apart
/// by cookie.
fn read<R: Row>(file: File, seen: &mut HashSet<u64>, visit: &mut Visit<'_, R>) -> io::Result<()> {
    iterator::read(file, |row: R, bytes| {
        if seen.insert(row.cookie()) {
            visit(&row, bytes);
        }
    })
}
