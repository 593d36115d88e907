//! Filters in the kernel: each lets through what it names and nothing else, alone and together with each
//! other one.

use std::{net::SocketAddr, process::Command};

use crate::{
    bed::{
        actor::{Actor, socket},
        cgroup::Cgroup,
        kernel,
        netns::{Pair, address},
        order::{Connect, Order, Truth},
        pins::Pins,
        talk::{Over, Talk},
        trace::Trace,
    },
    begin,
};

/// What a filter can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Netns,
    Cgroup,
    Pid,
    Uid,
    Family,
    LocalPort,
    RemotePort,
    LocalAddress,
    RemoteAddress,
}

const DIMENSIONS: [Dimension; 9] = [
    Dimension::Netns,
    Dimension::Cgroup,
    Dimension::Pid,
    Dimension::Uid,
    Dimension::Family,
    Dimension::LocalPort,
    Dimension::RemotePort,
    Dimension::LocalAddress,
    Dimension::RemoteAddress,
];

const PORT: u16 = 7001;
const OTHER_PORT: u16 = 7002;
const UID: u32 = 1001;

/// A connection that every filter lets through, and for each dimension one that differs in it alone.
struct Field {
    pair: Pair,
    _server: Actor,
    /// Not among them: the one that differs by its pid.
    pids: Vec<u32>,
    plain: Actor,
    other_pid: Actor,
    other_uid: Actor,
    other_cgroup: Actor,
    other_netns: Actor,
    next_port: u16,
    _elsewhere: (Pair, Actor),
    /// Last: a cgroup can be removed only after its processes are gone.
    inside: Cgroup,
    _outside: Cgroup,
}

impl Field {
    fn new() -> Self {
        let (inside, outside) = (Cgroup::new("inside"), Cgroup::new("outside"));
        let (pair, elsewhere) = (Pair::new(), Pair::new());
        pair.a.address("10.77.0.11/24", "to_b");
        pair.b.address("10.77.0.12/24", "to_a");
        let mut server = Actor::new("f-server", &pair.b);
        serve(&mut server);
        let mut far_server = Actor::new("f-server", &elsewhere.b);
        serve(&mut far_server);
        let mut plain = Actor::in_cgroup("f-plain", &pair.a, Some(&inside));
        let mut other_pid = Actor::in_cgroup("f-pid", &pair.a, Some(&inside));
        let mut other_uid = Actor::in_cgroup("f-uid", &pair.a, Some(&inside));
        let mut other_cgroup = Actor::in_cgroup("f-cgroup", &pair.a, Some(&outside));
        let mut other_netns = Actor::in_cgroup("f-netns", &elsewhere.a, Some(&inside));
        for actor in [&mut plain, &mut other_pid, &mut other_cgroup, &mut other_netns] {
            actor.done(&Order::Uid(UID));
        }
        other_uid.done(&Order::Uid(UID + 1));
        let pids = [&plain, &other_uid, &other_cgroup, &other_netns].map(|actor| actor.pid).to_vec();
        Self {
            pair,
            inside,
            _server: server,
            pids,
            plain,
            other_pid,
            other_uid,
            other_cgroup,
            other_netns,
            // Below the range of ephemeral ports, so that nobody else takes them.
            next_port: 10_000,
            _elsewhere: (elsewhere, far_server),
            _outside: outside,
        }
    }

    /// The arguments that ask for the plain connection in this dimension. Values that the connections of
    /// other dimensions have are among them, so that each differs in its own dimension only.
    fn arguments(&self, dimension: Dimension, ports: &str) -> [String; 2] {
        let pids: Vec<String> = self.pids.iter().map(u32::to_string).collect();
        let (flag, value) = match dimension {
            Dimension::Netns => ("--netns", self.pair.a.inode.to_string()),
            Dimension::Cgroup => ("--cgroup", self.inside.path.display().to_string()),
            Dimension::Pid => ("--pid", pids.join(",")),
            Dimension::Uid => ("--uid", UID.to_string()),
            Dimension::Family => return ["-4".to_owned(), "--color=never".to_owned()],
            Dimension::LocalPort => ("-L", ports.to_owned()),
            Dimension::RemotePort => ("-D", PORT.to_string()),
            Dimension::LocalAddress => ("--local", "10.77.0.1,fd77::/64".to_owned()),
            Dimension::RemoteAddress => ("--remote", "10.77.0.0/29,fd77::2".to_owned()),
        };
        [flag.to_owned(), value]
    }

    /// A whole connection; gives the client's cookie. `differs` names the one dimension that is not as asked.
    fn connection(&mut self, differs: Option<Dimension>, port: u16) -> u64 {
        let v6 = differs == Some(Dimension::Family);
        let from = match differs {
            Some(Dimension::LocalAddress) => "10.77.0.11",
            _ if v6 => "fd77::1",
            _ => "10.77.0.1",
        };
        let to = match differs {
            Some(Dimension::RemoteAddress) => "10.77.0.12",
            _ if v6 => "fd77::2",
            _ => "10.77.0.2",
        };
        let to_port = if differs == Some(Dimension::RemotePort) { OTHER_PORT } else { PORT };
        let actor = match differs {
            Some(Dimension::Pid) => &mut self.other_pid,
            Some(Dimension::Uid) => &mut self.other_uid,
            Some(Dimension::Cgroup) => &mut self.other_cgroup,
            Some(Dimension::Netns) => &mut self.other_netns,
            _ => &mut self.plain,
        };
        let connect = Connect {
            from: Some(SocketAddr::new(address(from), port)),
            ..Connect::to(SocketAddr::new(address(to), to_port))
        };
        let truth = socket(actor.order(&Order::Connect(connect)));
        // A reset leaves no TIME_WAIT behind, so the addresses can be had again at once.
        actor.done(&Order::Reset { socket: truth.number });
        truth.cookie
    }

    /// Three ports that nobody had before: two that are asked for and one that is not.
    fn ports(&mut self) -> [u16; 3] {
        self.next_port += 3;
        [self.next_port, self.next_port + 1, self.next_port + 2]
    }

    /// Runs the tool with these filters: the plain connection is there, the others are not.
    fn check(&mut self, dimensions: &[Dimension]) {
        let [plain_port, shared_port, other_port] = self.ports();
        let asked = format!("{plain_port},{shared_port}");
        let arguments: Vec<String> =
            dimensions.iter().flat_map(|dimension| self.arguments(*dimension, &asked)).collect();
        let arguments: Vec<&str> =
            std::iter::once("tcplife").chain(arguments.iter().map(String::as_str)).collect();
        let mut trace = Trace::start(&arguments);
        let unwanted: Vec<(Dimension, u64)> = dimensions
            .iter()
            .map(|dimension| {
                let port = if *dimension == Dimension::LocalPort { other_port } else { shared_port };
                (*dimension, self.connection(Some(*dimension), port))
            })
            .collect();
        let wanted = self.connection(None, plain_port);
        trace.wait_for(&format!("the connection that {arguments:?} ask for"), |event| event.of(wanted));
        let ended = trace.stop();
        for (dimension, cookie) in unwanted {
            let got = ended.select(|event| event.of(cookie));
            assert!(got.is_empty(), "{arguments:?} let through what differs by {dimension:?}: {got:?}");
        }
    }
}

fn serve(server: &mut Actor) {
    for port in [PORT, OTHER_PORT] {
        for at in ["0.0.0.0", "::"] {
            server.listen(SocketAddr::new(address(at), port));
        }
    }
}

#[test]
fn each_filter_lets_through_what_it_names_and_nothing_else() {
    begin!();
    let mut field = Field::new();
    for dimension in DIMENSIONS {
        field.check(&[dimension]);
    }
}

#[test]
fn two_filters_let_through_only_what_both_name() {
    begin!();
    let mut field = Field::new();
    for (index, one) in DIMENSIONS.iter().enumerate() {
        for (before, other) in DIMENSIONS[..index].iter().enumerate() {
            // Forty-odd starts take minutes where the machine is emulated: there each filter has some partners.
            if !kernel::is_emulated() || (index + before) % 3 == 0 {
                field.check(&[*one, *other]);
            }
        }
    }
}

#[test]
fn all_filters_together_let_the_one_through_that_fits_them_all() {
    begin!();
    Field::new().check(&DIMENSIONS);
}

/// Runs a tool; the connections of `unwanted` are made first, so that they would be seen before.
fn only(arguments: &[&str], traffic: impl FnOnce() -> (Vec<u64>, Vec<u64>)) {
    let mut trace = Trace::start(arguments);
    let (wanted, unwanted) = traffic();
    for cookie in wanted {
        trace.wait_for(&format!("{arguments:?}"), |event| event.of(cookie));
    }
    let ended = trace.stop();
    for cookie in unwanted {
        assert!(ended.select(|event| event.of(cookie)).is_empty(), "{arguments:?} let through too much");
    }
}

#[test]
fn a_namespace_can_be_given_by_path_by_pid_and_by_name() {
    begin!();
    let mut talk = Talk::new("ns-client", "ns-server");
    let listener = talk.listen(Over::V4, 0);
    let (path, pid) = (talk.pair.b.path(), talk.server.pid.to_string());
    for netns in [path, pid] {
        only(&["tcplife", "--netns", &netns], || {
            let connection = talk.whole(Over::V4, &listener, 1, 1);
            (vec![connection.server.cookie], vec![connection.client.cookie])
        });
    }
    let name = format!("sockeye-live-{}", std::process::id());
    let ip = |verb: &str| Command::new("ip").args(["netns", verb, &name]).status().unwrap().success();
    assert!(ip("add"));
    let seen = std::panic::catch_unwind(|| {
        let mut trace = Trace::start(&["tcpstates", "--netns", &name]);
        let output = Command::new("ip")
            .args(["netns", "exec", &name])
            .arg(std::env::current_exe().unwrap())
            .args(crate::bed::actor::ARGUMENTS)
            .env(crate::bed::actor::LISTENER, "1")
            .output()
            .unwrap();
        assert!(output.status.success());
        trace.wait_for("the listener inside", |event| event.text("state.new") == "LISTEN");
    });
    assert!(ip("delete"));
    seen.unwrap();
}

#[test]
fn four_lets_v4_mapped_through_and_six_does_not() {
    begin!();
    let mut talk = Talk::new("family-client", "family-srv");
    let listeners = Over::ALL.map(|over| (over, talk.listen(over, 0)));
    let mut lives = || listeners.map(|(over, listener)| talk.whole(over, &listener, 1, 1));
    only(&["tcplife", "-4"], || {
        let [v4, v6, mapped] = lives().map(|life| [life.client.cookie, life.server.cookie]);
        ([v4, mapped].concat(), v6.to_vec())
    });
    only(&["tcplife", "-6"], || {
        let [v4, v6, mapped] = lives().map(|life| [life.client.cookie, life.server.cookie]);
        (v6.to_vec(), [v4, mapped].concat())
    });
}

#[test]
fn an_ipv4_prefix_covers_v4_mapped_addresses() {
    begin!();
    let mut talk = Talk::new("prefix-client", "prefix-srv");
    let listeners = Over::ALL.map(|over| (over, talk.listen(over, 0)));
    let mut lives = || listeners.map(|(over, listener)| talk.whole(over, &listener, 1, 1));
    only(&["tcplife", "--remote", "10.77.0.2/32"], || {
        let [v4, v6, mapped] = lives();
        let servers = [v4, v6, mapped].map(|life| life.server.cookie);
        (vec![v4.client.cookie, mapped.client.cookie], [servers.as_slice(), &[v6.client.cookie]].concat())
    });
    only(&["tcplife", "--remote", "fd77::/64"], || {
        let [v4, v6, mapped] = lives();
        (vec![v6.client.cookie, v6.server.cookie], vec![v4.client.cookie, mapped.client.cookie])
    });
}

#[test]
fn a_set_of_ports_lets_each_of_them_through() {
    begin!();
    let mut talk = Talk::new("ports-client", "ports-server");
    let [one, two, three] = [7101, 7102, 7103].map(|port| talk.listen(Over::V4, port));
    only(&["tcplife", "-D", "7101,7103"], || {
        let [one, two, three] = [one, two, three].map(|listener| talk.whole(Over::V4, &listener, 1, 1));
        (vec![one.client.cookie, three.client.cookie], vec![two.client.cookie, one.server.cookie])
    });
}

/// One connection of a process that was just born in this cgroup.
fn life_in(cgroup: &Cgroup, pair: &Pair, to: &Truth) -> u64 {
    let mut actor = Actor::in_cgroup("newborn", &pair.a, Some(cgroup));
    let truth = actor.connect(SocketAddr::new(address("10.77.0.2"), to.local.port()));
    actor.close(&truth);
    truth.cookie
}

#[test]
fn a_cgroup_includes_what_is_created_below_it_later_without_a_gap() {
    begin!();
    let mut talk = Talk::new("-", "cgroup-server");
    let listener = talk.listen(Over::V4, 0);
    let (asked, sibling) = (Cgroup::new("asked"), Cgroup::new("sibling"));
    let old_child = asked.child("old");
    only(&["tcplife", "--cgroup", asked.path.to_str().unwrap()], || {
        let mut unwanted = vec![life_in(&sibling, &talk.pair, &listener)];
        let mut wanted =
            vec![life_in(&asked, &talk.pair, &listener), life_in(&old_child, &talk.pair, &listener)];
        for round in 0..10 {
            let child = asked.child(&format!("child-{round}"));
            let grandchild = child.child("grandchild");
            let nephew = sibling.child(&format!("nephew-{round}"));
            unwanted.push(life_in(&nephew, &talk.pair, &listener));
            wanted.push(life_in(&grandchild, &talk.pair, &listener));
            wanted.push(life_in(&child, &talk.pair, &listener));
            drop(grandchild);
        }
        (wanted, unwanted)
    });
    let id = old_child.id.to_string();
    only(&["tcplife", "--cgroup", &id], || {
        let unwanted = life_in(&asked, &talk.pair, &listener);
        (vec![life_in(&old_child, &talk.pair, &listener)], vec![unwanted])
    });
    drop(old_child);
}

#[test]
fn a_pinned_map_of_cgroups_decides_as_it_is_at_the_time() {
    begin!();
    let mut talk = Talk::new("-", "map-server");
    let listener = talk.listen(Over::V4, 0);
    let (first, second, never) = (Cgroup::new("first"), Cgroup::new("second"), Cgroup::new("never"));
    let pins = Pins::new();
    let (pin, mut map) = pins.ids::<u64>("cgroups");
    map.insert(first.id, 1, 0).unwrap();
    only(&["tcplife", "-C", pin.to_str().unwrap()], || {
        let mut unwanted = vec![life_in(&never, &talk.pair, &listener)];
        let mut wanted = vec![life_in(&first, &talk.pair, &listener)];
        map.insert(second.id, 1, 0).unwrap();
        wanted.push(life_in(&second, &talk.pair, &listener));
        unwanted.push(life_in(&never, &talk.pair, &listener));
        (wanted, unwanted)
    });
}

#[test]
fn a_cgroup_can_be_given_to_the_letter_of_the_pinned_map() {
    begin!();
    let mut talk = Talk::new("-", "letter-server");
    let listener = talk.listen(Over::V4, 0);
    let (asked, other) = (Cgroup::new("letter"), Cgroup::new("no-letter"));
    only(&["tcplife", "-C", asked.path.to_str().unwrap()], || {
        let unwanted = life_in(&other, &talk.pair, &listener);
        (vec![life_in(&asked, &talk.pair, &listener)], vec![unwanted])
    });
}

#[test]
fn a_pinned_map_of_mount_namespaces_lets_their_processes_through() {
    begin!();
    let mut talk = Talk::new("mnt-client", "mnt-server");
    let listener = talk.listen(Over::V4, 0);
    let mut inside = Actor::new("mnt-inside", &talk.pair.a);
    inside.done(&Order::UnshareMounts);
    let to = SocketAddr::new(address("10.77.0.2"), listener.local.port());
    // The thread that works has the namespace; it names itself in what it makes.
    let probe = inside.connect(to);
    let mntns = mount_namespace(inside.pid, probe.tid);
    assert_ne!(mntns, mount_namespace(talk.client.pid, talk.client.pid));
    let pins = Pins::new();
    let (pin, mut map) = pins.ids::<u32>("mounts");
    map.insert(mntns, 1, 0).unwrap();
    only(&["tcplife", "-M", pin.to_str().unwrap()], || {
        let outside = talk.client.connect(to);
        talk.client.close(&outside);
        let truth = inside.connect(to);
        inside.close(&truth);
        (vec![truth.cookie], vec![outside.cookie])
    });
}

fn mount_namespace(pid: u32, tid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(format!("/proc/{pid}/task/{tid}/ns/mnt")).unwrap().ino()
}

#[test]
fn a_pinned_map_of_another_shape_is_refused_by_name() {
    begin!();
    let pins = Pins::new();
    let pin = pins.pin::<u32, u32>("shape");
    for letter in ["-C", "-M"] {
        let (mut command, _) = crate::bed::trace::command(&["tcplife", letter, pin.to_str().unwrap()]);
        let output = command.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{words}");
        assert_eq!(words.trim_end().lines().count(), 1, "{words}");
        assert!(words.contains(pin.to_str().unwrap()), "{words}");
    }
}
