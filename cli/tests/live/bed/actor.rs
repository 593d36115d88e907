//! A process that does what it is told: this executable again, with a name, a user and a place of its own.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use super::{
    PATIENCE,
    cgroup::Cgroup,
    netns::Netns,
    order::{self, Connect, Hands, Order, Reply, Truth},
};

const ACTOR: &str = "SOCKEYE_ACTOR";
/// The environment variable that makes the executable a child of [`Order::GiveToChild`].
pub const CHILD: &str = "SOCKEYE_CHILD";
/// The environment variable that makes the executable listen once on loopback and end.
pub const LISTENER: &str = "SOCKEYE_LISTENER";
/// What makes the executable run [`actor`] and nothing else.
pub const ARGUMENTS: [&str; 4] = ["bed::actor::actor", "--exact", "--nocapture", "--test-threads=1"];
/// Replies begin with it; libtest's own words do not contain it.
const MARK: char = '\u{1}';

/// Not a test: where a remote-controlled process begins. Run as a test it does nothing.
#[test]
fn actor() {
    if let Ok(order) = std::env::var(CHILD) {
        order::serve_as_child(&order);
        std::process::exit(0);
    }
    if std::env::var(LISTENER).is_ok() {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        std::process::exit(0);
    }
    if std::env::var(ACTOR).is_err() {
        return;
    }
    let (give, take) = channel();
    // Not in the thread that works: the end of the input must end the process, whatever call it sleeps in.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            give.send(serde_json::from_str::<Order>(&line).unwrap()).unwrap();
        }
        std::process::exit(0);
    });
    let mut hands = Hands::default();
    for order in take {
        let reply = serde_json::to_string(&hands.obey(order)).unwrap();
        let mut output = std::io::stdout().lock();
        writeln!(output, "{MARK}{reply}").unwrap();
        output.flush().unwrap();
    }
}

/// A remote-controlled process. Ends when dropped.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    orders: Option<ChildStdin>,
    replies: Receiver<Reply>,
    /// Its process id.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Inode of its network namespace.
    pub netns: u32,
}

impl Actor {
    /// A process of this name in this namespace.
    pub fn new(comm: &str, netns: &Netns) -> Self {
        Self::in_cgroup(comm, netns, None)
    }

    /// The same, in a cgroup from before its first socket on.
    pub fn in_cgroup(comm: &str, netns: &Netns, cgroup: Option<&Cgroup>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(ARGUMENTS).env(ACTOR, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = netns.spawn(&mut command);
        if let Some(cgroup) = cgroup {
            cgroup.add(child.id());
        }
        let output = BufReader::new(child.stdout.take().unwrap());
        let (give, replies) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Some((_, reply)) = line.split_once(MARK) else { continue };
                if give.send(serde_json::from_str(reply).unwrap()).is_err() {
                    break;
                }
            }
        });
        let orders = child.stdin.take();
        let mut actor =
            Self { pid: child.id(), child, orders, replies, comm: comm.to_owned(), netns: netns.inode };
        actor.done(&Order::Comm(comm.as_bytes().to_vec()));
        actor
    }

    /// Gives an order and does not wait.
    pub fn start(&mut self, order: &Order) {
        let mut line = serde_json::to_vec(order).unwrap();
        line.push(b'\n');
        self.orders.as_mut().unwrap().write_all(&line).unwrap();
    }

    /// Waits for the reply to an order that was started.
    pub fn finish(&mut self) -> Reply {
        self.finish_within(PATIENCE)
    }

    /// The same for what takes long.
    pub fn finish_within(&mut self, patience: Duration) -> Reply {
        self.replies.recv_timeout(patience).unwrap_or_else(|_| panic!("{} does not answer", self.comm))
    }

    /// Gives an order and waits for what comes of it.
    pub fn order(&mut self, order: &Order) -> Reply {
        self.start(order);
        self.finish()
    }

    /// An order that must work.
    pub fn done(&mut self, order: &Order) {
        let reply = self.order(order);
        assert!(matches!(reply, Reply::Done), "{order:?}: {reply:?}");
    }

    /// Listens; port 0 picks one.
    pub fn listen(&mut self, at: SocketAddr) -> Truth {
        socket(self.order(&Order::Listen { at, backlog: 1024, dual_stack: false }))
    }

    /// Connects.
    pub fn connect(&mut self, to: SocketAddr) -> Truth {
        socket(self.order(&Order::Connect(Connect::to(to))))
    }

    /// Connects, which must fail; gives errno and time.
    pub fn fail_to_connect(&mut self, how: &Connect) -> (i32, Duration) {
        match self.order(&Order::Connect(how.clone())) {
            Reply::Failed { errno, elapsed } => (errno, elapsed),
            other => panic!("{how:?} should have failed: {other:?}"),
        }
    }

    /// Accepts.
    pub fn accept(&mut self, listener: &Truth) -> Truth {
        socket(self.order(&Order::Accept { listener: listener.number }))
    }

    /// Writes so many bytes, all of which must go.
    pub fn send(&mut self, to: &Truth, bytes: u64) {
        let reply = self.order(&Order::Send { socket: to.number, bytes });
        assert!(matches!(reply, Reply::Bytes { count, errno: None } if count == bytes), "{reply:?}");
    }

    /// Reads so many bytes, all of which must come.
    pub fn receive(&mut self, from: &Truth, bytes: u64) {
        let reply = self.order(&Order::Receive { socket: from.number, bytes });
        assert!(matches!(reply, Reply::Bytes { count, errno: None } if count == bytes), "{reply:?}");
    }

    /// Reads to the end.
    pub fn drain(&mut self, from: &Truth) -> u64 {
        match self.order(&Order::Drain { socket: from.number }) {
            Reply::Bytes { count, errno: None } => count,
            other => panic!("{other:?}"),
        }
    }

    /// Closes.
    pub fn close(&mut self, socket: &Truth) {
        self.done(&Order::Close { sockets: vec![socket.number] });
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        drop(self.orders.take());
        // Ended rather than waited for: it may sleep in a call.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The socket that a reply must be.
pub fn socket(reply: Reply) -> Truth {
    match reply {
        Reply::Socket(truth) => truth,
        other => panic!("no socket: {other:?}"),
    }
}
