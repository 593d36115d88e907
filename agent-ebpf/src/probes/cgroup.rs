//! `tp_btf/cgroup_mkdir`: a new cgroup is filtered as its parent is, and told of with its names, before its
//! first process runs.
//!
//! `void (struct cgroup *cgrp, const char *path)` on every kernel; include/trace/events/cgroup.h. Fires for
//! every hierarchy, and v1 hierarchies use the same small ids. The names take a probe read, which
//! lockdown=confidentiality forbids: so there are two programs that tell, and one apart that inherits.

use agent_common::{
    loss::Loss,
    record::{CgroupMade, Header, RecordType},
    ring,
};
use aya_ebpf::{
    cty::c_void, helpers::generated::bpf_ktime_get_boot_ns, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};

use crate::{emit, engine, filter, kernel::cgroup};

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

#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_named(ctx: BtfTracePointContext) -> i32 {
    let group: *const c_void = ctx.arg(0);
    unsafe { told(group, |record| cgroup::names(group, record)) }
}

#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_unnamed(ctx: BtfTracePointContext) -> i32 {
    unsafe { told(ctx.arg(0), |_| ()) }
}

#[inline(always)]
unsafe fn told(group: *const c_void, names: impl FnOnce(*mut CgroupMade)) -> i32 {
    unsafe {
        if !cgroup::is_v2(group) {
            return 0;
        }
        let (Some(parent), Some(id)) = (cgroup::parent_id(group), cgroup::id(group)) else {
            return 0;
        };
        let Some(mut entry) = emit::reserve_rare::<CgroupMade>() else {
            return 0;
        };
        let record = entry.as_mut_ptr();
        let head = Header { time_ns: bpf_ktime_get_boot_ns(), ..Header::default() };
        engine::header(&raw mut (*record).header, &head, RecordType::CgroupMade, size_of::<CgroupMade>());
        (*record).id = id;
        (*record).parent = parent;
        // Lengths, cut, whole and pad: one word. The names themselves are not cleared.
        const AT: usize = core::mem::offset_of!(CgroupMade, lengths);
        const { assert!(AT.is_multiple_of(8) && AT + 8 == core::mem::offset_of!(CgroupMade, names)) };
        record.cast::<u8>().add(AT).cast::<u64>().write_volatile(0);
        names(record);
        emit::submit(entry, ring::RARE);
    }
    0
}
