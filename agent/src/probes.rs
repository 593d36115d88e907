//! The probe table: each kernel program, where it attaches, what it needs and what is missing without it.

use agent_common::fields::Need;

/// Where a program attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A tracepoint with typed arguments.
    TpBtf(&'static str),
    /// The return of a kernel function.
    Fexit(&'static str),
    /// A classic tracepoint; needs tracefs for its number.
    Tracepoint {
        /// The folder in tracefs' `events`.
        category: &'static str,
        /// The event.
        name: &'static str,
    },
    /// An iterator's target.
    Iter(&'static str),
}

impl Hook {
    /// As kernel people write it.
    pub fn describe(&self) -> String {
        match self {
            Self::TpBtf(name) => format!("tp_btf/{name}"),
            Self::Fexit(name) => format!("fexit/{name}"),
            Self::Tracepoint { category, name } => format!("tracepoint/{category}/{name}"),
            Self::Iter(name) => format!("iter/{name}"),
        }
    }
}

/// One program of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its file in `agent-ebpf/src/probes`.
    pub name: &'static str,
    /// The program in the object.
    pub program: &'static str,
    /// Where it attaches.
    pub hook: Hook,
    /// Fields without which it cannot be loaded.
    pub needs: &'static [Need],
    /// What the user notices where it cannot be had.
    pub effect: &'static str,
}

/// State changes. Nothing works without it.
pub const STATE: Probe = Probe {
    name: "state",
    program: "set_state",
    hook: Hook::TpBtf("inet_sock_set_state"),
    needs: &[Need::Engine],
    effect: "no events",
};

/// State changes that the kernel's recursion guard hid from [`STATE`].
pub const STATE_AGAIN: Probe = Probe {
    program: "set_state_again",
    effect: "state changes that the kernel's recursion guard hid are repaired where possible, not seen",
    ..STATE
};

/// Repairs sockets whose end was missed.
pub const DESTROY: Probe = Probe {
    name: "destroy",
    program: "destroy_sock",
    hook: Hook::TpBtf("tcp_destroy_sock"),
    needs: &[Need::Engine],
    effect: "a close that the kernel's recursion guard hid is not repaired",
};

/// accept(), newer shape.
pub const ACCEPT_TWO_ARGS: Probe = Probe {
    name: "accept",
    program: "accept_two_args",
    hook: Hook::Fexit("inet_csk_accept"),
    needs: &[Need::Engine],
    effect: "accept() is seen at the first read, write or close",
};

/// accept(), older shape.
pub const ACCEPT_FOUR_ARGS: Probe = Probe { program: "accept_four_args", ..ACCEPT_TWO_ARGS };

/// Writers.
pub const SEND: Probe = Probe {
    name: "usage",
    program: "send_length",
    hook: Hook::TpBtf("sock_send_length"),
    needs: &[Need::Engine],
    effect: "a process that only writes is known from accept() or close() only",
};

/// Readers.
pub const RECV: Probe = Probe {
    name: "usage",
    program: "recv_length",
    hook: Hook::TpBtf("sock_recv_length"),
    needs: &[Need::Engine],
    effect: "readers are seen when data is copied, not at each call",
};

/// Readers, on kernels before 6.3.
pub const SPACE_ADJUST: Probe = Probe {
    name: "usage",
    program: "rcv_space_adjust",
    hook: Hook::TpBtf("tcp_rcv_space_adjust"),
    needs: &[Need::Engine],
    effect: "the user of a connection is known from accept() or close() only",
};

/// New cgroups.
pub const CGROUP: Probe = Probe {
    name: "cgroup",
    program: "cgroup_mkdir",
    hook: Hook::TpBtf("cgroup_mkdir"),
    needs: &[Need::Cgroup, Need::CgroupTree],
    effect: "cgroups made below a filtered one are not followed",
};

/// New cgroups with their names.
pub const CGROUP_NAMED: Probe = Probe {
    name: "cgroup",
    program: "cgroup_named",
    hook: Hook::TpBtf("cgroup_mkdir"),
    needs: &[Need::Cgroup, Need::CgroupTree, Need::CgroupNames],
    effect: "new containers are named only once /proc was looked at",
};

/// New cgroups without their names: where the names are refused (lockdown=confidentiality).
pub const CGROUP_UNNAMED: Probe =
    Probe { program: "cgroup_unnamed", needs: &[Need::Cgroup, Need::CgroupTree], ..CGROUP_NAMED };

/// Older sockets with their owners.
pub const FILES: Probe = Probe {
    name: "snapshot",
    program: "snapshot_files",
    hook: Hook::Iter("task_file"),
    needs: &[Need::Engine, Need::Snapshot, Need::StartTime],
    effect: "sockets older than the tool have no owner until they are used",
};

/// Older sockets without a descriptor.
pub const SOCKETS: Probe = Probe {
    name: "snapshot",
    program: "snapshot_sockets",
    hook: Hook::Iter("tcp"),
    needs: &[Need::Engine],
    effect: "sockets older than the tool and without a descriptor are not known",
};

/// Older processes with their cgroups and network namespaces.
pub const TASKS: Probe = Probe {
    name: "snapshot",
    program: "snapshot_tasks",
    hook: Hook::Iter("task"),
    needs: &[Need::Engine, Need::Cgroup, Need::Places],
    effect: "containers older than the tool are named only once /proc was looked at",
};

/// Segments that are sent again, on kernels before 6.18.
pub const RETRANSMIT_TWO_ARGS: Probe = Probe {
    name: "retransmit",
    program: "retransmit_two_args",
    hook: Hook::TpBtf("tcp_retransmit_skb"),
    needs: &[Need::Engine, Need::Retransmit],
    effect: "retransmits are not seen",
};

/// Segments that are sent again, with the error of those that could not be.
pub const RETRANSMIT_THREE_ARGS: Probe = Probe { program: "retransmit_three_args", ..RETRANSMIT_TWO_ARGS };

/// SYN-ACKs that are sent again.
pub const RETRANSMIT_SYNACK: Probe = Probe {
    program: "retransmit_synack",
    hook: Hook::TpBtf("tcp_retransmit_synack"),
    effect: "SYN-ACKs that are sent again are not seen",
    ..RETRANSMIT_TWO_ARGS
};

/// RSTs that came in.
pub const RECEIVE_RESET: Probe = Probe {
    name: "reset",
    program: "receive_reset",
    hook: Hook::TpBtf("tcp_receive_reset"),
    needs: &[Need::Engine],
    effect: "resets that come in are not seen",
};

/// RSTs of sockets, on kernels before 6.12.
pub const SEND_RESET_TWO_ARGS: Probe = Probe {
    program: "send_reset_two_args",
    hook: Hook::TpBtf("tcp_send_reset"),
    effect: "resets that are sent are not seen",
    ..RECEIVE_RESET
};

/// RSTs of sockets, with the reason.
pub const SEND_RESET_THREE_ARGS: Probe = Probe { program: "send_reset_three_args", ..SEND_RESET_TWO_ARGS };

/// RSTs without a socket, with the reason.
pub const SEND_RESET_PACKET: Probe = Probe {
    program: "send_reset_packet",
    needs: &[Need::Engine, Need::Packet],
    effect: "resets for packets without a socket are not seen",
    ..SEND_RESET_TWO_ARGS
};

/// Errors of sockets.
pub const SOCKET_ERROR: Probe = Probe {
    name: "socket_error",
    program: "error_report",
    hook: Hook::TpBtf("inet_sk_error_report"),
    needs: &[Need::Engine, Need::SocketError],
    effect: "errors of sockets are not seen",
};

/// connect() begins.
pub const ENTER_CONNECT: Probe = Probe {
    name: "sys_connect",
    program: "enter_connect",
    hook: Hook::Tracepoint { category: "syscalls", name: "sys_enter_connect" },
    needs: &[Need::Engine, Need::SyscallConnect],
    effect: "connects that fail before a SYN is sent (no route, denied) are not seen",
};

/// connect() ends.
pub const EXIT_CONNECT: Probe = Probe {
    program: "exit_connect",
    hook: Hook::Tracepoint { category: "syscalls", name: "sys_exit_connect" },
    ..ENTER_CONNECT
};

/// Every probe.
pub const ALL: [Probe; 24] = [
    STATE,
    STATE_AGAIN,
    DESTROY,
    ACCEPT_TWO_ARGS,
    ACCEPT_FOUR_ARGS,
    SEND,
    RECV,
    SPACE_ADJUST,
    CGROUP,
    CGROUP_NAMED,
    CGROUP_UNNAMED,
    FILES,
    SOCKETS,
    TASKS,
    RETRANSMIT_TWO_ARGS,
    RETRANSMIT_THREE_ARGS,
    RETRANSMIT_SYNACK,
    RECEIVE_RESET,
    SEND_RESET_TWO_ARGS,
    SEND_RESET_THREE_ARGS,
    SEND_RESET_PACKET,
    SOCKET_ERROR,
    ENTER_CONNECT,
    EXIT_CONNECT,
];
