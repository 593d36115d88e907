//! The way to a server. Each way gives a stream of bytes; HTTP/2 does not care which.

use std::{
    future::{Ready, ready},
    io,
    path::Path,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tonic::{
    codegen::{Service, http::Uri},
    transport::{Channel, Endpoint},
};

use super::{ClientError, chain, cluster::Forward, tls::Tls};

/// A stream of bytes, both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Any of them.
pub type Stream = Box<dyn Duplex>;

/// The way to a server.
#[derive(Clone)]
pub enum Dialer {
    /// A socket of this machine.
    #[cfg(unix)]
    Unix(Arc<Path>),
    /// A host.
    Tcp {
        /// Name or address.
        host: Arc<str>,
        /// Port.
        port: u16,
        /// TLS, where wanted.
        tls: Option<Tls>,
    },
    /// An agent's pod, through the API server.
    Forward(Forward),
}

/// A server that is silent for so long is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Bytes that may be under way on a stream: what a reader can fall behind before the server's queue fills.
const STREAM_BYTES: u32 = 1 << 20;

impl Dialer {
    /// Connects, within this time.
    pub async fn connect(&self, timeout: Duration) -> Result<Channel, ClientError> {
        let connected = tokio::time::timeout(timeout, self.try_connect()).await;
        connected.unwrap_or_else(|_| {
            Err(ClientError::Unreachable(format!("no answer within {} s", timeout.as_secs_f64())))
        })
    }

    async fn try_connect(&self) -> Result<Channel, ClientError> {
        let stream = self.dial().await?;
        // A connection that breaks is made anew by `follow`, with a token and a back-off; the channel has but one.
        Endpoint::from_static("http://sockeye")
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_BYTES)
            .initial_connection_window_size(STREAM_BYTES)
            .connect_with_connector(Once(Some(stream)))
            .await
            .map_err(|error| ClientError::Unreachable(chain(&error)))
    }

    async fn dial(&self) -> Result<Stream, ClientError> {
        match self {
            #[cfg(unix)]
            Self::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await;
                let stream = stream.map_err(|error| unreachable(&path.display().to_string(), &error))?;
                Ok(Box::new(stream))
            }
            Self::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((&**host, *port)).await;
                let stream = stream.map_err(|error| unreachable(&format!("{host}:{port}"), &error))?;
                // A request is small and wants an answer.
                let _ = stream.set_nodelay(true);
                match tls {
                    None => Ok(Box::new(stream)),
                    Some(tls) => {
                        let stream = tls.connector.connect(tls.name.clone(), stream).await;
                        Ok(Box::new(stream.map_err(|error| unreachable("TLS", &error))?))
                    }
                }
            }
            Self::Forward(forward) => forward.dial().await,
        }
    }
}

fn unreachable(place: &str, error: &io::Error) -> ClientError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket: no agent runs here".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied (the agent's socket is root's)".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused: nobody listens there".to_owned(),
        _ => chain(error),
    };
    ClientError::Unreachable(format!("{place}: {reason}"))
}

/// Gives the one stream that there is.
struct Once(Option<Stream>);

impl Service<Uri> for Once {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = self.0.take().map(TokioIo::new);
        ready(stream.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the connection broke")))
    }
}
