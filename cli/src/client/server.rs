//! A server that can be called, and those that a command line means.

use std::{path::Path, sync::Arc, time::Duration};

use proto::{
    receive::Observing,
    v1::{Filter, observer_service_client::ObserverServiceClient},
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use super::{
    ClientError,
    cluster::{AgentPod, Cluster},
    dial::Dialer,
    tls::Tls,
};
use crate::args::{Address, ConnectionArgs, Target};

/// The way of a request.
type Service = InterceptedService<Channel, Bearer>;

/// A client of the API.
pub type Client = ObserverServiceClient<Service>;

/// A client for streams of events.
pub type Observer = Observing<Service>;

/// A message of a server is at most so large; batches are far smaller.
const MESSAGE_BYTES: usize = 16 << 20;

/// A server.
#[derive(Clone)]
pub struct Server {
    /// What it is called: the node, or the address.
    pub name: Arc<str>,
    /// Its pod, in a cluster.
    pub pod: Option<AgentPod>,
    dialer: Dialer,
    token_file: Option<Arc<Path>>,
    timeout: Duration,
}

impl Server {
    /// A server by its way.
    pub fn new(name: &str, dialer: Dialer, args: &ConnectionArgs) -> Self {
        Self {
            name: name.into(),
            pod: None,
            dialer,
            token_file: args.token_file.as_deref().map(Arc::from),
            timeout: args.timeout,
        }
    }

    /// What it is called in messages.
    pub fn label(&self) -> String {
        match self.pod {
            Some(_) => format!("node {}", self.name),
            None => self.name.to_string(),
        }
    }

    /// How long a question may take whose answer is short.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Connects.
    pub async fn connect(&self) -> Result<Client, ClientError> {
        Ok(ObserverServiceClient::new(self.service().await?).max_decoding_message_size(MESSAGE_BYTES))
    }

    /// Connects for a stream of events.
    pub async fn observe(&self) -> Result<Observer, ClientError> {
        Ok(Observing::new(self.service().await?, MESSAGE_BYTES))
    }

    async fn service(&self) -> Result<Service, ClientError> {
        let bearer = Bearer::read(self.token_file.as_deref())?;
        let channel = self.dialer.connect(self.timeout).await?;
        Ok(InterceptedService::new(channel, bearer))
    }
}

/// Adds the token to each request.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// The token of the file: tokens are short-lived, so it is read at each connection.
    fn read(file: Option<&Path>) -> Result<Self, ClientError> {
        let Some(path) = file else { return Ok(Self(None)) };
        let wrong =
            |reason: String| ClientError::Named(format!("--token-file: {}: {reason}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| wrong("it is no token: one line of letters".to_owned()))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// The servers that a command line means.
pub enum Servers {
    /// One, by its address.
    One(Server),
    /// Those of a cluster.
    Cluster(Cluster),
}

impl Servers {
    /// Finds them. A kubeconfig is read; nothing is connected yet.
    pub async fn of(target: &Target, args: &ConnectionArgs) -> Result<Self, ClientError> {
        match target {
            #[cfg(unix)]
            Target::Server(Address::Unix(path)) => {
                let dialer = Dialer::Unix(path.as_path().into());
                Ok(Self::One(Server::new(&path.display().to_string(), dialer, args)))
            }
            #[cfg(not(unix))]
            Target::Server(Address::Unix(_)) => {
                Err(ClientError::Named("there are no unix sockets here".to_owned()))
            }
            Target::Server(Address::Tcp { host, port }) => {
                let tls = Tls::of(args, host)?;
                let dialer = Dialer::Tcp { host: host.as_str().into(), port: *port, tls };
                Ok(Self::One(Server::new(&format!("{host}:{port}"), dialer, args)))
            }
            Target::Cluster => Cluster::open(args).await.map(Self::Cluster),
        }
    }

    /// The namespace that a command line means which names none.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::One(_) => None,
            Self::Cluster(cluster) => Some(cluster.namespace()),
        }
    }

    /// The servers to ask for what these filters let in.
    pub async fn list(&self, allow: &[Filter]) -> Result<Vec<Server>, ClientError> {
        match self {
            Self::One(server) => Ok(vec![server.clone()]),
            Self::Cluster(cluster) => cluster.servers(allow).await,
        }
    }
}
