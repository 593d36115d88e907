//! Cgroups: `struct cgroup` and its kernfs node.

use agent_common::record::{CgroupMade, LEVEL_BYTES, LEVELS};
use aya_ebpf::{
    cty::c_void,
    helpers::{bpf_probe_read_kernel, generated::bpf_probe_read_kernel_str},
};

use super::{follow, offset, read_optional};

/// Id of a cgroup: the id of its kernfs node, the inode of its directory. `None` where BTF has no such field.
///
/// # Safety
///
/// `cgroup` is a typed `struct cgroup *`.
#[inline(always)]
pub unsafe fn id(cgroup: *const c_void) -> Option<u64> {
    unsafe { read_optional(follow(cgroup, &offset::CGROUP_KN)?, &offset::KN_ID) }
}

/// Id of the parent cgroup; `None` for the root.
///
/// # Safety
///
/// As for [`id`].
#[inline(always)]
pub unsafe fn parent_id(cgroup: *const c_void) -> Option<u64> {
    unsafe {
        let node = follow(cgroup, &offset::CGROUP_KN)?;
        read_optional(follow(node, &offset::KN_PARENT)?, &offset::KN_ID)
    }
}

/// Whether the cgroup is of the v2 hierarchy: v1 hierarchies fire the same tracepoints and use the same ids.
///
/// # Safety
///
/// As for [`id`].
#[inline(always)]
pub unsafe fn is_v2(cgroup: *const c_void) -> bool {
    unsafe {
        let Some(root) = follow(cgroup, &offset::CGROUP_ROOT) else {
            return false;
        };
        read_optional::<i32>(root, &offset::CGROUP_HIERARCHY) == Some(0)
    }
}

/// Writes the names from the cgroup's own upward. A name is a pointer to bytes, which no typed load reads: this
/// is the one use of the cgroup's node that lockdown=confidentiality forbids.
///
/// # Safety
///
/// As for [`id`]; `into` points into a reserved record, whose lengths are 0.
#[inline(always)]
pub unsafe fn names(cgroup: *const c_void, into: *mut CgroupMade) {
    const { assert!(LEVELS == 5) };
    unsafe {
        let Some(node) = follow(cgroup, &offset::CGROUP_KN) else { return };
        // No loop: the verifier would lose sight of what the node is.
        let Some(node) = name::<0>(node, into) else { return };
        let Some(node) = name::<1>(node, into) else { return };
        let Some(node) = name::<2>(node, into) else { return };
        let Some(node) = name::<3>(node, into) else { return };
        let Some(node) = name::<4>(node, into) else { return };
        if follow(node, &offset::KN_PARENT).is_none() {
            (*into).whole = 1;
        }
    }
}

/// Writes the name of a node and gives its parent; `None` at the root, which has no name, or where reading failed.
#[inline(always)]
unsafe fn name<const LEVEL: usize>(node: *const c_void, into: *mut CgroupMade) -> Option<*const c_void> {
    unsafe {
        let Some(parent) = follow(node, &offset::KN_PARENT) else {
            (*into).whole = 1;
            return None;
        };
        let name: u64 = read_optional(node, &offset::KN_NAME)?;
        let slot = (&raw mut (*into).names[LEVEL]).cast();
        let written = bpf_probe_read_kernel_str(slot, LEVEL_BYTES as u32, name as *const c_void);
        if written <= 1 || written > LEVEL_BYTES as i64 {
            return None;
        }
        (*into).lengths[LEVEL] = (written - 1) as u8;
        // The helper says the same of a name that just fits.
        let behind = (name + LEVEL_BYTES as u64 - 1) as *const u8;
        if written == LEVEL_BYTES as i64 && bpf_probe_read_kernel(behind) != Ok(0) {
            (*into).cut |= 1 << LEVEL;
        }
        Some(parent)
    }
}
