//! Everything around a service, from the configuration to the end. `node.rs` brings the service.

use std::{convert::Infallible, io, sync::Arc};

use kube::Client;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tonic::{
    body::Body,
    codegen::{
        Service,
        http::{Request, Response},
    },
    server::NamedService,
};
use tracing::info;

use super::{
    admin::Admin,
    auth::Auth,
    config::{Config, Kubernetes},
    listen::{self, ListenError, Listeners, UnixError},
    metrics::{ApiMetrics, Metrics, Source},
    server::Serving,
    stop::Stop,
    tls::{Tls, TlsError},
    vitals::Vitals,
};
use crate::host::Roots;

/// Why an agent did not start, or broke.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A place to listen at.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The files of TLS.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The way to the API server.
    #[error("kubernetes: {0}")]
    Kubernetes(String),
    /// The server.
    #[error("the server ended: {0}")]
    Server(#[source] io::Error),
    /// Signals.
    #[error("cannot wait for signals: {0}")]
    Signal(#[source] io::Error),
}

impl ServeError {
    /// The configuration is to blame, or what it names.
    pub const fn of_configuration(&self) -> bool {
        matches!(
            self,
            Self::Listen(
                ListenError::Open(_) | ListenError::Unix(UnixError::Open { .. } | UnixError::NoSocket(_))
            ) | Self::Tls(_)
                | Self::Kubernetes(_)
        )
    }
}

/// What an agent has before it has a service: everything that can be wrong is bound and read.
#[derive(Debug)]
pub struct Prepared {
    /// What serving needs.
    pub serving: Serving,
    /// Where clients come in.
    pub listeners: Listeners,
    /// The admin port, if there is to be one.
    pub admin: Option<Admin>,
    tls: Option<(Arc<Tls>, super::tls::Signature)>,
}

impl Prepared {
    /// Binds and reads what `config` names.
    pub async fn new(config: &Config, roots: &Roots, client: Option<Client>) -> Result<Self, ServeError> {
        let metrics = ApiMetrics::default();
        let tokens = config.token_audiences.is_some();
        let tls = config.tls.clone().map(|files| Tls::load(files, tokens, metrics.clone())).transpose()?;
        let endpoints = config.listen.clone().unwrap_or_else(|| listen::auto(roots));
        let listeners = Listeners::bind(&endpoints, tls.as_ref().map(|(tls, _)| tls)).await?;
        for endpoint in listeners.endpoints() {
            info!(%endpoint, "listening");
        }
        let admin = config.admin.map(Admin::bind).transpose()?;
        let auth = Auth::new(config.authorize, config.token_audiences.clone(), client, &metrics);
        let serving = Serving {
            limits: config.limits,
            auth,
            stop: Stop::default(),
            metrics,
            vitals: Vitals::default(),
        };
        Ok(Self { serving, listeners, admin, tls })
    }

    /// Serves until the agent is told to stop (SIGTERM, SIGINT, or [`Serving::stop`]).
    pub async fn run<S>(self, service: S, source: Arc<dyn Source>) -> Result<(), ServeError>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let Self { serving, listeners, admin, tls } = self;
        let signals = tokio::spawn(until_signal(serving.stop.clone())?);
        let follow = tls.map(|(tls, seen)| tokio::spawn(tls.follow(seen)));
        let metrics = Metrics::new(&serving.metrics, source);
        let admin = admin.map(|admin| tokio::spawn(admin.serve(serving.vitals.clone(), metrics)));
        let ended = serving.serve(listeners, service).await.map_err(ServeError::Server);
        for task in [Some(signals), follow, admin].into_iter().flatten() {
            task.abort();
        }
        ended
    }
}

/// The client of the API server that the configuration asks for.
pub async fn kubernetes(config: &Config) -> Result<Option<Client>, ServeError> {
    let says = |words: String| ServeError::Kubernetes(words);
    let found = match &config.kubernetes {
        None => return Ok(None),
        Some(Kubernetes::InCluster) => kube::Config::incluster().map_err(|error| says(error.to_string()))?,
        Some(Kubernetes::Kubeconfig(path)) => {
            let wrong = |error: &dyn std::fmt::Display| says(format!("{}: {error}", path.display()));
            let file = kube::config::Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
            let options = kube::config::KubeConfigOptions::default();
            kube::Config::from_custom_kubeconfig(file, &options).await.map_err(|error| wrong(&error))?
        }
    };
    Client::try_from(found).map(Some).map_err(|error| says(error.to_string()))
}

fn until_signal(stop: Stop) -> Result<impl Future<Output = ()>, ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "stopping");
        stop.stop();
    })
}
