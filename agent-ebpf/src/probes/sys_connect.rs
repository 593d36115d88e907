//! Connects that fail before the socket's state changes: no route, denied by policy, a foreign local address.
//!
//! No socket event shows these, only the system call's return (docs/tools/tcpconnect.md). Attached on request,
//! because `syscalls/sys_enter_connect` and `syscalls/sys_exit_connect` run for every connect() of any
//! protocol. The socket behind the descriptor is found with `bpf_probe_read_kernel`, which
//! lockdown=confidentiality forbids: there this one feature is unavailable, by name.

use agent_common::{
    kind::EventKind,
    loss::Loss,
    record::{Header, Owner, RecordType, Relation, SyscallConnect},
    ring,
    store::Store,
};
use aya_ebpf::{
    EbpfContext as _, Global,
    cty::c_void,
    helpers::{
        bpf_get_current_pid_tgid, bpf_probe_read_kernel, bpf_probe_read_user,
        generated::bpf_ktime_get_boot_ns,
    },
    macros::{map, tracepoint},
    maps::HashMap,
    programs::TracePointContext,
};

use crate::{
    emit, engine, filter,
    kernel::{
        follow, offset, read, read_optional,
        sock::{Tuple, mapped},
        task,
    },
};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;

// Results that are no failure of the connect, or that a state event tells.
const EINTR: i64 = -4;
const EISCONN: i64 = -106;
const EALREADY: i64 = -114;
const EINPROGRESS: i64 = -115;

/// Offsets in the tracepoints' records: fixed for every system call tracepoint of a 64-bit kernel
/// (kernel/trace/trace_syscalls.c): 8 bytes common, the number, then 8 bytes an argument.
const ARGUMENT_0: usize = 16;
const ARGUMENT_1: usize = 24;
const RESULT: usize = 16;

/// A connect() under way.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Pending {
    started_ns: u64,
    address: u64,
    fd: u32,
    /// 1 once a state event told of this connect.
    seen: u32,
}

/// Connects under way, by thread. Not an LRU hash, which would forget one without a word.
#[map]
static PENDING: HashMap<u64, Pending> = HashMap::with_max_entries(64, 0);

/// 1 when these programs are attached: then the state program notes what it has told.
#[unsafe(no_mangle)]
static SYSCALL_CONNECT: Global<u32> = Global::new(0);

/// Called at `CLOSE -> SYN_SENT`: this connect() has its event.
#[inline(always)]
pub fn told() {
    if SYSCALL_CONNECT.load() == 0 {
        return;
    }
    if let Some(pending) = PENDING.get_ptr_mut(bpf_get_current_pid_tgid()) {
        unsafe { (*pending).seen = 1 };
    }
}

#[tracepoint]
pub fn enter_connect(ctx: TracePointContext) -> u32 {
    let pending = unsafe {
        Pending {
            started_ns: bpf_ktime_get_boot_ns(),
            fd: argument(&ctx, ARGUMENT_0) as u32,
            address: argument(&ctx, ARGUMENT_1),
            seen: 0,
        }
    };
    if PENDING.insert(bpf_get_current_pid_tgid(), pending, 0).is_err() {
        emit::lost(Loss::PendingFull);
    }
    0
}

#[tracepoint]
pub fn exit_connect(ctx: TracePointContext) -> u32 {
    let id = bpf_get_current_pid_tgid();
    let Some(pending) = PENDING.get_ptr_mut(id) else {
        return 0;
    };
    let pending = unsafe { *pending };
    let _ = PENDING.remove(id);
    let result = unsafe { argument(&ctx, RESULT) } as i64;
    let failed = result < 0 && !matches!(result, EINTR | EISCONN | EALREADY | EINPROGRESS);
    if failed && pending.seen == 0 {
        let _ = report(&pending, result.unsigned_abs() as u32);
    }
    0
}

#[inline(always)]
unsafe fn argument(ctx: &TracePointContext, at: usize) -> u64 {
    unsafe { ctx.as_ptr().cast::<u8>().add(at).cast::<u64>().read_volatile() }
}

#[inline(always)]
fn report(pending: &Pending, error: u32) -> Option<()> {
    let config = filter::config()?;
    if config.wanted & EventKind::ConnectFailed.bit() == 0 {
        return None;
    }
    let sk = tcp_socket(pending.fd)?;
    let (remote, remote_port) = asked_for(pending.address)?;
    let mut store: Store = unsafe { core::mem::zeroed() };
    task::capture(&mut store.owner, Relation::Owner);
    store.netns = namespace(sk).unwrap_or(0);
    store.cgroup_id = cgroup_id(sk).unwrap_or(0);
    let tuple = Tuple { local: [0, 0], remote, local_port: 0, remote_port, socket_v6: false };
    let socket = filter::evaluate(config, &store, &tuple);
    let kinds = EventKind::ConnectFailed.bit();
    if !filter::has_subscriber(config, socket, kinds) {
        return None;
    }
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let mut entry = emit::reserve_rare::<SyscallConnect>()?;
    let record = entry.as_mut_ptr();
    let head = Header {
        time_ns: now,
        verdict: socket,
        kinds,
        flags: agent_common::record::flag::ACTIVE | agent_common::record::flag::PROCESS_CONTEXT,
        generation: config.generation as u8,
        ..Header::default()
    };
    unsafe {
        engine::header(
            &raw mut (*record).header,
            &head,
            RecordType::SyscallConnect,
            size_of::<SyscallConnect>(),
        );
        (*record).owner = Owner { ..store.owner };
        (*record).remote = core::mem::transmute_copy(&remote);
        (*record).elapsed_ns = now.saturating_sub(pending.started_ns);
        (*record).cookie = probe::<u64>(sk, &offset::SK_COOKIE).unwrap_or(0);
        (*record).cgroup_id = store.cgroup_id;
        (*record).netns = store.netns;
        (*record).error = error;
        (*record).remote_port = remote_port;
        (*record).pad = [0; 6];
    }
    emit::submit(entry, ring::RARE);
    Some(())
}

/// The TCP socket behind a descriptor of the running process.
#[inline(always)]
fn tcp_socket(fd: u32) -> Option<*const c_void> {
    unsafe {
        let files = follow(task::current(), &offset::TASK_FILES)?;
        let table = follow(files, &offset::FILES_FDT)?;
        let limit: u32 = read_optional(table, &offset::FDT_MAX_FDS)?;
        if fd >= limit {
            return None;
        }
        let array: u64 = read(table, &offset::FDT_FD);
        let file: u64 = bpf_probe_read_kernel((array + u64::from(fd) * 8) as *const u64).ok()?;
        let socket: u64 = probe(file as *const c_void, &offset::FILE_PRIVATE_DATA)?;
        let sk: u64 = probe(socket as *const c_void, &offset::SOCKET_SK)?;
        let sk = sk as *const c_void;
        let protocol: u16 = probe(sk, &offset::SK_PROTOCOL)?;
        if protocol == IPPROTO_TCP { Some(sk) } else { None }
    }
}

/// The address that the process asked for; `None` for a family that is not IP.
#[inline(always)]
fn asked_for(address: u64) -> Option<([u64; 2], u16)> {
    unsafe {
        let family: u16 = bpf_probe_read_user(address as *const u16).ok()?;
        let port: u16 = bpf_probe_read_user((address + 2) as *const u16).ok()?;
        let remote = match family {
            AF_INET => mapped(bpf_probe_read_user((address + 4) as *const u32).ok()?),
            AF_INET6 => bpf_probe_read_user((address + 8) as *const [u64; 2]).ok()?,
            _ => return None,
        };
        Some((remote, u16::from_be(port)))
    }
}

#[inline(always)]
fn namespace(sk: *const c_void) -> Option<u32> {
    let net: u64 = probe(sk, &offset::SK_NET)?;
    probe(net as *const c_void, &offset::NET_INUM)
}

#[inline(always)]
fn cgroup_id(sk: *const c_void) -> Option<u64> {
    let cgroup: u64 = probe(sk, &offset::SK_CGROUP)?;
    let node: u64 = probe(cgroup as *const c_void, &offset::CGROUP_KN)?;
    probe(node as *const c_void, &offset::KN_ID)
}

/// Reads a field through a pointer whose type the verifier has lost.
#[inline(always)]
fn probe<T: Copy>(base: *const c_void, field: &Global<u32>) -> Option<T> {
    let at = field.load();
    if at == agent_common::fields::ABSENT || base.is_null() {
        return None;
    }
    unsafe { bpf_probe_read_kernel(base.cast::<u8>().add(at as usize).cast::<T>()) }.ok()
}
