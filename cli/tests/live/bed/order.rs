//! What a remote-controlled process can be told to do, and how it does it: runs in the process itself.

use std::{
    collections::HashMap,
    ffi::CString,
    io::{IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::SocketAddr,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, acceptfrom_with, bind, connect,
        connect_unspec, getpeername, getsockname, listen, recv, recvmsg, send, sendmsg, shutdown,
        socket_with, sockopt,
    },
};
use serde::{Deserialize, Serialize};

/// How to connect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connect {
    /// The peer.
    pub to: SocketAddr,
    /// Local address and port, where they matter.
    pub from: Option<SocketAddr>,
    /// Whether to use an AF_INET6 socket for an IPv4 peer.
    pub mapped: bool,
    /// Give up by closing the socket after so long.
    pub give_up_after: Option<Duration>,
    /// Connect in a thread of this name.
    pub in_thread: Option<String>,
    /// A smaller receive buffer.
    pub receive_buffer: Option<usize>,
}

impl Connect {
    /// A plain connect.
    pub const fn to(to: SocketAddr) -> Self {
        Self { to, from: None, mapped: false, give_up_after: None, in_thread: None, receive_buffer: None }
    }
}

/// How many connections to make or serve, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Storm {
    /// The servers, in turn.
    pub to: Vec<SocketAddr>,
    /// How many.
    pub count: u32,
    /// Stop after this time, whatever was reached.
    pub at_most: Duration,
}

/// One thing to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Take a name.
    Comm(Vec<u8>),
    /// Become another user, for good.
    Uid(u32),
    /// Move into a mount namespace of one's own.
    UnshareMounts,
    /// Listen.
    Listen { at: SocketAddr, backlog: i32, dual_stack: bool },
    /// Take one connection from a listener.
    Accept { listener: u32 },
    /// Connect.
    Connect(Connect),
    /// Make a connection to oneself and hold both ends.
    Send { socket: u32, bytes: u64 },
    /// Read exactly so many bytes.
    Receive { socket: u32, bytes: u64 },
    /// Read until the peer ends it; counts, and gives the error where there is one.
    Drain { socket: u32 },
    /// close().
    Close { sockets: Vec<u32> },
    /// close() with SO_LINGER 0: a RST.
    Reset { socket: u32 },
    /// shutdown(SHUT_WR).
    ShutdownWrite { socket: u32 },
    /// connect(AF_UNSPEC).
    Disconnect { socket: u32 },
    /// TCP_USER_TIMEOUT, in milliseconds.
    UserTimeout { socket: u32, milliseconds: u32 },
    /// SO_SNDBUF.
    SendBuffer { socket: u32, bytes: usize },
    /// Hand a socket to the process that waits at this path, and close it here.
    Pass { socket: u32, path: PathBuf },
    /// Wait at this path for a socket.
    TakePassed { path: PathBuf },
    /// Start a child of this name that has the socket as its input, reads `receive` bytes, writes `send` bytes
    /// and ends; the socket is closed here at once.
    GiveToChild { socket: u32, comm: String, receive: u64, send: u64 },
    /// Serve until so many connections were had; every second one is closed by this side first.
    Serve { listener: u32, count: u32 },
    /// Connect, send and receive a little, close: often.
    Storm(Storm),
    /// Open so many connections to a listener and hold them.
    Hold { to: SocketAddr, count: u32 },
    /// Take so many connections from a listener and hold them.
    AcceptMany { listener: u32, count: u32 },
    /// Close all that `Hold` and `AcceptMany` hold, in a row.
    CloseHeld,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Done,
    /// A socket, by its number in this process.
    Socket(Truth),
    /// Bytes that went or came.
    Bytes { count: u64, errno: Option<i32> },
    /// Connections that were made or served.
    Count(u32),
    /// The process id of a child, and its output when it ended.
    Child { pid: u32 },
    /// The call failed.
    Failed { errno: i32, elapsed: Duration },
}

/// A socket as its own process knows it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Truth {
    /// Its number in the process.
    pub number: u32,
    /// SO_COOKIE.
    pub cookie: u64,
    /// getsockname.
    pub local: SocketAddr,
    /// getpeername.
    pub remote: Option<SocketAddr>,
    /// The thread that made it.
    pub tid: u32,
    /// How long the call took.
    pub took: Duration,
}

/// The sockets of the process.
#[derive(Debug, Default)]
pub struct Hands {
    sockets: HashMap<u32, OwnedFd>,
    held: Vec<OwnedFd>,
    next: u32,
}

impl Hands {
    /// Does it.
    pub fn obey(&mut self, order: Order) -> Reply {
        let begin = Instant::now();
        self.try_obey(order)
            .unwrap_or_else(|error| Reply::Failed { errno: error.raw_os_error(), elapsed: begin.elapsed() })
    }

    fn try_obey(&mut self, order: Order) -> Result<Reply, Errno> {
        match order {
            Order::Comm(comm) => set_comm(&comm),
            Order::Uid(uid) => {
                let uid = rustix::process::Uid::from_raw(uid);
                rustix::thread::set_thread_res_uid(uid, uid, uid)?;
            }
            Order::UnshareMounts => nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap(),
            Order::Listen { at, backlog, dual_stack } => {
                let begin = Instant::now();
                let socket = tcp(at.is_ipv6())?;
                sockopt::set_socket_reuseaddr(&socket, true)?;
                if at.is_ipv6() {
                    sockopt::set_ipv6_v6only(&socket, !dual_stack)?;
                }
                bind(&socket, &at)?;
                listen(&socket, backlog)?;
                return self.keep(socket, begin);
            }
            Order::Accept { listener } => {
                let begin = Instant::now();
                let (socket, _) = acceptfrom_with(self.get(listener), SocketFlags::CLOEXEC)?;
                return self.keep(socket, begin);
            }
            Order::Connect(how) => {
                let (socket, tid, took) = match how.in_thread.clone() {
                    Some(name) => std::thread::Builder::new()
                        .name(name)
                        .spawn(move || make(&how))
                        .unwrap()
                        .join()
                        .unwrap(),
                    None => make(&how),
                }?;
                let begin = Instant::now();
                let Reply::Socket(truth) = self.keep(socket, begin)? else { unreachable!() };
                return Ok(Reply::Socket(Truth { tid, took, ..truth }));
            }
            Order::Send { socket, bytes } => return Ok(transfer(bytes, |n| write(self.get(socket), n))),
            Order::Receive { socket, bytes } => return Ok(transfer(bytes, |n| read(self.get(socket), n))),
            Order::Drain { socket } => return Ok(transfer(u64::MAX, |n| read(self.get(socket), n))),
            Order::Close { sockets } => sockets.iter().for_each(|socket| drop(self.take(*socket))),
            Order::Reset { socket } => {
                let socket = self.take(socket);
                sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
            }
            Order::ShutdownWrite { socket } => shutdown(self.get(socket), Shutdown::Write)?,
            Order::Disconnect { socket } => connect_unspec(self.get(socket))?,
            Order::UserTimeout { socket, milliseconds } => {
                sockopt::set_tcp_user_timeout(self.get(socket), milliseconds)?;
            }
            Order::SendBuffer { socket, bytes } => {
                sockopt::set_socket_send_buffer_size(self.get(socket), bytes)?;
            }
            Order::Pass { socket, path } => pass(&self.take(socket), &path)?,
            Order::TakePassed { path } => {
                let begin = Instant::now();
                return self.keep(take_passed(&path)?, begin);
            }
            Order::GiveToChild { socket, comm, receive, send } => {
                let mut child = Command::new(std::env::current_exe().unwrap())
                    .args(super::actor::ARGUMENTS)
                    .env(super::actor::CHILD, format!("{comm} {receive} {send}"))
                    .stdin(Stdio::from(self.take(socket)))
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap();
                let pid = child.id();
                std::thread::spawn(move || child.wait());
                return Ok(Reply::Child { pid });
            }
            Order::Serve { listener, count } => return serve(self.get(listener), count),
            Order::Storm(storm) => return storm_of(&storm),
            Order::Hold { to, count } => {
                for _ in 0..count {
                    self.held.push(make(&Connect::to(to))?.0);
                }
            }
            Order::AcceptMany { listener, count } => {
                for _ in 0..count {
                    let (socket, _) = acceptfrom_with(self.get(listener), SocketFlags::CLOEXEC)?;
                    self.held.push(socket);
                }
            }
            Order::CloseHeld => self.held.clear(),
        }
        Ok(Reply::Done)
    }

    fn keep(&mut self, socket: OwnedFd, begin: Instant) -> Result<Reply, Errno> {
        self.next += 1;
        let truth = Truth {
            number: self.next,
            took: begin.elapsed(),
            tid: tid(),
            cookie: sockopt::socket_cookie(&socket)?,
            local: getsockname(&socket)?.try_into()?,
            remote: getpeername(&socket).ok().flatten().and_then(|peer| peer.try_into().ok()),
        };
        self.sockets.insert(truth.number, socket);
        Ok(Reply::Socket(truth))
    }

    fn get(&self, socket: u32) -> BorrowedFd<'_> {
        self.sockets[&socket].as_fd()
    }

    fn take(&mut self, socket: u32) -> OwnedFd {
        self.sockets.remove(&socket).unwrap()
    }
}

fn tid() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

/// Names the thread that works and the one that `/proc/PID/comm` shows.
pub fn set_comm(comm: &[u8]) {
    rustix::thread::set_name(&CString::new(comm).unwrap()).unwrap();
    std::fs::write("/proc/self/comm", comm).unwrap();
}

fn tcp(v6: bool) -> Result<OwnedFd, Errno> {
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        v6 @ SocketAddr::V6(_) => v6,
    }
}

fn make(how: &Connect) -> Result<(OwnedFd, u32, Duration), Errno> {
    let (to, from) = if how.mapped { (mapped(how.to), how.from.map(mapped)) } else { (how.to, how.from) };
    let socket = tcp(to.is_ipv6())?;
    if let Some(bytes) = how.receive_buffer {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    if let Some(from) = from {
        bind(&socket, &from)?;
    }
    let begin = Instant::now();
    if let Some(give_up_after) = how.give_up_after {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let result = connect(&socket, &to);
        assert_eq!(result, Err(Errno::INPROGRESS), "a connect that can be given up");
        let timeout = Timespec::try_from(give_up_after).unwrap();
        poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&timeout))?;
        drop(socket);
        return Err(Errno::CANCELED);
    }
    connect(&socket, &to)?;
    Ok((socket, tid(), begin.elapsed()))
}

/// Moves up to `bytes` bytes by steps; ends at 0 or at an error.
fn transfer(bytes: u64, mut step: impl FnMut(usize) -> Result<usize, Errno>) -> Reply {
    let mut count = 0;
    while count < bytes {
        match step(usize::try_from((bytes - count).min(65536)).unwrap()) {
            Ok(0) => break,
            Ok(moved) => count += moved as u64,
            Err(Errno::INTR) => {}
            Err(error) => return Reply::Bytes { count, errno: Some(error.raw_os_error()) },
        }
    }
    Reply::Bytes { count, errno: None }
}

fn write(socket: BorrowedFd<'_>, bytes: usize) -> Result<usize, Errno> {
    send(socket, &[0x55; 65536][..bytes], SendFlags::NOSIGNAL)
}

fn read(socket: BorrowedFd<'_>, bytes: usize) -> Result<usize, Errno> {
    recv(socket, &mut [0; 65536][..bytes], RecvFlags::empty()).map(|(count, _)| count)
}

fn pass(socket: &OwnedFd, path: &std::path::Path) -> Result<(), Errno> {
    let to = super::until(super::PATIENCE, || std::os::unix::net::UnixStream::connect(path).ok()).unwrap();
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&sockets)));
    sendmsg(&to, &[IoSlice::new(b"!")], &mut control, SendFlags::empty())?;
    Ok(())
}

fn take_passed(path: &std::path::Path) -> Result<OwnedFd, Errno> {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    let (from, _) = listener.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&from, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    std::fs::remove_file(path).unwrap();
    let message = control.drain().next();
    let Some(RecvAncillaryMessage::ScmRights(mut sockets)) = message else { panic!("no descriptor came") };
    Ok(sockets.next().unwrap())
}

/// First bytes of a request: who closes first, so that both ways are had; and that it was the last.
const SERVER_FIRST: u8 = 0;
const CLIENT_FIRST: u8 = 1;
const LAST: u8 = 2;

fn serve(listener: BorrowedFd<'_>, count: u32) -> Result<Reply, Errno> {
    for _ in 0..count {
        let (socket, _) = acceptfrom_with(listener, SocketFlags::CLOEXEC)?;
        let mut request = [0; 64];
        recv(&socket, &mut request, RecvFlags::WAITALL)?;
        send(&socket, &[1; 32], SendFlags::NOSIGNAL)?;
        match request[0] {
            CLIENT_FIRST => while recv(&socket, &mut [0; 8], RecvFlags::empty())?.0 > 0 {},
            LAST => break,
            _ => {}
        }
    }
    Ok(Reply::Done)
}

fn storm_of(storm: &Storm) -> Result<Reply, Errno> {
    let end = Instant::now() + storm.at_most;
    let mut done = 0;
    for to in storm.to.iter().cycle().take(storm.count as usize) {
        let (socket, ..) = make(&Connect::to(*to))?;
        done += 1;
        let is_last = Instant::now() > end;
        let kind = if is_last { LAST } else { [SERVER_FIRST, CLIENT_FIRST][done as usize % 2] };
        send(&socket, &[kind; 64], SendFlags::NOSIGNAL)?;
        let mut answer = [0; 32];
        recv(&socket, &mut answer, RecvFlags::WAITALL)?;
        if kind != CLIENT_FIRST {
            while recv(&socket, &mut answer, RecvFlags::empty())?.0 > 0 {}
        }
        if is_last {
            break;
        }
    }
    Ok(Reply::Count(done))
}

/// The child of [`Order::GiveToChild`]: `comm receive send`, its socket is descriptor 0.
pub fn serve_as_child(order: &str) {
    let mut words = order.split(' ');
    set_comm(words.next().unwrap().as_bytes());
    let mut socket = std::io::stdin();
    let receive: usize = words.next().unwrap().parse().unwrap();
    let send: usize = words.next().unwrap().parse().unwrap();
    socket.read_exact(&mut vec![0; receive]).unwrap();
    let mut output = std::fs::File::from(socket.as_fd().try_clone_to_owned().unwrap());
    output.write_all(&vec![7; send]).unwrap();
}
