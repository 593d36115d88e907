//! A client and a server in two namespaces, and what they do most often.

use std::net::SocketAddr;

use super::{
    actor::{Actor, socket},
    event::Event,
    netns::{Pair, address},
    order::{Connect, Order, Truth},
    trace::Trace,
};

/// What a connection runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// IPv4 sockets.
    V4,
    /// IPv6 sockets.
    V6,
    /// AF_INET6 sockets on both sides that talk IPv4.
    Mapped,
}

impl Over {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Mapped];

    /// The client's address as it is shown.
    pub const fn client(self) -> &'static str {
        if matches!(self, Self::V6) { "fd77::1" } else { "10.77.0.1" }
    }

    /// The server's.
    pub const fn server(self) -> &'static str {
        if matches!(self, Self::V6) { "fd77::2" } else { "10.77.0.2" }
    }

    /// The word for the family of the addresses in JSON.
    pub const fn family(self) -> &'static str {
        if matches!(self, Self::V6) { "ipv6" } else { "ipv4" }
    }

    /// The word for the family of the sockets.
    pub const fn socket_family(self) -> &'static str {
        if matches!(self, Self::V4) { "ipv4" } else { "ipv6" }
    }
}

/// Both ends of a connection, as their processes know them.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// What it runs over.
    pub over: Over,
    /// The end that connected.
    pub client: Truth,
    /// The end that was accepted.
    pub server: Truth,
}

/// A client in one namespace and a server in the other.
#[derive(Debug)]
pub struct Talk {
    /// The namespaces.
    pub pair: Pair,
    /// The process in `pair.a`.
    pub client: Actor,
    /// The process in `pair.b`.
    pub server: Actor,
}

impl Talk {
    /// Two processes of these names.
    pub fn new(client: &str, server: &str) -> Self {
        let pair = Pair::new();
        let client = Actor::new(client, &pair.a);
        let server = Actor::new(server, &pair.b);
        Self { pair, client, server }
    }

    /// Starts a tool that looks at the two namespaces and at nothing else that this machine does meanwhile.
    pub fn trace(&self, arguments: &[&str]) -> Trace {
        let [a, b] = [&self.pair.a, &self.pair.b].map(|netns| netns.inode.to_string());
        Trace::start(&[arguments, &["--netns", &a, "--netns", &b]].concat())
    }

    /// A listener of the server.
    pub fn listen(&mut self, over: Over, port: u16) -> Truth {
        let at = match over {
            Over::V4 => SocketAddr::new(address("10.77.0.2"), port),
            Over::V6 => SocketAddr::new(address("fd77::2"), port),
            Over::Mapped => SocketAddr::new(address("::"), port),
        };
        socket(self.server.order(&Order::Listen { at, backlog: 64, dual_stack: over == Over::Mapped }))
    }

    /// How the client connects to the listener.
    pub fn to(over: Over, listener: &Truth) -> Connect {
        let to = SocketAddr::new(address(over.server()), listener.local.port());
        Connect { mapped: over == Over::Mapped, ..Connect::to(to) }
    }

    /// A connection to this listener, accepted.
    pub fn connect(&mut self, over: Over, listener: &Truth) -> Connection {
        let client = socket(self.client.order(&Order::Connect(Self::to(over, listener))));
        let server = self.server.accept(listener);
        Connection { over, client, server }
    }

    /// So many bytes each way, all of them read.
    pub fn exchange(&mut self, connection: &Connection, there: u64, back: u64) {
        for (bytes, from, to, forth) in [
            (there, connection.client, connection.server, true),
            (back, connection.server, connection.client, false),
        ] {
            let (sender, receiver) = if forth {
                (&mut self.client, &mut self.server)
            } else {
                (&mut self.server, &mut self.client)
            };
            sender.start(&Order::Send { socket: from.number, bytes });
            receiver.receive(&to, bytes);
            sender.finish();
        }
    }

    /// Waits until the server's kernel has so many bytes that its process did not read.
    pub fn wait_until_received(&self, server: &Truth, bytes: u64) {
        let ends = format!(":{:04X} ", server.remote.unwrap().port());
        let queued = || {
            let table = self.pair.b.enter(|| std::fs::read_to_string("/proc/thread-self/net/tcp")).unwrap();
            let queues = table.lines().find(|row| row.contains(&ends))?.split_whitespace().nth(4)?;
            let (_, unread) = queues.split_once(':')?;
            (u64::from_str_radix(unread, 16).unwrap() >= bytes).then_some(())
        };
        assert!(super::until(super::PATIENCE, queued).is_some(), "{bytes} bytes never arrived");
    }

    /// The client closes first, then the server.
    pub fn close(&mut self, connection: &Connection) {
        self.client.close(&connection.client);
        assert_eq!(self.server.drain(&connection.server), 0);
        self.server.close(&connection.server);
    }

    /// The whole life of one connection over a listener that exists.
    pub fn whole(&mut self, over: Over, listener: &Truth, there: u64, back: u64) -> Connection {
        let connection = self.connect(over, listener);
        self.exchange(&connection, there, back);
        self.close(&connection);
        connection
    }
}

impl Connection {
    /// Holds an event of the client's end against the truth.
    pub fn is_client(&self, event: &Event, talk: &Talk) {
        self.is_end(event, &self.client, talk.pair.a.inode, "client");
        assert_eq!(event.end("local"), format!("{}:{}", shown(self.over.client()), self.client.local.port()));
        assert_eq!(
            event.end("remote"),
            format!("{}:{}", shown(self.over.server()), self.server.local.port())
        );
    }

    /// Holds an event of the server's end against the truth.
    pub fn is_server(&self, event: &Event, talk: &Talk) {
        self.is_end(event, &self.server, talk.pair.b.inode, "server");
        assert_eq!(event.end("local"), format!("{}:{}", shown(self.over.server()), self.server.local.port()));
        assert_eq!(
            event.end("remote"),
            format!("{}:{}", shown(self.over.client()), self.client.local.port())
        );
    }

    fn is_end(&self, event: &Event, truth: &Truth, netns: u32, role: &str) {
        let json = &event.json;
        assert_eq!(event.maybe("cookie"), Some(truth.cookie), "cookie of {json}");
        assert_eq!(event.maybe("netns"), Some(u64::from(netns)), "netns of {json}");
        assert_eq!(event.text("role"), role, "role of {json}");
        assert_eq!(event.text("family"), self.over.family(), "family of {json}");
        assert_eq!(event.text("socket_family"), self.over.socket_family(), "socket family of {json}");
        for mark in ["gap", "repaired", "synthetic", "start_unknown"] {
            assert!(!event.is(mark), "{mark} in {json}");
        }
    }
}

/// Holds an event's process against the truth.
pub fn is_process(event: &Event, path: &str, actor: &Actor) {
    let json = &event.json;
    assert_eq!(event.maybe(&format!("{path}.pid")), Some(u64::from(actor.pid)), "{path} of {json}");
    assert_eq!(event.text(&format!("{path}.comm")), actor.comm, "{path} of {json}");
}

/// IPv6 addresses in brackets.
pub fn shown(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}
