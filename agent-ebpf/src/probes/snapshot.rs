//! Iterators: sockets that are older than the programs get their record, their owner and their state;
//! processes that are older are told of with their places.
//!
//! `iter/task_file` visits every descriptor of every task of the opener's pid namespace, in all network
//! namespaces; `iter/tcp` every socket of the opener's network namespace, also those without a descriptor (in
//! an accept queue, orphans); `iter/task` every thread of the opener's pid namespace. When the reader's buffer
//! is full the kernel runs a program again for the same object, so the first two only fill in what is missing,
//! and the reader of the third tells processes apart.
//!
//! The start-up snapshot reads no counters: with many sockets it is what the start takes longest for. Whoever wants
//! a list sets [`LISTING`] while it reads, and gets longer rows.

use core::mem::MaybeUninit;

use agent_common::{
    record::{Counters, Header, Listed, RecordType, Relation, Snapshot, Socket, TaskPlace, flag},
    state::TcpState,
    store::Store,
};
use aya_ebpf::{
    cty::c_void,
    helpers::{
        bpf_get_smp_processor_id,
        generated::{bpf_ktime_get_boot_ns, bpf_seq_write, bpf_sock_from_file},
    },
    macros::map,
    maps::Array,
};

use crate::{
    filter,
    kernel::{follow, offset, sock::Tcp, task},
    store,
};

/// 1 = the reader wants rows of [`Listed`], else of [`Snapshot`]. Only the engine's thread reads iterators, one at a
/// time.
#[map]
static LISTING: Array<u32> = Array::with_max_entries(1, 0);

/// `struct bpf_iter__task_file` (kernel/bpf/task_iter.c): each member takes 8 bytes on every kernel.
#[repr(C)]
pub struct TaskFile {
    meta: *mut Meta,
    task: *mut c_void,
    fd: u64,
    file: *mut c_void,
}

/// `struct bpf_iter__tcp` (net/ipv4/tcp_ipv4.c).
#[repr(C)]
pub struct TcpSocket {
    meta: *mut Meta,
    sk_common: *mut c_void,
    uid: u64,
}

/// `struct bpf_iter__task` (kernel/bpf/task_iter.c).
#[repr(C)]
pub struct Task {
    meta: *mut Meta,
    task: *mut c_void,
}

/// `struct bpf_iter_meta` (include/linux/bpf.h).
#[repr(C)]
struct Meta {
    seq: *mut c_void,
    session_id: u64,
    seq_num: u64,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn snapshot_files(ctx: *const TaskFile) -> i32 {
    unsafe {
        let ctx_task = (*ctx).task;
        let file = (*ctx).file;
        if ctx_task.is_null() || file.is_null() {
            return 0;
        }
        let socket: *const c_void = bpf_sock_from_file(file.cast()).cast_const().cast();
        if socket.is_null() {
            return 0;
        }
        let Some(sk) = follow(socket, &offset::SOCKET_SK) else {
            return 0;
        };
        let Some(tcp) = Tcp::new(sk.cast_mut()) else {
            return 0;
        };
        let Some(store) = found(&tcp) else {
            return 0;
        };
        if store.owner.relation == Relation::Unknown as u8 {
            let leader: *const c_void = follow(ctx_task, &offset::TASK_GROUP_LEADER).unwrap_or(ctx_task);
            task::describe(leader, &mut store.owner);
            store.owner.uid = task::uid(leader).unwrap_or(u32::MAX);
            store.owner.relation = Relation::Owner as u8;
            store.generation = 0;
        }
        report((*ctx).meta, &tcp, store)
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn snapshot_sockets(ctx: *const TcpSocket) -> i32 {
    unsafe {
        let sk = (*ctx).sk_common;
        if sk.is_null() {
            return 0;
        }
        let Some(tcp) = Tcp::new(sk) else {
            return 0;
        };
        let Some(store) = found(&tcp) else {
            return 0;
        };
        report((*ctx).meta, &tcp, store)
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn snapshot_tasks(ctx: *const Task) -> i32 {
    unsafe {
        let thread = (*ctx).task;
        if thread.is_null() || !task::is_leader(thread) {
            return 0;
        }
        let place = TaskPlace {
            start_ns: task::start(thread).unwrap_or(0),
            cgroup_id: task::cgroup_id(thread).unwrap_or(0),
            pid: task::tgid(thread),
            netns: task::netns(thread).unwrap_or(0),
        };
        write((*ctx).meta, &place);
    }
    0
}

/// The socket's record, made if the socket is older than the programs.
#[inline(always)]
unsafe fn found<'a>(tcp: &Tcp) -> Option<&'a mut Store> {
    let state = tcp.state();
    if state == TcpState::Close.number() {
        // Never connected, or done: its next event begins a life of its own.
        return None;
    }
    let store = unsafe { store::get_or_create(tcp.sk) }?;
    if store.state == 0 {
        store.state = state;
        store.netns = tcp.netns();
        store.cgroup_id = tcp.cgroup_id();
        store.flags = flag::SYNTHETIC;
        if state != TcpState::Listen.number() {
            store.flags |= flag::START_UNKNOWN | flag::ACCEPT_SENT;
        }
    }
    Some(store)
}

/// Writes the socket to the iterator's reader. 1 asks the kernel to come again when the buffer is full.
#[inline(always)]
unsafe fn report(meta: *mut Meta, tcp: &Tcp, store: &mut Store) -> i32 {
    let Some(config) = filter::config() else {
        return 0;
    };
    let tuple = tcp.tuple();
    if store.cookie == 0 {
        store.cookie = tcp.cookie();
    }
    let verdict = filter::socket_verdict(config, store, &tuple);
    let state = tcp.state();
    // The queue's numbers in the record of truth are of the time when the connection came.
    let mut flags = store.flags & !flag::BACKLOG;
    if tuple.socket_v6 {
        flags |= flag::SOCKET_V6;
    }
    let is_listing = LISTING.get(0).is_some_and(|listing| *listing != 0);
    let mut counters = MaybeUninit::uninit();
    let counters = blank(&mut counters);
    let mut queue = (0, 0);
    if is_listing && state == TcpState::Listen.number() {
        if let Some(now) = tcp.backlog() {
            queue = now;
            flags |= flag::BACKLOG;
        }
    } else if is_listing {
        if tcp.counters(counters).is_some() {
            flags |= flag::COUNTERS;
        }
        if tcp.fin_received() {
            flags |= flag::FIN_RECEIVED;
        }
    }
    let (kind, len) = if is_listing {
        (RecordType::Listed, size_of::<Listed>())
    } else {
        (RecordType::Snapshot, size_of::<Snapshot>())
    };
    let record = Snapshot {
        header: Header {
            time_ns: unsafe { bpf_ktime_get_boot_ns() },
            verdict,
            kinds: 0,
            flags,
            cpu: unsafe { bpf_get_smp_processor_id() },
            len: len as u16,
            record: kind as u8,
            generation: config.generation as u8,
        },
        socket: Socket {
            cookie: store.cookie,
            cgroup_id: store.cgroup_id,
            start_ns: store.start_ns,
            established_ns: store.established_ns,
            old_since_ns: store.since_ns,
            local: unsafe { core::mem::transmute_copy(&tuple.local) },
            remote: unsafe { core::mem::transmute_copy(&tuple.remote) },
            netns: store.netns,
            local_port: tuple.local_port,
            remote_port: tuple.remote_port,
            backlog: queue.0,
            max_backlog: queue.1,
            old_state: state,
            new_state: state,
            stored_state: store.state,
            ..Socket::default()
        },
        owner: store.owner,
    };
    unsafe {
        write(meta, &record);
        if is_listing {
            // A row in two pieces stays a row: where the second does not fit, the kernel takes back the first.
            write(meta, &*counters);
        }
    }
    0
}

/// `Counters::default()` by words: for so many zeros the compiler calls memset, which goes byte by byte.
#[inline(always)]
fn blank(counters: &mut MaybeUninit<Counters>) -> &mut Counters {
    const WORDS: usize = size_of::<Counters>() / size_of::<u64>();
    let first = counters.as_mut_ptr().cast::<u64>();
    for word in 0..WORDS {
        unsafe { first.add(word).write_volatile(0) };
    }
    unsafe { counters.assume_init_mut() }
}

/// Writes to the iterator's reader.
#[inline(always)]
unsafe fn write<T>(meta: *mut Meta, record: &T) {
    unsafe {
        let seq: *mut c_void = read_seq(meta);
        bpf_seq_write(seq.cast(), (&raw const *record).cast_mut().cast(), size_of::<T>() as u32);
    }
}

#[inline(always)]
unsafe fn read_seq(meta: *mut Meta) -> *mut c_void {
    unsafe { (&raw const (*meta).seq).read_volatile() }
}
