//! What an agent is told to do: flags before environment before file before defaults, all under one name.
//!
//! Whatever is wrong is one line that says where it was said, what is wrong and what would be right.

mod file;
pub mod settings;
mod sources;
mod value;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;

pub use sources::Given;
use sources::Values;

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node, as Kubernetes names it.
    pub node_name: Option<String>,
    /// The cluster's name, for `Identity.cluster`.
    pub cluster_name: Option<String>,
    /// Whether pods are watched, and by which way the API server is found; absent = outside of a cluster.
    pub kubernetes: Option<Kubernetes>,
    /// Where gRPC is served; absent = wherever it is safe here, see [`super::listen`].
    pub listen: Option<Vec<Endpoint>>,
    /// Where /healthz, /readyz and /metrics are served.
    pub admin: Option<SocketAddr>,
    /// TLS for addresses on the network.
    pub tls: Option<TlsFiles>,
    /// Bearer tokens are taken, for these audiences.
    pub token_audiences: Option<Vec<String>>,
    /// Whose rights on namespaces are asked for.
    pub authorize: Authorize,
    /// What clients may take up.
    pub limits: Limits,
    /// Size of the ring between kernel and agent.
    pub buffer_bytes: u32,
    /// Size of the history; 0 = none.
    pub history_bytes: u64,
    /// Events that wait for a subscriber before it loses its oldest.
    pub queue_events: usize,
    /// How long an event waits for the name of its pod.
    pub metadata_wait: Duration,
    /// How long a deleted pod is known.
    pub deleted_pod_memory: Duration,
    /// How long programs stay attached after the last subscriber left.
    pub detach_delay: Duration,
    /// What is logged.
    pub log_level: LogLevel,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// How the API server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kubernetes {
    /// By the pod's service account.
    InCluster,
    /// By a kubeconfig.
    Kubeconfig(PathBuf),
}

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

impl Endpoint {
    /// Whether others than this machine (or this pod) can reach it.
    pub const fn on_network(&self) -> bool {
        match self {
            Self::Unix(_) => false,
            Self::Tcp(address) => !address.ip().is_loopback(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// The files that TLS needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and what lies between it and its CA, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// CAs whose clients are let in, PEM.
    pub client_ca: Option<PathBuf>,
    /// How often the files are looked at.
    pub reload_interval: Duration,
}

/// Whose rights on namespaces are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorize {
    /// Callers with a token: every service account of a cluster can get one.
    Tokens,
    /// Callers with a certificate, too: its CN is the user, its Os are the groups, as for the API server.
    All,
}

/// What clients may take up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address of the network.
    pub connections_per_address: usize,
    /// Calls at once on one connection.
    pub streams_per_connection: usize,
    /// Bytes of a request.
    pub message_bytes: usize,
    /// Bytes of a request's headers.
    pub header_bytes: u32,
    /// TLS handshakes at once.
    pub handshakes: usize,
    /// How long a handshake may take.
    pub handshake_time: Duration,
    /// How long a connection may go without a call that was let in.
    pub first_call_time: Duration,
    /// How often a silent connection is asked whether it lives.
    pub keepalive_interval: Duration,
    /// How long it may take to answer.
    pub keepalive_time: Duration,
    /// How long stopping may take.
    pub stop_time: Duration,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What is broken.
    Error,
    /// What may become so.
    Warn,
    /// What begins and ends.
    Info,
    /// Much.
    Debug,
}

/// How it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Something wrong in a configuration.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A value, and where it was given.
    #[error("{place}: {problem}")]
    Value {
        /// Flag, variable or line.
        place: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A name that is none.
    #[error("{place}: no setting \"{name}\"{nearest}")]
    Unknown {
        /// Variable or line.
        place: String,
        /// The name.
        name: String,
        /// `; did you mean ..?`
        nearest: String,
    },
    /// The file.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Settings that do not go together.
    #[error("{0}")]
    Contradiction(String),
}

impl Config {
    /// The configuration that flags, environment and the file named there give.
    pub fn load(flags: &Given, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let values = Values::collect(flags, environment)?;
        let in_cluster = environment.iter().any(|(name, _)| name == "KUBERNETES_SERVICE_HOST");
        Self::check(&values, in_cluster)
    }

    fn check(values: &Values, in_cluster: bool) -> Result<Self, ConfigError> {
        let node_name = values.get("node-name", value::node_name)?;
        let kubernetes = kubernetes(values, in_cluster, node_name.is_some())?;
        let listen = match values.texts("listen")[..] {
            ["auto"] => None,
            _ => Some(values.list("listen", value::endpoint)?),
        };
        let admin = values.need("admin-listen", value::admin)?;
        let tls = tls(values)?;
        let tokens = values.need("token-auth", value::switch)?;
        let audiences = values.list("token-audience", value::audience)?;
        let config = Self {
            node_name,
            cluster_name: values.get("cluster-name", value::name)?,
            kubernetes,
            listen,
            admin,
            tls,
            token_audiences: tokens.then_some(audiences),
            authorize: values.need("authorize", value::authorize)?,
            limits: limits(values)?,
            buffer_bytes: values.need("buffer-size", value::ring_bytes)?,
            history_bytes: values.need("history-size", value::history_bytes)?,
            queue_events: values.need("queue-size", |text| value::count(text, 1, 1 << 24))?,
            metadata_wait: values.need("metadata-wait", value::duration)?,
            deleted_pod_memory: values.need("deleted-pod-memory", value::duration)?,
            detach_delay: values.need("detach-delay", value::duration)?,
            log_level: values.need("log-level", value::log_level)?,
            log_format: values.need("log-format", value::log_format)?,
        };
        config.contradiction().map_or(Ok(config), |sentence| Err(ConfigError::Contradiction(sentence)))
    }

    /// What does not go together, in one sentence.
    fn contradiction(&self) -> Option<String> {
        let listen = self.listen.as_deref().unwrap_or_default();
        let network = listen.iter().find(|endpoint| endpoint.on_network());
        let who = |tls: &TlsFiles| tls.client_ca.is_some() || self.token_audiences.is_some();
        let twice = listen.iter().enumerate().find(|(index, one)| listen[..*index].contains(one));
        let also_admin =
            self.admin.is_some_and(|admin| admin.port() != 0 && listen.contains(&Endpoint::Tcp(admin)));
        if let Some((_, endpoint)) = twice {
            return Some(format!("listen names {endpoint} twice"));
        }
        if also_admin {
            return Some(
                "listen and admin-listen name the same address; give the admin port one of its own".into(),
            );
        }
        match (network, &self.tls) {
            (Some(endpoint), None) => Some(format!(
                "listen: {endpoint} can be reached from the network, which needs tls-cert-file and tls-key-file, \
                 and tls-client-ca-file or token-auth to tell callers apart; without them listen on 127.0.0.1 or \
                 unix:PATH"
            )),
            (Some(_), Some(tls)) if !who(tls) => Some(
                "tls-cert-file alone tells no callers apart; give tls-client-ca-file for mutual TLS, or token-auth"
                    .into(),
            ),
            (None, Some(_)) => Some(
                "tls-cert-file has no effect: no address in listen is on the network; add one (0.0.0.0:4250), or \
                 leave it out"
                    .into(),
            ),
            (None, None) if self.token_audiences.is_some() => Some(
                "token-auth has no effect: no address in listen is on the network, and the local ones need no token"
                    .into(),
            ),
            _ if self.kubernetes.is_none() && self.token_audiences.is_some() => Some(
                "token-auth needs the API server, which reviews tokens: it excludes kubernetes: off".into(),
            ),
            _ if self.kubernetes.is_none() && self.authorize == Authorize::All => Some(
                "authorize: all needs the API server, which knows the rights: it excludes kubernetes: off".into(),
            ),
            _ => None,
        }
    }
}

fn kubernetes(values: &Values, in_cluster: bool, named: bool) -> Result<Option<Kubernetes>, ConfigError> {
    let kubeconfig = values.get("kubeconfig", |text| value::file(text, "a kubeconfig"))?;
    let wanted = values.need("kubernetes", value::wanted)?;
    let says = |sentence: &str| Err(ConfigError::Contradiction(sentence.to_owned()));
    let found = match (wanted, kubeconfig) {
        (Some(false), Some(_)) => return says("kubernetes: off and kubeconfig exclude each other"),
        (Some(false), None) | (None, None) if !in_cluster || wanted == Some(false) => None,
        (_, Some(path)) => Some(Kubernetes::Kubeconfig(path)),
        (Some(true), None) if !in_cluster => {
            return says("kubernetes: on outside of a pod needs a kubeconfig");
        }
        _ => Some(Kubernetes::InCluster),
    };
    if found.is_some() && !named {
        return says(
            "node-name is missing: pods are watched by their node; in a pod set SOCKEYE_NODE_NAME from the field \
             spec.nodeName",
        );
    }
    Ok(found)
}

fn tls(values: &Values) -> Result<Option<TlsFiles>, ConfigError> {
    let path = |text: &str| value::path(text);
    let reload_interval = values.need("tls-reload-interval", value::duration)?;
    let client_ca = values.get("tls-client-ca-file", path)?;
    match (values.get("tls-cert-file", path)?, values.get("tls-key-file", path)?) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key, client_ca, reload_interval })),
        (None, None) if client_ca.is_none() => Ok(None),
        (None, None) => Err(contradiction("tls-client-ca-file needs tls-cert-file and tls-key-file")),
        (Some(_), None) => Err(contradiction("tls-cert-file needs tls-key-file")),
        (None, Some(_)) => Err(contradiction("tls-key-file needs tls-cert-file")),
    }
}

fn contradiction(sentence: &str) -> ConfigError {
    ConfigError::Contradiction(sentence.to_owned())
}

fn limits(values: &Values) -> Result<Limits, ConfigError> {
    let number = |most| move |text: &str| value::count(text, 1, most);
    Ok(Limits {
        connections: values.need("max-connections", number(100_000))?,
        connections_per_address: values.need("max-connections-per-address", number(100_000))?,
        streams_per_connection: values.need("max-streams-per-connection", number(10_000))?,
        message_bytes: values.need("max-message-size", |text| value::bytes(text, 1 << 10, 1 << 26))?,
        header_bytes: values.need("max-header-size", |text| value::bytes(text, 1 << 10, 1 << 20))?,
        handshakes: values.need("max-handshakes", number(10_000))?,
        handshake_time: values.need("handshake-timeout", value::duration)?,
        first_call_time: values.need("first-call-timeout", value::duration)?,
        keepalive_interval: values.need("keepalive-interval", value::duration)?,
        keepalive_time: values.need("keepalive-timeout", value::duration)?,
        stop_time: values.need("stop-timeout", value::duration)?,
    })
}

/// Reads a file that the configuration names, for messages that say what is wrong with it.
fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| ConfigError::File { path: path.to_owned(), problem: value::io(&error) })
}

#[cfg(test)]
mod tests;
