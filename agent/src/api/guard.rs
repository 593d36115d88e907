//! Stands before every call: is there room, who calls, and how the call ends when the agent does. Around any tonic
//! service.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use hyper::body::{Frame, SizeHint};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        Service,
        http::{HeaderMap, HeaderValue, Request, Response},
    },
};

use super::{
    auth::Auth,
    config::Limits,
    connection::{Call, Connection},
    metrics::ApiMetrics,
    stop::{Phase, Stop, come_back},
};

/// Calls that anybody may make: they tell nothing but that there is an agent.
const OPEN: &str = "/grpc.health.v1.Health/";

const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";

/// A service that lets in who may come in.
#[derive(Clone, Debug)]
pub(super) struct Guard<S> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    auth: Auth,
    limits: Limits,
    stop: Stop,
    metrics: ApiMetrics,
}

impl<S> Guard<S> {
    pub(super) fn new(inner: S, auth: Auth, limits: Limits, stop: Stop, metrics: ApiMetrics) -> Self {
        Self { inner, shared: Arc::new(Shared { auth, limits, stop, metrics }) }
    }
}

impl<S, B> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: hyper::body::Body<Data = Bytes, Error = Status> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone is not the one that is ready.
        let spare = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, spare);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let method = method(request.uri().path());
            let (call, request) = match shared.let_in(request).await {
                Ok(let_in) => let_in,
                Err(status) => {
                    shared.metrics.answered(method, status.code());
                    return Ok(status.into_http());
                }
            };
            let mut inner = inner;
            let response = inner.call(request).await?;
            Ok(shared.watch(response, method, call))
        })
    }
}

impl Shared {
    async fn let_in(&self, mut request: Request<Body>) -> Result<(Call, Request<Body>), Status> {
        let Some(connection) = request.extensions().get::<Arc<Connection>>().map(Arc::clone) else {
            return Err(Status::internal("a call without a connection"));
        };
        if self.stop.is_stopping() {
            return Err(come_back());
        }
        let most = self.limits.streams_per_connection;
        let call = connection.begin(most).ok_or_else(|| {
            Status::resource_exhausted(format!(
                "{most} calls are under way on this connection, which is the limit (max-streams-per-connection)"
            ))
        })?;
        if !request.uri().path().starts_with(OPEN) {
            let caller = self.auth.authenticate(&connection, request.headers()).await?;
            connection.let_in();
            request.extensions_mut().insert(Arc::new(caller));
        }
        Ok((call, request))
    }

    fn watch<B>(&self, mut response: Response<B>, method: &'static str, call: Call) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes, Error = Status> + Send + 'static,
    {
        if let Some(limit) = too_large(response.headers(), &self.limits) {
            self.metrics.answered(method, limit.code());
            return limit.into_http();
        }
        let code = response.headers().get(GRPC_STATUS).map(code);
        response.headers_mut().insert("sockeye-version", HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
        self.metrics.stream_began();
        let told = Told { metrics: self.metrics.clone(), method, code };
        let ending = Box::pin(self.stop.reached(Phase::Ending));
        response.map(|inner| {
            let inner = Box::pin(inner);
            Body::new(Watched { inner, ending, over: false, told, _call: call })
        })
    }
}

/// tonic refuses a message that is too large as out of range, without the setting's name.
fn too_large(headers: &HeaderMap, limits: &Limits) -> Option<Status> {
    let of_range = headers.get(GRPC_STATUS).map(code) == Some(Code::OutOfRange);
    let words = headers.get(GRPC_MESSAGE)?.to_str().ok()?;
    (of_range && words.contains("message%20length%20too%20large")).then(|| {
        Status::resource_exhausted(format!(
            "the request is larger than {} bytes, which is the limit (max-message-size)",
            limits.message_bytes
        ))
    })
}

fn code(value: &HeaderValue) -> Code {
    Code::from_bytes(value.as_bytes())
}

/// The method as a label: only names that exist, or callers could make labels.
fn method(path: &str) -> &'static str {
    const METHODS: [(&str, &str); 5] = [
        ("/sockeye.v1.ObserverService/Observe", "Observe"),
        ("/sockeye.v1.ObserverService/GetServerStatus", "GetServerStatus"),
        ("/sockeye.v1.ObserverService/ListNodes", "ListNodes"),
        ("/sockeye.v1.ObserverService/ListSockets", "ListSockets"),
        ("/sockeye.v1.ObserverService/ListPorts", "ListPorts"),
    ];
    METHODS.iter().find(|(known, _)| *known == path).map_or("other", |(_, name)| name)
}

/// Counts a call once, when it is over.
struct Told {
    metrics: ApiMetrics,
    method: &'static str,
    code: Option<Code>,
}

impl Drop for Told {
    fn drop(&mut self) {
        // Without a status the client left.
        self.metrics.answered(self.method, self.code.unwrap_or(Code::Cancelled));
        self.metrics.stream_ended();
    }
}

/// A response that ends with "come back" when the agent does.
struct Watched<B> {
    inner: Pin<Box<B>>,
    ending: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: bool,
    told: Told,
    _call: Call,
}

impl<B> hyper::body::Body for Watched<B>
where
    B: hyper::body::Body<Data = Bytes, Error = Status> + Send + 'static,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.ending.as_mut().poll(context).is_ready() {
            self.over = true;
            self.told.code = Some(Code::Unavailable);
            let mut trailers = HeaderMap::new();
            let written = come_back().add_header(&mut trailers);
            return Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))));
        }
        let frame = self.inner.as_mut().poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.told.code = trailers.get(GRPC_STATUS).map(code);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
