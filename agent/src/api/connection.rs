//! A client's connection, as handlers see it and as the server reads and writes it.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Instant, Sleep},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::{limit::Admission, tls::Certificate};

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// By the unix socket.
    Unix {
        /// The user, as the kernel says.
        uid: u32,
    },
    /// By a loopback address.
    Loopback(SocketAddr),
    /// Over the network, by TLS.
    Network {
        /// Its address.
        address: SocketAddr,
        /// Its certificate, verified.
        certificate: Option<Arc<Certificate>>,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { uid } => write!(f, "uid {uid} by the unix socket"),
            Self::Loopback(address) | Self::Network { address, .. } => address.fmt(f),
        }
    }
}

/// A connection; in the extensions of each of its requests as `Arc<Connection>`.
#[derive(Debug)]
pub struct Connection {
    /// The other end.
    pub peer: Peer,
    /// Calls that are under way.
    calls: AtomicUsize,
    /// A call was let in.
    let_in: AtomicBool,
}

impl Connection {
    pub(super) fn new(peer: Peer) -> Arc<Self> {
        Arc::new(Self { peer, calls: AtomicUsize::new(0), let_in: AtomicBool::new(false) })
    }

    /// A call more, unless there are `most`. It counts until the value is dropped.
    pub(super) fn begin(self: &Arc<Self>, most: usize) -> Option<Call> {
        let free = |calls| (calls < most).then_some(calls + 1);
        self.calls.fetch_update(Ordering::AcqRel, Ordering::Acquire, free).ok()?;
        Some(Call(Arc::clone(self)))
    }

    /// The caller is known: the connection may stay.
    pub(super) fn let_in(&self) {
        self.let_in.store(true, Ordering::Release);
    }
}

/// A call that is under way.
#[derive(Debug)]
pub(super) struct Call(Arc<Connection>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The bytes.
#[derive(Debug)]
pub(super) enum Bytes {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection as the server reads and writes it.
pub(super) struct Wire {
    bytes: Bytes,
    connection: Arc<Connection>,
    /// When it is closed if no call was let in by then.
    first_call: Pin<Box<Sleep>>,
    /// When what is left is cut.
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    _admission: Admission,
}

impl Wire {
    pub(super) fn new(
        bytes: Bytes,
        connection: Arc<Connection>,
        first_call: Instant,
        cut: impl Future<Output = ()> + Send + 'static,
        admission: Admission,
    ) -> Self {
        let first_call = Box::pin(tokio::time::sleep_until(first_call));
        Self { bytes, connection, first_call, cut: Box::pin(cut), _admission: admission }
    }

    /// Whether the connection's time is over. A server always reads, so asking while it reads suffices.
    fn over(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Some(io::Error::new(io::ErrorKind::ConnectionAborted, "the agent stops"));
        }
        let known = self.connection.let_in.load(Ordering::Acquire);
        if !known && self.first_call.as_mut().poll(context).is_ready() {
            return Some(io::Error::new(io::ErrorKind::TimedOut, "no call was let in"));
        }
        None
    }

    fn bytes(self: Pin<&mut Self>) -> &mut Bytes {
        &mut self.get_mut().bytes
    }
}

impl Connected for Wire {
    type ConnectInfo = Arc<Connection>;

    fn connect_info(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.over(context) {
            return Poll::Ready(Err(error));
        }
        match self.bytes() {
            Bytes::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Bytes::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Bytes::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.bytes() {
            Bytes::Unix(stream) => Pin::new(stream).poll_write(context, data),
            Bytes::Tcp(stream) => Pin::new(stream).poll_write(context, data),
            Bytes::Tls(stream) => Pin::new(stream).poll_write(context, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.bytes() {
            Bytes::Unix(stream) => Pin::new(stream).poll_write_vectored(context, data),
            Bytes::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, data),
            Bytes::Tls(stream) => Pin::new(stream).poll_write_vectored(context, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.bytes {
            Bytes::Unix(stream) => stream.is_write_vectored(),
            Bytes::Tcp(stream) => stream.is_write_vectored(),
            Bytes::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.bytes() {
            Bytes::Unix(stream) => Pin::new(stream).poll_flush(context),
            Bytes::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Bytes::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.bytes() {
            Bytes::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Bytes::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Bytes::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
