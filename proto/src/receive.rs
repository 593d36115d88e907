//! `Observe` for clients: a batch of compact events stays bytes, for [`crate::compact::Decoder`] to read. Everything else
//! is decoded by prost.

use prost::{
    Message as _,
    bytes::{Buf as _, Bytes},
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_types::Timestamp;
use tonic::{
    GrpcMethod, Response, Status, Streaming,
    body::Body,
    client::{Grpc, GrpcService},
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
    codegen::{Body as HttpBody, StdError, http::uri::PathAndQuery},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use crate::v1::{ObserveRequest, ObserveResponse, observe_response::Payload};

/// A message of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// [`Payload::CompactEvents`], in an [`ObserveResponse`] without it.
    Compact(ObserveResponse, Bytes),
    /// Any other.
    Other(ObserveResponse),
}

impl Received {
    /// Reads an encoded [`ObserveResponse`].
    ///
    /// # Errors
    /// Where it is none.
    pub fn read(message: &Bytes) -> Result<Self, prost::DecodeError> {
        if let Some((response, batch)) = compact(message) {
            return Ok(Self::Compact(response, message.slice_ref(batch)));
        }
        let mut response = ObserveResponse::decode(&**message)?;
        // In a form that no server writes, and that is allowed.
        match response.payload.take() {
            Some(Payload::CompactEvents(batch)) => Ok(Self::Compact(response, batch.encode_to_vec().into())),
            payload => Ok(Self::Other(ObserveResponse { payload, ..response })),
        }
    }
}

/// The batch and what is around it, where the message has the one payload and that is it.
fn compact(message: &[u8]) -> Option<(ObserveResponse, &[u8])> {
    let mut response = ObserveResponse::default();
    let mut batch = None;
    let mut rest = message;
    while !rest.is_empty() {
        let (number, wire) = decode_key(&mut rest).ok()?;
        if !(1..=9).contains(&number) {
            skip_field(wire, number, &mut rest, DecodeContext::default()).ok()?;
            continue;
        }
        if wire != WireType::LengthDelimited {
            return None;
        }
        let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
        let (block, behind) = rest.split_at_checked(length)?;
        rest = behind;
        match number {
            1 => response.node_name = str::from_utf8(block).ok()?.to_owned(),
            2 if response.time.is_none() => response.time = Some(Timestamp::decode(block).ok()?),
            4 if batch.is_none() => batch = Some(block),
            _ => return None,
        }
    }
    batch.map(|batch| (response, batch))
}

/// Calls `Observe`.
#[derive(Clone, Debug)]
pub struct Observing<T>(Grpc<T>);

impl<T> Observing<T>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// A client by this way. Messages longer than this are refused.
    pub fn new(service: T, message_bytes: usize) -> Self {
        Self(Grpc::new(service).max_decoding_message_size(message_bytes))
    }

    /// What the request asks for.
    ///
    /// # Errors
    /// What the server says against it, or what is in the way.
    pub async fn observe(
        &mut self,
        request: ObserveRequest,
    ) -> Result<Response<Streaming<Received>>, Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::unknown(format!("Service was not ready: {}", error.into())))?;
        let mut request = tonic::Request::new(request);
        request.extensions_mut().insert(GrpcMethod::new("sockeye.v1.ObserverService", "Observe"));
        let path = PathAndQuery::from_static("/sockeye.v1.ObserverService/Observe");
        self.0.server_streaming(request, path, ObserveCodec).await
    }
}

struct ObserveCodec;

impl Codec for ObserveCodec {
    type Encode = ObserveRequest;
    type Decode = Received;
    type Encoder = ProstEncoder<ObserveRequest>;
    type Decoder = Receiver;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<ObserveRequest, ObserveResponse>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Receiver
    }
}

struct Receiver;

impl Decoder for Receiver {
    type Item = Received;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Received>, Status> {
        // No copy: they are taken out of what came from the network.
        let message = message.copy_to_bytes(message.remaining());
        Received::read(&message).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use prost::{Message as _, bytes::Bytes};

    use super::Received;
    use crate::v1::{CompactBatch, Heartbeat, Identity, ObserveResponse, observe_response::Payload};

    fn response(payload: Payload) -> ObserveResponse {
        let time = Some(prost_types::Timestamp { seconds: 3, nanos: 4 });
        ObserveResponse { node_name: "node-1".to_owned(), time, payload: Some(payload) }
    }

    fn read(message: Vec<u8>) -> Received {
        Received::read(&Bytes::from(message)).unwrap()
    }

    #[test]
    fn a_compact_batch_stays_bytes_and_everything_else_is_decoded() {
        let batch = CompactBatch {
            identities: vec![Identity { pod: "cart-1".to_owned(), ..Identity::default() }],
            ..CompactBatch::default()
        };
        let whole = response(Payload::CompactEvents(batch.clone()));
        let without = ObserveResponse { payload: None, ..whole.clone() };
        let compact = Received::Compact(without, batch.encode_to_vec().into());
        assert_eq!(read(whole.encode_to_vec()), compact);
        let heartbeat = response(Payload::Heartbeat(Heartbeat::default()));
        assert_eq!(read(heartbeat.encode_to_vec()), Received::Other(heartbeat.clone()));
        // The last one counts.
        let both = [heartbeat.encode_to_vec(), whole.encode_to_vec()].concat();
        assert_eq!(read(both), compact);
        let both = [whole.encode_to_vec(), heartbeat.encode_to_vec()].concat();
        assert_eq!(read(both), Received::Other(heartbeat));
    }

    #[test]
    fn the_batch_is_no_copy() {
        let batch = CompactBatch { resume_token: vec![7; 100], ..CompactBatch::default() };
        let message = Bytes::from(response(Payload::CompactEvents(batch)).encode_to_vec());
        let Received::Compact(_, batch) = Received::read(&message).unwrap() else { panic!("it is one") };
        assert!(message.as_ptr_range().contains(&batch.as_ptr()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let message = Bytes::from(bytes);
            match (ObserveResponse::decode(&*message), Received::read(&message)) {
                (Ok(whole), Ok(Received::Other(read))) => prop_assert_eq!(read, whole),
                // Whether the batch is one is for its decoder to say.
                (whole, Ok(Received::Compact(mut read, batch))) => {
                    if let Ok(batch) = CompactBatch::decode(batch) {
                        read.payload = Some(Payload::CompactEvents(batch));
                        prop_assert_eq!(Ok(read), whole);
                    }
                }
                (whole, read) => assert!(whole.is_err() && read.is_err(), "{whole:?} {read:?}"),
            }
        }
    }
}
