//! An event that is looked at and not kept: what repeats is borrowed from the stream's tables.

use prost_types::Timestamp;

use crate::v1::{Event, Explanation, Identity, Process, Socket, SocketAddress, event::Detail};

/// [`Event`], borrowed. Its fields are there.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// When it happened.
    pub time: Option<Timestamp>,
    /// The node; empty = not said.
    pub node_name: &'a str,
    /// The CPU.
    pub cpu: u32,
    /// The number of its kind.
    pub kind: i32,
    /// Nothing happened now.
    pub synthetic: bool,
    /// One was missed before.
    pub gap: bool,
    /// Made up later.
    pub repaired: bool,
    /// The socket's beginning was not seen.
    pub start_unknown: bool,
    /// The socket.
    pub socket: Option<ShownSocket<'a>>,
    /// The peer behind a destination NAT.
    pub actual_remote: Option<&'a SocketAddress>,
    /// The process to blame.
    pub process: Option<&'a Process>,
    /// Who connected, listens or accepted.
    pub owner: Option<&'a Process>,
    /// Who last read, wrote or closed.
    pub user: Option<&'a Process>,
    /// Whose socket it is.
    pub local: Option<&'a Identity>,
    /// Who the peer is.
    pub remote: Option<&'a Identity>,
    /// Why.
    pub explanation: Option<&'a Explanation>,
    /// What happened.
    pub detail: Option<&'a Detail>,
}

/// [`Socket`], borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShownSocket<'a> {
    /// Tells sockets of one node apart.
    pub cookie: Option<u64>,
    /// The number of the addresses' family.
    pub family: i32,
    /// It is AF_INET6.
    pub ipv6_socket: bool,
    /// Its own end.
    pub local: Option<ShownAddress<'a>>,
    /// The peer.
    pub remote: Option<ShownAddress<'a>>,
    /// The number of its side.
    pub role: i32,
    /// The number of its state after the event.
    pub state: i32,
    /// Inode of its network namespace.
    pub netns: Option<u32>,
    /// Id of its cgroup.
    pub cgroup_id: Option<u64>,
    /// When the connection began.
    pub start_time: Option<Timestamp>,
}

/// [`SocketAddress`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownAddress<'a> {
    /// The address as text; empty where it is not known.
    pub ip: &'a str,
    /// The port.
    pub port: Option<u32>,
}

impl Shown<'_> {
    /// The event, to keep.
    pub fn to_event(&self) -> Event {
        Event {
            time: self.time,
            node_name: self.node_name.to_owned(),
            cpu: self.cpu,
            kind: self.kind,
            synthetic: self.synthetic,
            gap: self.gap,
            repaired: self.repaired,
            start_unknown: self.start_unknown,
            socket: self.socket.map(|socket| socket.to_socket()),
            actual_remote: self.actual_remote.cloned(),
            process: self.process.cloned(),
            owner: self.owner.cloned(),
            user: self.user.cloned(),
            local: self.local.cloned(),
            remote: self.remote.cloned(),
            explanation: self.explanation.cloned(),
            detail: self.detail.cloned(),
        }
    }

    /// The same with what is in `rest` alone. Its kind is that of `rest`, too.
    pub(super) fn with_rest(&self, rest: Event) -> Event {
        let own = self.to_event();
        Event {
            time: own.time.or(rest.time),
            node_name: if own.node_name.is_empty() { rest.node_name } else { own.node_name },
            cpu: own.cpu | rest.cpu,
            kind: own.kind,
            synthetic: own.synthetic | rest.synthetic,
            gap: own.gap | rest.gap,
            repaired: own.repaired | rest.repaired,
            start_unknown: own.start_unknown | rest.start_unknown,
            socket: match (own.socket, rest.socket) {
                (Some(own), Some(rest)) => Some(both(own, rest)),
                (own, rest) => own.or(rest),
            }
            .filter(|socket| *socket != Socket::default()),
            actual_remote: own.actual_remote.or(rest.actual_remote),
            process: own.process.or(rest.process),
            owner: own.owner.or(rest.owner),
            user: own.user.or(rest.user),
            local: own.local.or(rest.local),
            remote: own.remote.or(rest.remote),
            explanation: own.explanation.or(rest.explanation),
            detail: own.detail.or(rest.detail),
        }
    }
}

fn both(own: Socket, rest: Socket) -> Socket {
    Socket {
        cookie: own.cookie.or(rest.cookie),
        family: own.family | rest.family,
        ipv6_socket: own.ipv6_socket | rest.ipv6_socket,
        local: own.local.or(rest.local),
        remote: own.remote.or(rest.remote),
        role: own.role | rest.role,
        state: own.state | rest.state,
        netns: own.netns.or(rest.netns),
        cgroup_id: own.cgroup_id.or(rest.cgroup_id),
        start_time: own.start_time.or(rest.start_time),
    }
}

impl<'a> From<&'a Event> for Shown<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            time: event.time,
            node_name: &event.node_name,
            cpu: event.cpu,
            kind: event.kind,
            synthetic: event.synthetic,
            gap: event.gap,
            repaired: event.repaired,
            start_unknown: event.start_unknown,
            socket: event.socket.as_ref().map(ShownSocket::from),
            actual_remote: event.actual_remote.as_ref(),
            process: event.process.as_ref(),
            owner: event.owner.as_ref(),
            user: event.user.as_ref(),
            local: event.local.as_ref(),
            remote: event.remote.as_ref(),
            explanation: event.explanation.as_ref(),
            detail: event.detail.as_ref(),
        }
    }
}

impl ShownSocket<'_> {
    fn to_socket(self) -> Socket {
        Socket {
            cookie: self.cookie,
            family: self.family,
            ipv6_socket: self.ipv6_socket,
            local: self.local.map(ShownAddress::to_address),
            remote: self.remote.map(ShownAddress::to_address),
            role: self.role,
            state: self.state,
            netns: self.netns,
            cgroup_id: self.cgroup_id,
            start_time: self.start_time,
        }
    }
}

impl<'a> From<&'a Socket> for ShownSocket<'a> {
    fn from(socket: &'a Socket) -> Self {
        Self {
            cookie: socket.cookie,
            family: socket.family,
            ipv6_socket: socket.ipv6_socket,
            local: socket.local.as_ref().map(ShownAddress::from),
            remote: socket.remote.as_ref().map(ShownAddress::from),
            role: socket.role,
            state: socket.state,
            netns: socket.netns,
            cgroup_id: socket.cgroup_id,
            start_time: socket.start_time,
        }
    }
}

impl ShownAddress<'_> {
    fn to_address(self) -> SocketAddress {
        SocketAddress { ip: self.ip.to_owned(), port: self.port }
    }
}

impl<'a> From<&'a SocketAddress> for ShownAddress<'a> {
    fn from(address: &'a SocketAddress) -> Self {
        Self { ip: &address.ip, port: address.port }
    }
}
