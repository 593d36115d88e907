//! Cgroups: `struct cgroup` and its kernfs node.

use aya_ebpf::cty::c_void;

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
