//! The start-up snapshot: sockets older than the engine get their record in the kernel.
//!
//! The programs do the work while the iterators are read; what they write is only counted here. Sockets with
//! a descriptor come from `iter/task_file`, in all network namespaces; those without (accept queues, orphans)
//! from `iter/tcp`, one namespace at a time, as far as this process may enter it.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _},
    os::fd::AsFd as _,
};

use agent_common::record;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use zerocopy::FromBytes as _;

use super::plan::Plan;
use crate::{
    bpf::Object,
    host::{Roots, netns},
    probes,
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

/// Takes the snapshot. What fails is left out: sockets then get their record with their next event.
pub(super) fn take(object: &mut Object, plan: &Plan, roots: &Roots) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    if plan.wants(&probes::FILES)
        && let Ok(file) = object.open_iterator(probes::FILES.program)
    {
        let _ = read(file, &mut seen, &mut found);
    }
    if plan.wants(&probes::SOCKETS) {
        // A thread of its own, for it goes from namespace to namespace and does not come back.
        std::thread::scope(|scope| {
            let walk = scope.spawn(|| walk_namespaces(object, roots, &mut seen, &mut found));
            walk.join().expect("reading iterators does not panic");
        });
    }
    found
}

fn walk_namespaces(object: &mut Object, roots: &Roots, seen: &mut HashSet<u64>, found: &mut Found) {
    let mut sockets_here = |found: &mut Found| {
        if let Ok(file) = object.open_iterator(probes::SOCKETS.program) {
            let _ = read(file, seen, found);
        }
    };
    sockets_here(found);
    let own = netns::own(roots).ok();
    for namespace in netns::all(roots).known {
        if Some(namespace.inode) == own {
            continue;
        }
        let entered = File::open(&namespace.path).is_ok_and(|file| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).is_ok()
        });
        if entered {
            sockets_here(found);
        } else {
            found.skipped_namespaces += 1;
        }
    }
}

/// Reads an iterator to its end. The kernel visits an object again when the buffer was full, so records are
/// told apart by cookie.
fn read(mut file: File, seen: &mut HashSet<u64>, found: &mut Found) -> io::Result<()> {
    const RECORD: usize = size_of::<record::Snapshot>();
    let mut buffer = vec![0; 256 * RECORD];
    let mut filled = 0;
    loop {
        let got = match file.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        filled += got;
        let whole = filled / RECORD * RECORD;
        for bytes in buffer[..whole].chunks_exact(RECORD) {
            let Ok(socket) = record::Snapshot::read_from_bytes(bytes) else { continue };
            if seen.insert(socket.socket.cookie) {
                found.sockets += 1;
                found.owned += usize::from(socket.owner.relation != 0);
            }
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}
