//! The gRPC server: a service, health and reflection behind the guard, on connections of our own.

use std::{convert::Infallible, io, time::Duration};

use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    body::Body,
    codegen::{
        Service,
        http::{Request, Response},
    },
    server::NamedService,
    service::Routes,
    transport::Server,
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::warn;

use super::{
    auth::Auth,
    config::Limits,
    guard::Guard,
    listen::Listeners,
    metrics::ApiMetrics,
    stop::{Phase, Stop},
    vitals::Vitals,
};

/// Calls that the HTTP/2 layer takes above the limit, so that the guard can refuse them in words. Beyond, clients wait.
const SPARE: usize = 8;

/// How long services have to end their streams themselves.
const OWN_ENDING: Duration = Duration::from_secs(2);

/// What serving needs besides a service.
#[derive(Clone, Debug)]
pub struct Serving {
    /// What clients may take up.
    pub limits: Limits,
    /// Who may come in.
    pub auth: Auth,
    /// When it ends.
    pub stop: Stop,
    /// What is counted.
    pub metrics: ApiMetrics,
    /// Whether it is ready.
    pub vitals: Vitals,
}

impl Serving {
    /// Serves until [`Serving::stop`], and then for at most `stop-timeout` longer. A call finds its
    /// [`Caller`](super::auth::Caller) and its [`Connection`](super::connection::Connection) in the request's
    /// extensions, as `Arc`s.
    pub async fn serve<S>(&self, listeners: Listeners, observer: S) -> Result<(), io::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut routes = Routes::new(health).add_service(observer);
        for routes_of in [reflection_v1, reflection_v1alpha] {
            routes = routes_of(routes).map_err(io::Error::other)?;
        }
        let guard = Guard::new(
            routes.prepare(),
            self.auth.clone(),
            self.limits,
            self.stop.clone(),
            self.metrics.clone(),
        );
        let incoming = ReceiverStream::new(listeners.accept(&self.limits, &self.stop, &self.metrics));
        let stopping = self.stop.clone();
        let server = self
            .server()
            .serve_with_incoming_shutdown(guard, incoming, async move { stopping.stopping().await });
        let told = tokio::spawn(tell_health(reporter, self.vitals.clone(), self.stop.clone()));
        let ended = tokio::select! {
            ended = server => ended.map_err(io::Error::other),
            () = self.end() => Ok(()),
        };
        told.abort();
        ended
    }

    fn server(&self) -> Server {
        let streams = self.limits.streams_per_connection + SPARE;
        Server::builder()
            .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
            .http2_keepalive_interval(Some(self.limits.keepalive_interval))
            .http2_keepalive_timeout(Some(self.limits.keepalive_time))
            .http2_max_header_list_size(self.limits.header_bytes)
    }

    /// Once stopping begins: gives streams time, ends them, cuts what is left. Returns after the last.
    async fn end(&self) {
        self.stop.stopping().await;
        let whole = self.limits.stop_time;
        let own = OWN_ENDING.min(whole / 2);
        tokio::time::sleep(own).await;
        self.stop.advance(Phase::Ending);
        tokio::time::sleep(whole.saturating_sub(own)).await;
        warn!("some clients did not take the end of their streams in time: their connections are cut");
        self.stop.advance(Phase::Cut);
        // One round for the connections to notice.
        let _ = timeout(Duration::from_millis(100), std::future::pending::<()>()).await;
    }
}

fn reflection_v1(routes: Routes) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(routes.add_service(reflection))
}

/// grpcurl before 1.9, and others.
fn reflection_v1alpha(routes: Routes) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1alpha()?;
    Ok(routes.add_service(reflection))
}

/// Keeps grpc.health.v1 in step with readiness, for the server as a whole and for the service.
async fn tell_health(reporter: HealthReporter, vitals: Vitals, stop: Stop) {
    let mut readiness = vitals.readiness();
    loop {
        let status = match stop.is_stopping() || !readiness.borrow_and_update().is_empty() {
            true => ServingStatus::NotServing,
            false => ServingStatus::Serving,
        };
        for service in ["", "sockeye.v1.ObserverService"] {
            reporter.set_service_status(service, status).await;
        }
        if stop.is_stopping() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = stop.stopping() => {}
            changed = readiness.changed() => if changed.is_err() { return },
        }
    }
}
