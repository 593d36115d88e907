//! What a state change means: the record of truth is brought up to date, then the events that it stands for
//! go out. Shared by the probes.

use agent_common::{
    filter::FilterConfig,
    kind::EventKind,
    loss::Loss,
    record::{Connection, Header, Owner, RecordType, Relation, Socket, Transition, flag},
    ring,
    state::TcpState,
    store::{Pending, Store},
    transition,
};
use aya_ebpf::{
    helpers::{bpf_get_smp_processor_id, generated::bpf_ktime_get_boot_ns},
    macros::map,
    maps::PerCpuArray,
};

use crate::{
    emit, filter,
    kernel::{
        sock::{Tcp, Tuple},
        task,
    },
    probes::sys_connect,
    store,
};

const ESTABLISHED: u8 = TcpState::Established.number();
const SYN_SENT: u8 = TcpState::SynSent.number();
const SYN_RECV: u8 = TcpState::SynRecv.number();
const FIN_WAIT1: u8 = TcpState::FinWait1.number();
const FIN_WAIT2: u8 = TcpState::FinWait2.number();
const CLOSE: u8 = TcpState::Close.number();
const CLOSE_WAIT: u8 = TcpState::CloseWait.number();
const LAST_ACK: u8 = TcpState::LastAck.number();
const CLOSING: u8 = TcpState::Closing.number();
const LISTEN: u8 = TcpState::Listen.number();

/// A state change of a socket.
pub struct Change {
    pub tcp: Tcp,
    /// When; 0 = not asked for, see [`time_of`].
    pub now: u64,
    pub old: u8,
    pub new: u8,
    /// `flag::GAP` or `flag::REPAIRED`, where they apply.
    pub flags: u32,
    /// The filter, looked up once: which of the two is in force may change meanwhile.
    pub config: &'static FilterConfig,
    /// The program that runs: each has a slot of [`MAKING`] of its own, for one can interrupt the other.
    pub program: Program,
}

/// A program that makes events of transitions. The kernel never runs the same one twice at once on a CPU.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Program {
    State = 0,
    Destroy = 1,
    StateAgain = 2,
}

/// The event that a program is making.
#[map]
static MAKING: PerCpuArray<Pending> = PerCpuArray::with_max_entries(3, 0);

/// Handles a state change as the kernel reported it. If the one before it was missed (the kernel does not run
/// a program that is already running on the CPU), that one is made up first and marked.
#[inline(always)]
pub fn changed(tcp: Tcp, old: u8, new: u8, program: Program) {
    // Always there: the verifier alone wants to see it asked.
    let Some(config) = filter::config() else {
        return;
    };
    let Some(store) = (unsafe { store::get_or_create(tcp.sk) }) else {
        if matches!(program, Program::State) {
            emit::lost(Loss::StoreFull);
            store::failed(tcp.sk);
        }
        return;
    };
    let now = time_of(new, config);
    // A clone begins with its listener's record, so with the state LISTEN.
    let known = store.state;
    let mut flags = 0;
    if known != old && known != 0 && !(known == CLOSE && old == LISTEN) {
        emit::lost(Loss::GapRepaired);
        step(&Change { tcp, now, old: known, new: old, flags: flag::REPAIRED, config, program }, store);
        flags = flag::GAP;
    }
    step(&Change { tcp, now, old, new, flags, config, program }, store);
}

/// Handles a state change if [`changed`] did not run for it, because the program that calls it was running on this
/// CPU already: interrupted there or, on kernels that preempt programs, put aside with its whole task.
#[inline(always)]
pub fn changed_unseen(tcp: Tcp, old: u8, new: u8) {
    match unsafe { store::get(tcp.sk) } {
        Some(store) if store.state == new => return,
        // Seen, and there was no memory: perhaps there is now. Nothing that the guard hid.
        None if store::has_failed(tcp.sk) => {}
        _ => emit::caught(),
    }
    changed(tcp, old, new, Program::StateAgain);
}

/// Ends a socket that is freed although its `-> CLOSE` was never seen.
#[inline(always)]
pub fn destroyed(tcp: Tcp) {
    let Some(store) = (unsafe { store::get(tcp.sk) }) else {
        return;
    };
    let known = store.state;
    if known != CLOSE && known != 0 {
        emit::lost(Loss::GapRepaired);
        let now = unsafe { bpf_ktime_get_boot_ns() };
        let Some(config) = filter::config() else {
            return;
        };
        let program = Program::Destroy;
        step(&Change { tcp, now, old: known, new: CLOSE, flags: flag::REPAIRED, config, program }, store);
    }
}

/// The time, or 0 where it would only say when a state began that nobody wants to hear of: reading the clock
/// is a tenth of the whole program.
#[inline(always)]
fn time_of(new: u8, config: &FilterConfig) -> u64 {
    let wanted = config.wanted;
    let passes_by = match new {
        FIN_WAIT2 | CLOSE_WAIT | CLOSING => true,
        FIN_WAIT1 | LAST_ACK => wanted & (EventKind::Closing.bit() | EventKind::Accept.bit()) == 0,
        _ => false,
    };
    if passes_by && wanted & EventKind::StateChange.bit() == 0 {
        return 0;
    }
    unsafe { bpf_ktime_get_boot_ns() }
}

#[inline(never)]
fn step(change: &Change, store: &mut Store) {
    let Change { tcp, now, old, new, flags, config, program } = *change;
    let Some(pending) = MAKING.get_ptr_mut(program as u32) else {
        return;
    };
    let pending = unsafe { &mut *pending };

    if old == LISTEN && new == SYN_RECV {
        begin_passive(&tcp, store, now);
    } else if old == CLOSE {
        begin_active(&tcp, store, now, new);
        if new == SYN_SENT {
            sys_connect::told();
        }
    } else if store.state == 0 {
        // Older than the program, and not found by the snapshot either.
        store::set_flags(store, flag::START_UNKNOWN | flag::ACCEPT_SENT);
        identify(&tcp, store);
    }
    *pending = Pending {
        old_since_ns: if flags & flag::REPAIRED == 0 { store.since_ns } else { 0 },
        kinds: 0,
        flags,
        error: if new == CLOSE { tcp.error() } else { 0 },
        old,
        new,
        stored: store.state,
        pad: 0,
    };
    interpret(&tcp, store, pending, now);
    send(&tcp, store, pending, now, config);
}

/// Works out what `pending` means: who did it, what is known from now on, which events it is.
#[inline(always)]
fn interpret(tcp: &Tcp, store: &mut Store, pending: &mut Pending, now: u64) {
    // Volatile: or the compiler would pass the values on in registers, and the verifier would know them.
    let Pending { old, new, error, flags, .. } = unsafe { (&raw const *pending).read_volatile() };
    let repaired = flags & flag::REPAIRED != 0;
    let in_process = !repaired && transition::runs_in_process(old, new, error);
    if in_process {
        pending.flags |= flag::PROCESS_CONTEXT;
        if old != CLOSE {
            remember_user(store);
        }
    }
    if new == ESTABLISHED {
        store.established_ns = if repaired { 0 } else { now };
        // A client's local port was chosen only now, an accepted socket's peer is readable only now.
        store.generation = 0;
    }
    if old == SYN_SENT {
        store.generation = 0;
    }
    let before = store.flags;
    let after = transition::flags_after(before, old, new, error, in_process);
    let mut kinds = transition::kinds(old, new, after, tcp.has_socket());
    let mut told = after & !before;
    if kinds & EventKind::Closing.bit() != 0 {
        told |= flag::CLOSING_SENT;
    }
    if kinds & EventKind::Accept.bit() != 0 {
        told |= flag::ACCEPT_SENT;
    }
    if told != 0 && store::set_flags(store, told) & flag::ACCEPT_SENT != 0 {
        // The process came first, on another CPU.
        kinds &= !EventKind::Accept.bit();
    }
    pending.kinds = kinds;
    store.since_ns = now;
    store.state = new;
}

/// Sends the events of `pending` that somebody wants.
#[inline(always)]
fn send(tcp: &Tcp, store: &mut Store, pending: &Pending, now: u64, config: &FilterConfig) {
    // Volatile: or the compiler would pass the values on in registers, and the verifier would know them.
    let pending = unsafe { (&raw const *pending).read_volatile() };
    let kinds = pending.kinds & config.wanted;
    if kinds == 0 {
        return;
    }
    // What is made up before a change that needs no time may need one.
    let now = if now == 0 { unsafe { bpf_ktime_get_boot_ns() } } else { now };
    let mut tuple = tcp.tuple();
    let mut flags = pending.flags | store.flags;
    remember_peer(tcp, store, &mut tuple, &mut flags, pending.new);

    let socket = filter::socket_verdict(config, store, &tuple);
    if !filter::has_subscriber(config, socket, kinds) {
        return;
    }
    if tuple.socket_v6 {
        flags |= flag::SOCKET_V6;
    }
    let generation = config.generation as u8;
    let head = Header { time_ns: now, verdict: socket, kinds, flags, generation, ..Header::default() };
    const WITH_COUNTERS: u32 =
        EventKind::Accept.bit() | EventKind::Close.bit() | EventKind::ConnectFailed.bit();
    if kinds & WITH_COUNTERS != 0 {
        send_connection(tcp, store, &tuple, head, &pending);
    } else {
        let Some(mut entry) = emit::reserve_bulk::<Transition>() else {
            return;
        };
        let record = entry.as_mut_ptr();
        unsafe {
            header(&raw mut (*record).header, &head, RecordType::Transition, size_of::<Transition>());
            socket_part(&raw mut (*record).socket, tcp, store, &tuple, &pending);
            task::copy(&raw mut (*record).owner, shown(store));
        }
        emit::submit(entry, ring::BULK);
    }
}

/// The accept event of a socket, at the first sign that a process has it.
#[inline(always)]
pub fn accepted(tcp: &Tcp, store: &mut Store, now: u64, flags: u32) {
    if store::set_flags(store, flag::ACCEPT_SENT) != 0 {
        return;
    }
    let Some(config) = filter::config() else {
        return;
    };
    if config.wanted & EventKind::Accept.bit() == 0 {
        return;
    }
    let mut tuple = tcp.tuple();
    let mut flags = flags | store.flags;
    remember_peer(tcp, store, &mut tuple, &mut flags, ESTABLISHED);
    let socket = filter::socket_verdict(config, store, &tuple);
    let kinds = EventKind::Accept.bit();
    if !filter::has_subscriber(config, socket, kinds) {
        return;
    }
    if tuple.socket_v6 {
        flags |= flag::SOCKET_V6;
    }
    let generation = config.generation as u8;
    let head = Header { time_ns: now, verdict: socket, kinds, flags, generation, ..Header::default() };
    let now_in = store.state;
    let pending = Pending {
        old_since_ns: store.since_ns,
        kinds,
        flags: 0,
        error: 0,
        old: now_in,
        new: now_in,
        stored: now_in,
        pad: 0,
    };
    send_connection(tcp, store, &tuple, head, &pending);
}

/// What every event of a socket begins with that is no change of its state; `None` where nobody wants it.
#[inline(always)]
pub fn note<'a>(tcp: &Tcp, config: &FilterConfig, kind: EventKind) -> Option<(Header, Tuple, &'a mut Store)> {
    let Some(store) = (unsafe { store::get_or_create(tcp.sk) }) else {
        emit::lost(Loss::StoreFull);
        return None;
    };
    identify_older(tcp, store);
    let mut tuple = tcp.tuple();
    let mut flags = store.flags;
    remember_peer(tcp, store, &mut tuple, &mut flags, tcp.state());
    let verdict = filter::socket_verdict(config, store, &tuple);
    if !filter::is_wanted(config, verdict, kind) {
        return None;
    }
    if tuple.socket_v6 {
        flags |= flag::SOCKET_V6;
    }
    let head = Header {
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        verdict,
        kinds: kind.bit(),
        flags,
        generation: config.generation as u8,
        ..Header::default()
    };
    Some((head, tuple, store))
}

/// Where a socket is of which the snapshot and the programs knew nothing.
#[inline(always)]
pub fn identify_older(tcp: &Tcp, store: &mut Store) {
    if store.netns == 0 {
        identify(tcp, store);
    }
}

/// The process to show with a socket: who uses it, else who owns it.
#[inline(always)]
pub fn shown(store: &Store) -> &Owner {
    if store.user.relation == Relation::Unknown as u8 { &store.owner } else { &store.user }
}

/// No change of state: the socket is in this one.
#[inline(always)]
pub const fn in_state(state: u8) -> Pending {
    Pending { old_since_ns: 0, kinds: 0, flags: 0, error: 0, old: state, new: state, stored: state, pad: 0 }
}

/// Keeps cookie and peer, which the kernel has not yet or no more at some transitions.
#[inline(always)]
fn remember_peer(tcp: &Tcp, store: &mut Store, tuple: &mut Tuple, flags: &mut u32, new: u8) {
    if tuple.remote_port != 0 {
        if new == SYN_SENT || new == ESTABLISHED || store.remote_port == 0 {
            store.remote = unsafe { core::mem::transmute_copy(&tuple.remote) };
            store.remote_port = tuple.remote_port;
        }
    } else if store.remote_port != 0 && new != LISTEN {
        // Failed connects and SO_LINGER 0 wipe the peer.
        tuple.remote = unsafe { core::mem::transmute_copy(&store.remote) };
        tuple.remote_port = store.remote_port;
    } else if new == SYN_RECV {
        // Kernels up to 6.12: the clone has neither its peer nor its cookie yet.
        *flags |= flag::NO_PEER;
        return;
    }
    if store.cookie == 0 {
        store.cookie = tcp.cookie();
    }
}

#[inline(always)]
fn send_connection(tcp: &Tcp, store: &Store, tuple: &Tuple, mut head: Header, pending: &Pending) {
    let Some(mut entry) = emit::reserve_bulk::<Connection>() else {
        return;
    };
    let record = entry.as_mut_ptr();
    unsafe {
        if tcp.fin_received() {
            head.flags |= flag::FIN_RECEIVED;
        }
        // A socket that is only now destroyed may have had its counters wiped.
        let counters = &raw mut (*record).counters;
        if tcp.counters(&mut *counters).is_some() && head.flags & flag::REPAIRED == 0 {
            head.flags |= flag::COUNTERS;
        }
        header(&raw mut (*record).header, &head, RecordType::Connection, size_of::<Connection>());
        socket_part(&raw mut (*record).socket, tcp, store, tuple, pending);
        task::copy(&raw mut (*record).owner, &store.owner);
        task::copy(&raw mut (*record).user, &store.user);
    }
    emit::submit(entry, ring::BULK);
}

/// Writes a record's head.
///
/// # Safety
///
/// `into` points into a reserved record.
#[inline(always)]
pub unsafe fn header(into: *mut Header, head: &Header, record: RecordType, len: usize) {
    unsafe {
        into.write(Header {
            cpu: bpf_get_smp_processor_id(),
            len: len as u16,
            record: record as u8,
            ..*head
        });
    }
}

/// Writes a record's socket.
///
/// # Safety
///
/// As for [`header`].
#[inline(always)]
pub unsafe fn socket_part(into: *mut Socket, tcp: &Tcp, store: &Store, tuple: &Tuple, pending: &Pending) {
    let (retransmits, handshake_rtt) =
        if pending.old == SYN_SENT { (tcp.segments_out().saturating_sub(1), tcp.srtt_us()) } else { (0, 0) };
    unsafe {
        into.write(Socket {
            cookie: store.cookie,
            cgroup_id: store.cgroup_id,
            start_ns: store.start_ns,
            established_ns: store.established_ns,
            old_since_ns: pending.old_since_ns,
            local: core::mem::transmute_copy(&tuple.local),
            remote: core::mem::transmute_copy(&tuple.remote),
            netns: store.netns,
            local_port: tuple.local_port,
            remote_port: tuple.remote_port,
            error: pending.error,
            backlog: store.backlog,
            max_backlog: store.max_backlog,
            syn_retransmits: if retransmits > 255 { 255 } else { retransmits as u8 },
            old_state: pending.old,
            new_state: pending.new,
            stored_state: pending.stored,
            shutdown: if pending.new == CLOSE { tcp.shutdown() } else { 0 },
            pad8: 0,
            pad16: 0,
            handshake_rtt_us: handshake_rtt,
        });
    }
}

/// What does not change in a socket's life.
#[inline(always)]
fn identify(tcp: &Tcp, store: &mut Store) {
    store.netns = tcp.netns();
    store.cgroup_id = tcp.cgroup_id();
}

#[inline(always)]
fn begin_passive(tcp: &Tcp, store: &mut Store, now: u64) {
    // The clone has its listener's record: who listens is worth keeping, the rest is not the clone's.
    if store.owner.relation == Relation::Owner as u8 {
        store.owner.relation = Relation::Listener as u8;
    }
    forget(store);
    // Volatile: for two neighbours set to zero the compiler calls memset, which goes byte by byte.
    unsafe { (&raw mut store.since_ns).write_volatile(0) };
    store.cookie = 0;
    store.flags = flag::PASSIVE;
    store.start_ns = now;
    identify(tcp, store);
    if let Some((backlog, max_backlog)) = tcp.backlog() {
        store.backlog = backlog;
        store.max_backlog = max_backlog;
        store.flags |= flag::BACKLOG;
    }
}

#[inline(always)]
fn begin_active(tcp: &Tcp, store: &mut Store, now: u64, new: u8) {
    forget(store);
    store.flags = if new == SYN_SENT { flag::ACTIVE } else { 0 };
    store.start_ns = now;
    identify(tcp, store);
    task::capture(&mut store.owner, Relation::Owner);
}

#[inline(always)]
fn forget(store: &mut Store) {
    // The rest of it means nothing without a relation.
    store.user.relation = Relation::Unknown as u8;
    store.user.pid = 0;
    store.established_ns = 0;
    store.generation = 0;
    store.remote_port = 0;
    store.backlog = 0;
    store.max_backlog = 0;
}

/// Notes the running process as the socket's user, unless it is known as such already.
#[inline(always)]
pub fn remember_user(store: &mut Store) -> bool {
    let current = unsafe { task::tgid(task::current()) };
    if store.user.pid == current {
        return false;
    }
    if store.owner.relation == Relation::Owner as u8
        && store.owner.pid == current
        && store.user.relation == Relation::Unknown as u8
    {
        return false;
    }
    task::capture(&mut store.user, Relation::User);
    store.generation = 0;
    true
}
