//! Tasks: who is running. Only to be asked in process context.

use core::intrinsics::{AtomicOrdering, atomic_xchg};

use agent_common::record::{Owner, Relation};
use aya_ebpf::{
    cty::c_void,
    helpers::{bpf_get_current_uid_gid, generated::bpf_get_current_task_btf},
};

use super::{cgroup, follow, offset, read, read_optional};

/// Where an owner's last word is, with its relation as the lowest byte and its version as the next.
const RELATION_WORD: usize = core::mem::offset_of!(Owner, relation) / 8;
const BEING_WRITTEN: u64 = Owner::BEING_WRITTEN as u64;
const BYTE: u64 = 0xff;
const _: () = assert!(
    core::mem::offset_of!(Owner, relation) % 8 == 0
        && size_of::<Owner>() == 8 * (RELATION_WORD + 1)
        && cfg!(target_endian = "little")
);

/// The running task as a typed pointer.
#[inline(always)]
pub fn current() -> *const c_void {
    unsafe { bpf_get_current_task_btf().cast_const().cast() }
}

/// The thread group of a task, in the initial pid namespace.
///
/// # Safety
///
/// `task` is a typed `struct task_struct *`.
#[inline(always)]
pub unsafe fn tgid(task: *const c_void) -> u32 {
    unsafe { read(task, &offset::TASK_TGID) }
}

/// Writes who the current task is into `owner`, unless another CPU is doing just that. Readers on other CPUs
/// see the relation [`Owner::BEING_WRITTEN`] meanwhile, and another version afterwards.
#[inline(never)]
pub fn capture(owner: &mut Owner, relation: Relation) {
    let word = unsafe { (&raw mut *owner).cast::<u64>().add(RELATION_WORD) };
    let before = unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(word, BEING_WRITTEN) };
    if before & BYTE == BEING_WRITTEN {
        return;
    }
    unsafe { describe(current(), owner) };
    owner.uid = bpf_get_current_uid_gid() as u32;
    let version = ((before >> 8) + 1) & BYTE;
    let after = relation as u64 | version << 8;
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(word, after) };
}

/// Copies an owner that another CPU may be writing: then its relation is unknown in the copy. Word by word:
/// for a plain assignment the compiler calls its own memmove, which goes byte by byte.
///
/// # Safety
///
/// `into` points into a reserved record.
#[inline(always)]
pub unsafe fn copy(into: *mut Owner, from: &Owner) {
    let from = (&raw const *from).cast::<u64>();
    let into = into.cast::<u64>();
    unsafe {
        let before = from.add(RELATION_WORD).read_volatile();
        for word in 0..RELATION_WORD {
            into.add(word).write_volatile(from.add(word).read_volatile());
        }
        let after = from.add(RELATION_WORD).read_volatile();
        let torn = before != after || after & BYTE == BEING_WRITTEN;
        into.add(RELATION_WORD).write_volatile(if torn { 0 } else { after });
    }
}

/// Writes who `task` is into `owner`, but for the uid and the relation.
///
/// # Safety
///
/// As for [`tgid`].
#[inline(always)]
pub unsafe fn describe(task: *const c_void, owner: &mut Owner) {
    unsafe {
        owner.pid = tgid(task);
        owner.tid = read(task, &offset::TASK_PID);
        // Two typed loads instead of bpf_get_current_comm, which costs a fifth of the whole event.
        let comm = task.cast::<u8>().add(offset::TASK_COMM.load() as usize).cast::<u64>();
        let into = owner.comm.as_mut_ptr().cast::<u64>();
        into.write_volatile(comm.read_volatile());
        into.add(1).write_volatile(comm.add(1).read_volatile());
        owner.mntns = mount_namespace(task).unwrap_or(0);
        owner.start_ns = start(task).unwrap_or(0);
    }
}

/// The real uid of another task.
///
/// # Safety
///
/// As for [`tgid`].
#[inline(always)]
pub unsafe fn uid(task: *const c_void) -> Option<u32> {
    unsafe { read_optional(follow(task, &offset::TASK_CRED)?, &offset::CRED_UID) }
}

#[inline(always)]
unsafe fn mount_namespace(task: *const c_void) -> Option<u32> {
    unsafe {
        // An exiting task has given its namespaces back.
        let nsproxy = follow(task, &offset::TASK_NSPROXY)?;
        read_optional(follow(nsproxy, &offset::NSPROXY_MNT_NS)?, &offset::MNT_NS_INUM)
    }
}

/// Whether it is the thread that its process began with.
///
/// # Safety
///
/// As for [`tgid`].
#[inline(always)]
pub unsafe fn is_leader(task: *const c_void) -> bool {
    unsafe { read::<u32>(task, &offset::TASK_PID) == tgid(task) }
}

/// Id of the task's cgroup in the v2 hierarchy.
///
/// # Safety
///
/// As for [`tgid`].
#[inline(always)]
pub unsafe fn cgroup_id(task: *const c_void) -> Option<u64> {
    unsafe { cgroup::id(follow(follow(task, &offset::TASK_CGROUPS)?, &offset::CSS_SET_DEFAULT)?) }
}

/// Inode of the task's network namespace; an exiting one has given it back.
///
/// # Safety
///
/// As for [`tgid`].
#[inline(always)]
pub unsafe fn netns(task: *const c_void) -> Option<u32> {
    unsafe {
        let nsproxy = follow(task, &offset::TASK_NSPROXY)?;
        read_optional(follow(nsproxy, &offset::NSPROXY_NET)?, &offset::NET_INUM)
    }
}

/// When the task's process began, CLOCK_BOOTTIME.
///
/// # Safety
///
/// As for [`tgid`].
#[inline(always)]
pub unsafe fn start(task: *const c_void) -> Option<u64> {
    unsafe { read_optional(follow(task, &offset::TASK_GROUP_LEADER)?, &offset::TASK_START_BOOTTIME) }
}
