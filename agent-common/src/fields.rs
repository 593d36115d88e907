//! THE table of kernel fields: every member of a kernel struct that a program reads, named once.
//!
//! [`for_each_field`] expands the table: here to [`FIELDS`], the list that user space resolves from the
//! running kernel's BTF; in `agent-ebpf` to one read-only global per field, named as the field, which user
//! space sets before the load. The verifier then sees constants, so a read is one typed load.
//!
//! A field that the kernel does not have is [`ABSENT`]: what needs it is disabled by name, it never reads
//! as 0. Size and kind are checked against BTF; a field that changed its size counts as absent.

/// The offset of a field that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// What stops working where a field is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The socket engine: without it nothing runs.
    Engine,
    /// Counters at close (`tcplife -o wide`); without it they are unknown.
    Counters,
    /// The socket's cgroup.
    Cgroup,
    /// Following new cgroups.
    CgroupTree,
    /// The owner's mount namespace.
    MountNamespace,
    /// The start time of the owner's process.
    StartTime,
    /// Owners of sockets that are older than the program.
    Snapshot,
    /// The accept queue's length and limit.
    Backlog,
    /// Connects that fail before the socket's state changes.
    SyscallConnect,
    /// Names of new cgroups.
    CgroupNames,
    /// Cgroups and network namespaces of processes that are older than the program.
    Places,
    /// Retransmits.
    Retransmit,
    /// Errors of sockets.
    SocketError,
    /// Packets without a socket.
    Packet,
}

impl Need {
    /// Words for messages: "… is unknown on this kernel".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Engine => "socket engine",
            Self::Counters => "counters at close",
            Self::Cgroup => "cgroup of a socket",
            Self::CgroupTree => "following new cgroups",
            Self::MountNamespace => "mount namespace",
            Self::StartTime => "start time of a process",
            Self::Snapshot => "owners of older sockets",
            Self::Backlog => "accept queue",
            Self::SyscallConnect => "connects that fail before any state",
            Self::CgroupNames => "names of new cgroups",
            Self::Places => "places of older processes",
            Self::Retransmit => "retransmits",
            Self::SocketError => "errors of sockets",
            Self::Packet => "packets without a socket",
        }
    }
}

/// One field of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the field and of the global that holds its offset.
    pub name: &'static str,
    /// Size in bytes that the programs read.
    pub size: u32,
    /// Where it may be: (struct, path of members), the newest kernels' first. Members of anonymous structs
    /// and unions are named as if they stood in the struct around; `[n]` picks an element of an array. `:n` behind it asks
    /// for its lowest `n` bits alone: of a bitfield of `n` bits that begins with its byte, or of a larger integer.
    pub places: &'static [(&'static str, &'static str)],
    /// What is missing without it.
    pub need: Need,
}

/// Expands `$callback! { NAME: size = [("struct", "path"), …], Need; … }` with the whole table.
#[macro_export]
macro_rules! for_each_field {
    ($callback:ident) => {
        $callback! {
            SK_FAMILY: 2 = [("sock_common", "skc_family")], Engine;
            SK_STATE: 1 = [("sock_common", "skc_state")], Engine;
            SK_DADDR: 4 = [("sock_common", "skc_daddr")], Engine;
            SK_RCV_SADDR: 4 = [("sock_common", "skc_rcv_saddr")], Engine;
            SK_DPORT: 2 = [("sock_common", "skc_dport")], Engine;
            SK_V6_DADDR: 16 = [("sock_common", "skc_v6_daddr")], Engine;
            SK_V6_RCV_SADDR: 16 = [("sock_common", "skc_v6_rcv_saddr")], Engine;
            SK_NET: 8 = [("sock_common", "skc_net.net")], Engine;
            SK_FLAGS: 8 = [("sock_common", "skc_flags")], Engine;
            SK_ERR: 4 = [("sock", "sk_err")], Engine;
            SK_SHUTDOWN: 1 = [("sock", "sk_shutdown")], Engine;
            SK_SOCKET: 8 = [("sock", "sk_socket")], Engine;
            SK_ACK_BACKLOG: 4 = [("sock", "sk_ack_backlog")], Backlog;
            SK_MAX_ACK_BACKLOG: 4 = [("sock", "sk_max_ack_backlog")], Backlog;
            SK_CGROUP: 8 = [("sock", "sk_cgrp_data.cgroup")], Cgroup;
            CGROUP_KN: 8 = [("cgroup", "kn")], Cgroup;
            KN_ID: 8 = [("kernfs_node", "id")], Cgroup;
            KN_PARENT: 8 = [("kernfs_node", "__parent"), ("kernfs_node", "parent")], CgroupTree;
            CGROUP_ROOT: 8 = [("cgroup", "root")], CgroupTree;
            CGROUP_HIERARCHY: 4 = [("cgroup_root", "hierarchy_id")], CgroupTree;
            NET_INUM: 4 = [("net", "ns.inum")], Engine;
            INET_SPORT: 2 = [("inet_sock", "inet_sport")], Engine;
            TP_SEGS_OUT: 4 = [("tcp_sock", "segs_out")], Engine;
            TP_SEGS_IN: 4 = [("tcp_sock", "segs_in")], Counters;
            TP_DATA_SEGS_IN: 4 = [("tcp_sock", "data_segs_in")], Counters;
            TP_DATA_SEGS_OUT: 4 = [("tcp_sock", "data_segs_out")], Counters;
            TP_BYTES_ACKED: 8 = [("tcp_sock", "bytes_acked")], Counters;
            TP_BYTES_RECEIVED: 8 = [("tcp_sock", "bytes_received")], Counters;
            TP_BYTES_SENT: 8 = [("tcp_sock", "bytes_sent")], Counters;
            TP_BYTES_RETRANS: 8 = [("tcp_sock", "bytes_retrans")], Counters;
            TP_TOTAL_RETRANS: 4 = [("tcp_sock", "total_retrans")], Counters;
            TP_SRTT_US: 4 = [("tcp_sock", "srtt_us")], Counters;
            TP_MDEV_US: 4 = [("tcp_sock", "mdev_us")], Counters;
            TP_RTT_MIN: 4 = [("tcp_sock", "rtt_min.s[0].v")], Counters;
            TP_SND_CWND: 4 = [("tcp_sock", "snd_cwnd")], Counters;
            TP_WRITE_SEQ: 4 = [("tcp_sock", "write_seq")], Counters;
            TP_SND_NXT: 4 = [("tcp_sock", "snd_nxt")], Counters;
            TP_SND_UNA: 4 = [("tcp_sock", "snd_una")], Counters;
            TP_RCV_NXT: 4 = [("tcp_sock", "rcv_nxt")], Counters;
            TP_COPIED_SEQ: 4 = [("tcp_sock", "copied_seq")], Counters;
            TASK_PID: 4 = [("task_struct", "pid")], Engine;
            TASK_TGID: 4 = [("task_struct", "tgid")], Engine;
            TASK_COMM: 16 = [("task_struct", "comm")], Engine;
            TASK_GROUP_LEADER: 8 = [("task_struct", "group_leader")], StartTime;
            TASK_START_BOOTTIME: 8 = [("task_struct", "start_boottime"), ("task_struct", "real_start_time")], StartTime;
            TASK_CRED: 8 = [("task_struct", "cred")], Snapshot;
            CRED_UID: 4 = [("cred", "uid.val")], Snapshot;
            TASK_NSPROXY: 8 = [("task_struct", "nsproxy")], MountNamespace;
            NSPROXY_MNT_NS: 8 = [("nsproxy", "mnt_ns")], MountNamespace;
            MNT_NS_INUM: 4 = [("mnt_namespace", "ns.inum")], MountNamespace;
            SOCKET_SK: 8 = [("socket", "sk")], Snapshot;
            TASK_FILES: 8 = [("task_struct", "files")], SyscallConnect;
            FILES_FDT: 8 = [("files_struct", "fdt")], SyscallConnect;
            FDT_FD: 8 = [("fdtable", "fd")], SyscallConnect;
            FDT_MAX_FDS: 4 = [("fdtable", "max_fds")], SyscallConnect;
            FILE_PRIVATE_DATA: 8 = [("file", "private_data")], SyscallConnect;
            SK_PROTOCOL: 2 = [("sock", "sk_protocol")], SyscallConnect;
            SK_COOKIE: 8 = [("sock_common", "skc_cookie.counter")], SyscallConnect;
            KN_NAME: 8 = [("kernfs_node", "name")], CgroupNames;
            TASK_CGROUPS: 8 = [("task_struct", "cgroups")], Places;
            CSS_SET_DEFAULT: 8 = [("css_set", "dfl_cgrp")], Places;
            NSPROXY_NET: 8 = [("nsproxy", "net_ns")], Places;
            ICSK_RETRANSMITS: 1 = [("inet_connection_sock", "icsk_retransmits")], Retransmit;
            ICSK_CA_STATE: 1 = [("inet_connection_sock", "icsk_ca_state:5")], Retransmit;
            ICSK_PENDING: 1 = [("inet_connection_sock", "icsk_pending")], Retransmit;
            SKB_CB: 48 = [("sk_buff", "cb")], Retransmit;
            TCP_CB_SEQ: 4 = [("tcp_skb_cb", "seq")], Retransmit;
            TCP_CB_END_SEQ: 4 = [("tcp_skb_cb", "end_seq")], Retransmit;
            TCP_CB_GSO_SEGS: 2 = [("tcp_skb_cb", "tcp_gso_segs")], Retransmit;
            TCP_CB_FLAGS: 1 = [("tcp_skb_cb", "tcp_flags:8")], Retransmit;
            REQUEST_RETRANS: 1 = [("request_sock", "num_retrans")], Retransmit;
            SK_ERR_SOFT: 4 = [("sock", "sk_err_soft")], SocketError;
            SKB_HEAD: 8 = [("sk_buff", "head")], Packet;
            SKB_NETWORK_HEADER: 2 = [("sk_buff", "network_header")], Packet;
            SKB_DEV: 8 = [("sk_buff", "dev")], Packet;
            NETDEV_NET: 8 = [("net_device", "nd_net.net")], Packet;
            SK_NUM: 2 = [("sock_common", "skc_num")], Retransmit;
        }
    };
}

macro_rules! list {
    ($($name:ident: $size:literal = [$(($root:literal, $path:literal)),+], $need:ident;)*) => {
        /// The whole table.
        pub const FIELDS: &[Field] = &[$(Field {
            name: stringify!($name),
            size: $size,
            places: &[$(($root, $path)),+],
            need: Need::$need,
        }),*];
    };
}
for_each_field!(list);

/// The number of `SOCK_DONE` in `enum sock_flags`: the bit of `skc_flags` that says that a FIN came in.
/// 1 since 2.6 (`include/net/sock.h`); the BTF test of every fixture holds it.
pub const SOCK_DONE: u32 = 1;
