//! Where clients come in: unix socket, loopback, and TLS on the network. Everything is bound before anything is
//! loaded, so that what is wrong is said at once.

mod unix;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use rustix::io::Errno;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, UnixListener},
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::{
    config::{Endpoint, Limits},
    connection::{Bytes, Connection, Peer, Wire},
    limit::{Admission, Gate, Handshake},
    metrics::{ApiMetrics, Refusal},
    stop::{Phase, Stop},
    tls::{Certificate, Tls},
};
use crate::host::{Roots, netns};
pub use unix::UnixError;

/// The unix socket of `listen: auto`.
pub const UNIX_SOCKET: &str = "/run/sockeye/agent.sock";
/// The port of `listen: auto`.
pub const PORT: u16 = 4250;

/// A place that cannot be listened at.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The unix socket.
    #[error(transparent)]
    Unix(#[from] UnixError),
    /// An address.
    #[error("listen: {address}: {}", words(source))]
    Tcp {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The network without TLS.
    #[error(
        "listen: {0} can be reached from the network, which needs TLS and a way to tell callers apart; without them \
         listen on 127.0.0.1 or unix:PATH"
    )]
    Open(SocketAddr),
}

pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_ascii_lowercase()
}

/// Where `listen: auto` listens: at the unix socket, and at loopback only where loopback is the agent's own. In the
/// host's network namespace every user of the machine reaches it.
pub fn auto(roots: &Roots) -> Vec<Endpoint> {
    let mut endpoints = vec![Endpoint::Unix(PathBuf::from(UNIX_SOCKET))];
    if own_loopback(roots) {
        endpoints.push(Endpoint::Tcp((Ipv4Addr::LOCALHOST, PORT).into()));
    }
    endpoints
}

/// Whether the network namespace is another one than the host's. Where that cannot be told, it is not.
pub fn own_loopback(roots: &Roots) -> bool {
    match (netns::own(roots), netns::host(roots)) {
        (Ok(own), Some(host)) => own != host,
        _ => false,
    }
}

/// Listeners that are bound.
#[derive(Debug)]
pub struct Listeners(Vec<Listener>);

#[derive(Debug)]
enum Listener {
    Unix(unix::Socket),
    Loopback(TcpListener),
    Network(TcpListener, Arc<Tls>),
}

impl Listeners {
    /// Binds all of them, or says which cannot be.
    pub async fn bind(endpoints: &[Endpoint], tls: Option<&Arc<Tls>>) -> Result<Self, ListenError> {
        let mut listeners = Vec::new();
        for endpoint in endpoints {
            listeners.push(match endpoint {
                Endpoint::Unix(path) => Listener::Unix(unix::Socket::bind(path).await?),
                Endpoint::Tcp(address) if !endpoint.on_network() => Listener::Loopback(bind(*address)?),
                Endpoint::Tcp(address) => {
                    let tls = tls.ok_or(ListenError::Open(*address))?;
                    Listener::Network(bind(*address)?, Arc::clone(tls))
                }
            });
        }
        Ok(Self(listeners))
    }

    /// Where clients find them, in the order in which they were given; a port that was 0 is the one that was got.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.0
            .iter()
            .filter_map(|listener| match listener {
                Listener::Unix(socket) => Some(Endpoint::Unix(socket.path().to_owned())),
                Listener::Loopback(listener) | Listener::Network(listener, _) => {
                    listener.local_addr().ok().map(Endpoint::Tcp)
                }
            })
            .collect()
    }

    /// Accepts until stopping begins. Each connection is one item.
    pub(super) fn accept(
        self,
        limits: &Limits,
        stop: &Stop,
        metrics: &ApiMetrics,
    ) -> mpsc::Receiver<io::Result<Wire>> {
        // A connection waits here only until the server takes it; what waits longer waits in the kernel.
        let (sender, receiver) = mpsc::channel(1);
        let gate = Gate::new(*limits);
        for listener in self.0 {
            let door = Door {
                gate: Arc::clone(&gate),
                limits: *limits,
                stop: stop.clone(),
                metrics: metrics.clone(),
                sender: sender.clone(),
            };
            tokio::spawn(async move {
                let stopping = door.stop.clone();
                let mut stopped = pin!(stopping.stopping());
                tokio::select! {
                    biased;
                    () = &mut stopped => {}
                    () = door.run(&listener) => {}
                }
            });
        }
        receiver
    }
}

/// Binds a TCP address. `[::]` takes IPv4 in, and becomes 0.0.0.0 where there is no IPv6.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let failed = |source| ListenError::Tcp { address, source };
    let everywhere = address.ip() == Ipv6Addr::UNSPECIFIED;
    match listener(address) {
        Err(error)
            if everywhere && [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].map(Some).contains(&errno(&error)) =>
        {
            listener((Ipv4Addr::UNSPECIFIED, address.port()).into()).map_err(failed)
        }
        bound => bound.map_err(failed),
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    const BACKLOG: u32 = 128;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of the agent before this one may still be in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What a listener's task needs.
struct Door {
    gate: Arc<Gate>,
    limits: Limits,
    stop: Stop,
    metrics: ApiMetrics,
    sender: mpsc::Sender<io::Result<Wire>>,
}

impl Door {
    async fn run(&self, listener: &Listener) {
        loop {
            match listener {
                Listener::Unix(socket) => self.unix(socket.listener()).await,
                Listener::Loopback(listener) => self.loopback(listener).await,
                Listener::Network(listener, tls) => self.network(listener, tls).await,
            }
        }
    }

    async fn unix(&self, listener: &UnixListener) {
        let Some((stream, _)) = self.accepted(listener.accept().await).await else { return };
        let uid = match stream.peer_cred() {
            Ok(credentials) => credentials.uid(),
            Err(error) => return debug!(%error, "a client left before the kernel said who it is"),
        };
        match self.gate.local() {
            Ok(admission) => self.hand_over(Bytes::Unix(stream), Peer::Unix { uid }, admission).await,
            Err(refusal) => self.refuse(refusal, &Peer::Unix { uid }),
        }
    }

    async fn loopback(&self, listener: &TcpListener) {
        let Some((stream, address)) = self.accepted(listener.accept().await).await else { return };
        let _ = stream.set_nodelay(true);
        match self.gate.local() {
            Ok(admission) => self.hand_over(Bytes::Tcp(stream), Peer::Loopback(address), admission).await,
            Err(refusal) => self.refuse(refusal, &Peer::Loopback(address)),
        }
    }

    async fn network(&self, listener: &TcpListener, tls: &Tls) {
        let Some((stream, address)) = self.accepted(listener.accept().await).await else { return };
        let _ = stream.set_nodelay(true);
        match self.gate.network(address.ip()) {
            Ok((admission, handshake)) => {
                let acceptor = TlsAcceptor::from(tls.config());
                // Who shakes hands slowly holds up nobody else.
                tokio::spawn(self.shake_hands(acceptor, stream, address, admission, handshake));
            }
            Err(refusal) => self.refuse(refusal, &Peer::Network { address, certificate: None }),
        }
    }

    fn shake_hands(
        &self,
        acceptor: TlsAcceptor,
        stream: TcpStream,
        address: SocketAddr,
        admission: Admission,
        handshake: Handshake,
    ) -> impl Future<Output = ()> + Send + use<> {
        let door = Self {
            gate: Arc::clone(&self.gate),
            limits: self.limits,
            stop: self.stop.clone(),
            metrics: self.metrics.clone(),
            sender: self.sender.clone(),
        };
        async move {
            let shaken = tokio::select! {
                biased;
                () = door.stop.reached(Phase::Stopping) => return,
                shaken = timeout(door.limits.handshake_time, acceptor.accept(stream)) => shaken,
            };
            drop(handshake);
            let stream = match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    door.metrics.handshake_failed();
                    return debug!(%address, %error, "a TLS handshake failed");
                }
                Err(_) => {
                    door.metrics.refused(Refusal::SlowHandshake);
                    return debug!(%address, "a TLS handshake took too long");
                }
            };
            let (_, session) = stream.get_ref();
            if session.alpn_protocol() != Some(b"h2") {
                door.metrics.handshake_failed();
                return debug!(%address, "a client speaks no HTTP/2");
            }
            let leaf = session.peer_certificates().and_then(|chain| chain.first());
            let certificate = match leaf.map(Certificate::of).transpose() {
                Ok(certificate) => certificate.map(Arc::new),
                Err(error) => {
                    door.metrics.handshake_failed();
                    return debug!(%address, error, "a client's certificate");
                }
            };
            let peer = Peer::Network { address, certificate };
            door.hand_over(Bytes::Tls(Box::new(stream)), peer, admission).await;
        }
    }

    async fn hand_over(&self, bytes: Bytes, peer: Peer, admission: Admission) {
        self.metrics.connected();
        let first_call = Instant::now() + self.limits.first_call_time;
        let cut = self.stop.reached(Phase::Cut);
        let wire = Wire::new(bytes, Connection::new(peer), first_call, cut, admission);
        // Without a receiver the server has stopped.
        let _ = self.sender.send(Ok(wire)).await;
    }

    fn refuse(&self, refusal: Refusal, peer: &Peer) {
        self.metrics.refused(refusal);
        debug!(%peer, reason = refusal.word(), "a connection was refused");
    }

    /// What was accepted, if anything. Without descriptors there is no point in trying at once again.
    async fn accepted<T>(&self, accepted: io::Result<T>) -> Option<T> {
        const PAUSE: Duration = Duration::from_millis(100);
        match accepted {
            Ok(accepted) => Some(accepted),
            Err(error) => {
                self.metrics.accept_failed();
                if matches!(errno(&error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) {
                    warn!(%error, "cannot accept connections");
                    tokio::time::sleep(PAUSE).await;
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
