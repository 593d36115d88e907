//! What the agent tells Prometheus about itself: what the server counts ([`ApiMetrics`]), and what is asked of the hub
//! when somebody looks ([`Source`], the same snapshot that `GetServerStatus` is made of).

mod collect;
mod process;
mod text;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::{Registry, Unit},
};

use super::status::Snapshot;

/// Where the figures of the hub come from.
pub trait Source: Send + Sync + 'static {
    /// How it is now. Called for each scrape and each `GetServerStatus`; must not wait for anybody.
    fn snapshot(&self) -> Snapshot;
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `max-connections`.
    Connections,
    /// `max-connections-per-address`.
    Address,
    /// `max-handshakes`.
    Handshakes,
    /// `handshake-timeout`.
    SlowHandshake,
}

impl Refusal {
    /// As the label has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connections => "max_connections",
            Self::Address => "max_connections_per_address",
            Self::Handshakes => "max_handshakes",
            Self::SlowHandshake => "handshake_timeout",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reviewed {
    review: &'static str,
    result: &'static str,
}

/// A gauge without a sample until it is set: what is not known is no 0.
#[derive(Clone, Debug, Default)]
struct Known(Arc<Mutex<Option<f64>>>);

impl Known {
    fn set(&self, value: f64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }
}

impl EncodeMetric for Known {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let value = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        value.map_or(Ok(()), |value| ConstGauge::new(value).encode(encoder))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// What the server counts. A clone counts into the same.
#[derive(Clone, Debug, Default)]
pub struct ApiMetrics(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    connections: Counter,
    refused: Family<Reason, Counter>,
    accept_errors: Counter,
    handshake_errors: Counter,
    tls_reloads: Counter,
    tls_reload_errors: Counter,
    certificate_expires: Known,
    calls: Family<Answered, Counter>,
    streams: Gauge,
    reviews: Family<Reviewed, Counter>,
}

impl ApiMetrics {
    pub(super) fn connected(&self) {
        self.0.connections.inc();
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.0.refused.get_or_create(&Reason { reason: refusal.word() }).inc();
    }

    pub(super) fn accept_failed(&self) {
        self.0.accept_errors.inc();
    }

    pub(super) fn handshake_failed(&self) {
        self.0.handshake_errors.inc();
    }

    pub(super) fn tls_reloaded(&self) {
        self.0.tls_reloads.inc();
    }

    pub(super) fn tls_reload_failed(&self) {
        self.0.tls_reload_errors.inc();
    }

    pub(super) fn certificate_expires(&self, when: SystemTime) {
        let seconds = when.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        self.0.certificate_expires.set(seconds);
    }

    pub(super) fn answered(&self, method: &'static str, code: tonic::Code) {
        self.0.calls.get_or_create(&Answered { method, code: code_word(code) }).inc();
    }

    pub(super) fn stream_began(&self) {
        self.0.streams.inc();
    }

    pub(super) fn stream_ended(&self) {
        self.0.streams.dec();
    }

    pub(super) fn reviewed(&self, review: &'static str, result: &'static str) {
        self.0.reviews.get_or_create(&Reviewed { review, result }).inc();
    }

    #[cfg(test)]
    pub(super) fn refusals(&self, refusal: Refusal) -> u64 {
        self.0.refused.get_or_create(&Reason { reason: refusal.word() }).get()
    }

    #[cfg(test)]
    pub(super) fn tls_reload_errors(&self) -> u64 {
        self.0.tls_reload_errors.get()
    }

    fn register(&self, registry: &mut Registry) {
        // The client ends each sentence itself.
        let counts = &self.0;
        registry.register("connections", "Connections that were let in", counts.connections.clone());
        registry.register(
            "connections_refused",
            "Connections that were refused, by the limit",
            counts.refused.clone(),
        );
        registry.register(
            "accept_errors",
            "Connections that could not be accepted",
            counts.accept_errors.clone(),
        );
        registry.register(
            "tls_handshake_errors",
            "TLS handshakes that failed",
            counts.handshake_errors.clone(),
        );
        registry.register("tls_reloads", "New TLS files taken", counts.tls_reloads.clone());
        registry.register(
            "tls_reload_errors",
            "New TLS files that were wrong",
            counts.tls_reload_errors.clone(),
        );
        registry.register_with_unit(
            "tls_certificate_expiry_timestamp",
            "When the server's certificate expires, seconds since 1970; absent without TLS",
            Unit::Seconds,
            counts.certificate_expires.clone(),
        );
        registry.register(
            "calls",
            "Calls that were answered or whose stream ended, by status",
            counts.calls.clone(),
        );
        registry.register("streams", "Calls that are under way", counts.streams.clone());
        registry.register("reviews", "Reviews asked of the API server", counts.reviews.clone());
    }
}

const fn code_word(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// All of it, as one text.
pub struct Metrics {
    registry: Registry,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// What the server counts and what the source knows.
    pub fn new(api: &ApiMetrics, source: Arc<dyn Source>) -> Self {
        let mut registry = Registry::default();
        let own = registry.sub_registry_with_prefix("sockeye");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        own.register("build", "The agent's version", version);
        api.register(own);
        own.register_collector(Box::new(collect::Figures::new(source)));
        // Names that Prometheus' own clients give to what every process has.
        registry.sub_registry_with_prefix("process").register_collector(Box::new(process::Process));
        Self { registry }
    }

    /// OpenMetrics, for whoever asks for it.
    pub fn openmetrics(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Prometheus' older text format, which everything reads.
    pub fn prometheus(&self) -> Result<String, fmt::Error> {
        self.openmetrics().map(|openmetrics| text::prometheus(&openmetrics))
    }
}

#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;
