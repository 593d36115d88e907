//! Network namespaces that live as long as the test holds them, and cables between them.

use std::{
    collections::HashMap,
    fs::File,
    net::IpAddr,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::MetadataExt as _,
    },
    process::{Child, Command},
};

use nix::sched::{CloneFlags, unshare};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace. Gone when dropped and its last process ended.
#[derive(Debug)]
pub struct Netns {
    file: File,
    /// The inode: what the kernel and the tools call it.
    pub inode: u32,
}

impl Netns {
    /// A new, empty namespace with its loopback up.
    pub fn new() -> Self {
        let file = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace");
            File::open("/proc/thread-self/ns/net").unwrap()
        })
        .join()
        .unwrap();
        let inode = u32::try_from(file.metadata().unwrap().ino()).unwrap();
        let netns = Self { file, inode };
        netns.ip(&["link", "set", "lo", "up"]);
        netns
    }

    /// A path under which any process of this machine finds it while this process lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Runs `work` in a thread inside the namespace.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                    work()
                })
                .join()
                .unwrap()
        })
    }

    /// Starts a process inside the namespace.
    pub fn spawn(&self, command: &mut Command) -> Child {
        self.enter(|| command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Runs iproute2 inside the namespace.
    pub fn ip(&self, arguments: &[&str]) {
        let output = self.enter(|| Command::new(ip_path()).args(arguments).output().unwrap());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {}: {errors}", arguments.join(" "));
    }

    /// Adds an address to a device, usable at once.
    pub fn address(&self, address: &str, device: &str) {
        let mut arguments = vec!["addr", "add", address, "dev", device];
        if address.contains(':') {
            arguments.push("nodad");
        }
        self.ip(&arguments);
    }

    /// Sets a sysctl of the namespace, named as its path below /proc/sys.
    pub fn sysctl(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/{name}");
        self.enter(|| std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
    }

    /// A counter of the namespace's /proc/net/snmp, such as `Tcp` `ActiveOpens`.
    pub fn snmp(&self, protocol: &str, counter: &str) -> u64 {
        self.counter("snmp", protocol, counter)
    }

    /// A counter of TCP's in the namespace's /proc/net/netstat, such as `TCPTimeouts`.
    pub fn tcp_ext(&self, counter: &str) -> u64 {
        self.counter("netstat", "TcpExt", counter)
    }

    /// Sends what is for a neighbour to nobody: to a hardware address that nobody has.
    pub fn lose(&self, neighbour: &str, device: &str) {
        let nobody = "02:00:00:00:00:99";
        self.ip(&["neigh", "replace", neighbour, "lladdr", nobody, "dev", device, "nud", "permanent"]);
    }

    /// Ends [`Netns::lose`]: the neighbour is asked for its address.
    pub fn find(&self, neighbour: &str, device: &str) {
        self.ip(&["neigh", "del", neighbour, "dev", device]);
    }

    fn counter(&self, file: &str, protocol: &str, counter: &str) -> u64 {
        let path = format!("/proc/thread-self/net/{file}");
        let text = self.enter(|| std::fs::read_to_string(&path).unwrap());
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol)?.strip_prefix(": "));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let counters: HashMap<_, _> = names.split(' ').zip(values.split(' ')).collect();
        counters[counter].parse().unwrap()
    }
}

/// iproute2, not busybox: only the former knows namespaces by path.
fn ip_path() -> &'static str {
    ["/sbin/ip", "/usr/sbin/ip", "/bin/ip", "/usr/bin/ip"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .expect("iproute2's ip")
}

/// Two namespaces and a cable.
#[derive(Debug)]
pub struct Pair {
    /// One end: 10.77.0.1, fd77::1.
    pub a: Netns,
    /// The other: 10.77.0.2, fd77::2.
    pub b: Netns,
}

impl Pair {
    /// Lays the cable.
    pub fn new() -> Self {
        let pair = Self { a: Netns::new(), b: Netns::new() };
        cable(&pair.a, "to_b", &pair.b, "to_a");
        for (netns, number, device) in [(&pair.a, 1, "to_b"), (&pair.b, 2, "to_a")] {
            netns.address(&format!("10.77.0.{number}/24"), device);
            netns.address(&format!("fd77::{number}/64"), device);
        }
        pair
    }
}

/// A client, a router and a server in a row: 10.77.1.2 - 10.77.1.1 | 10.77.2.1 - 10.77.2.2, and 10.99.0.0/16
/// behind the router where it leads nowhere yet.
#[derive(Debug)]
pub struct Routed {
    /// The client.
    pub client: Netns,
    /// The router.
    pub router: Netns,
    /// The server.
    pub server: Netns,
}

impl Routed {
    /// Lays both cables.
    pub fn new() -> Self {
        let row = Self { client: Netns::new(), router: Netns::new(), server: Netns::new() };
        cable(&row.client, "wan", &row.router, "to_client");
        cable(&row.server, "wan", &row.router, "to_server");
        row.router.sysctl("net/ipv4/ip_forward", "1");
        // Else only one ICMP error in six is sent.
        row.router.sysctl("net/ipv4/icmp_ratelimit", "0");
        for (end, device, net) in [(&row.client, "to_client", 1), (&row.server, "to_server", 2)] {
            end.address(&format!("10.77.{net}.2/24"), "wan");
            row.router.address(&format!("10.77.{net}.1/24"), device);
            end.ip(&["route", "add", "default", "via", &format!("10.77.{net}.1")]);
        }
        row
    }
}

/// A veth pair, both ends up.
fn cable(one: &Netns, one_name: &str, other: &Netns, other_name: &str) {
    let path = other.path();
    one.ip(&["link", "add", one_name, "type", "veth", "peer", "name", other_name, "netns", &path]);
    one.ip(&["link", "set", one_name, "up"]);
    other.ip(&["link", "set", other_name, "up"]);
}

/// Parses an address that a test wrote.
pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
