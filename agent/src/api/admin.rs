//! The admin port: /healthz, /readyz and /metrics over plain HTTP. It tells nothing about what pods do, takes nothing
//! in, and has limits of its own, so that probes are answered however busy the API is.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tracing::debug;

use super::{
    listen::{ListenError, bind},
    metrics::Metrics,
    vitals::Vitals,
};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// How long a client may take to ask.
const ASK: Duration = Duration::from_secs(5);
/// How long a connection may last; a scraper that keeps one opens the next.
const LAST: Duration = Duration::from_secs(300);

/// The admin port, bound.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
}

impl Admin {
    /// Binds it.
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        bind(address).map(|listener| Self { listener })
    }

    /// Where it is; a port that was 0 is the one that was got.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Answers for as long as it is polled.
    pub async fn serve(self, vitals: Vitals, metrics: Metrics) {
        let metrics = Arc::new(metrics);
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors, most likely: at once again would only burn time.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (vitals, metrics) = (vitals.clone(), Arc::clone(&metrics));
            tokio::spawn(async move {
                let answer = service_fn(|request| {
                    let response = answer(&request, &vitals, &metrics);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(ASK)
                    .max_buf_size(16 << 10)
                    .serve_connection(TokioIo::new(stream), answer);
                if let Ok(Err(error)) = timeout(LAST, connection).await {
                    debug!(%error, "a client of the admin port");
                }
                drop(permit);
            });
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn answer<B>(request: &Request<B>, vitals: &Vitals, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" | "/livez" => state(vitals.stuck()),
        "/readyz" => state(vitals.stuck().or_else(|| vitals.unready())),
        "/metrics" => {
            let openmetrics = request.headers().get_all(ACCEPT).iter().any(|accept| {
                accept.to_str().is_ok_and(|accept| accept.contains("application/openmetrics-text"))
            });
            let (kind, written) = if openmetrics {
                (OPENMETRICS, metrics.openmetrics())
            } else {
                (PROMETHEUS, metrics.prometheus())
            };
            written.map_or_else(
                |_| text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n"),
                |body| response(StatusCode::OK, kind, body),
            )
        }
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"),
    }
}

fn state(wrong: Option<String>) -> Response<Full<Bytes>> {
    match wrong {
        None => text(StatusCode::OK, "ok\n"),
        Some(why) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{}\n", why.escape_debug())),
    }
}

fn text(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    response(status, TEXT, words.to_owned())
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
