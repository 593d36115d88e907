//! `Observe` with answers that are encoded already; every other call as generated.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes};
use futures::{future::BoxFuture, stream::BoxStream};
use proto::v1::{ObserveRequest, observer_service_server::SERVICE_NAME};
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, EncodeBuf, Encoder},
    codegen::{Service, http},
    server::{Grpc, NamedService, ServerStreamingService},
};
use tonic_prost::ProstDecoder;

/// An `ObserveResponse`, encoded.
pub struct Encoded(pub Bytes);

/// The answers of a stream.
pub type Answers = BoxStream<'static, Result<Encoded, Status>>;

/// Who answers `Observe`.
pub trait Observe: Send + Sync + 'static {
    /// A stream for a request.
    fn observe(
        self: Arc<Self>,
        request: Request<ObserveRequest>,
    ) -> BoxFuture<'static, Result<Answers, Status>>;
}

#[derive(Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Encoded;
    type Decode = ObserveRequest;
    type Encoder = RawEncoder;
    type Decoder = ProstDecoder<ObserveRequest>;

    fn encoder(&mut self) -> RawEncoder {
        RawEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

struct RawEncoder;

impl Encoder for RawEncoder {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, item: Encoded, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item.0);
        Ok(())
    }
}

/// The service: `Observe` by `observe`, everything else by `rest`.
pub struct ObserverServer<T, S> {
    observe: Arc<T>,
    rest: S,
    most_request_bytes: usize,
}

impl<T, S: Clone> Clone for ObserverServer<T, S> {
    fn clone(&self) -> Self {
        let most_request_bytes = self.most_request_bytes;
        Self { observe: Arc::clone(&self.observe), rest: self.rest.clone(), most_request_bytes }
    }
}

impl<T, S> ObserverServer<T, S> {
    /// Puts the two together.
    pub fn new(observe: Arc<T>, rest: S, most_request_bytes: usize) -> Self {
        Self { observe, rest, most_request_bytes }
    }
}

impl<T, S> NamedService for ObserverServer<T, S> {
    const NAME: &'static str = SERVICE_NAME;
}

struct Call<T>(Arc<T>);

impl<T: Observe> ServerStreamingService<ObserveRequest> for Call<T> {
    type Response = Encoded;
    type ResponseStream = Answers;
    type Future = BoxFuture<'static, Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<ObserveRequest>) -> Self::Future {
        let answers = Arc::clone(&self.0).observe(request);
        Box::pin(async move { answers.await.map(Response::new) })
    }
}

impl<T, S> Service<http::Request<Body>> for ObserverServer<T, S>
where
    T: Observe,
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.rest.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != "/sockeye.v1.ObserverService/Observe" {
            return Box::pin(self.rest.call(request));
        }
        let call = Call(Arc::clone(&self.observe));
        let most = self.most_request_bytes;
        Box::pin(async move {
            let mut grpc = Grpc::new(RawCodec).max_decoding_message_size(most);
            Ok(grpc.server_streaming(call, request).await)
        })
    }
}
