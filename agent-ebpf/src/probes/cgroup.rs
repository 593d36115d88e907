//! `tp_btf/cgroup_mkdir`: a new cgroup is filtered as its parent is, before its first process runs.
//!
//! `void (struct cgroup *cgrp, const char *path)` on every kernel; include/trace/events/cgroup.h. Fires for
//! every hierarchy, and v1 hierarchies use the same small ids.

use agent_common::loss::Loss;
use aya_ebpf::{cty::c_void, macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{emit, filter, kernel::cgroup};

#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let group: *const c_void = ctx.arg(0);
    unsafe {
        if cgroup::is_v2(group)
            && let (Some(parent), Some(child)) = (cgroup::parent_id(group), cgroup::id(group))
            && !filter::inherit_cgroup(parent, child)
        {
            emit::lost(Loss::CgroupFull);
        }
    }
    0
}
