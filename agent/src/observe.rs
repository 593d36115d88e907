//! The agent's `ObserverService`: streams from the hub, and what there is to know of the agent.
//!
//! ```text
//! stream   a subscriber's queue -> encoded answers
//! status   what the hub does, for `GetServerStatus` and the metrics
//! raw      `Observe` with answers that are encoded already
//! ```

mod raw;
mod status;
mod stream;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use proto::{
    mask::Mask,
    v1::{
        GetServerStatusRequest, GetServerStatusResponse, ListNodesRequest, ListNodesResponse,
        ListPortsRequest, ListPortsResponse, ListSocketsRequest, ListSocketsResponse, ObserveRequest,
        ObserveResponse, SocketEntry,
        observer_service_server::{ObserverService, ObserverServiceServer},
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use self::stream::{Manner, pump};
pub use self::{
    raw::{Answers, Observe, ObserverServer},
    status::HubStatus,
};
use crate::{
    api::auth::{Allowed, Auth, Caller},
    hub::{Hub, Item, SubscribeError, wish::Wish},
    wire::{Origin, convert},
};

/// Answers that wait for the connection; behind them the subscriber's queue fills.
const ANSWERS: usize = 2;

/// The service.
pub struct Observer {
    hub: Hub,
    origin: Origin,
    auth: Auth,
    status: Arc<HubStatus>,
}

impl Observer {
    /// A service on a hub.
    pub fn new(hub: Hub, origin: Origin, auth: Auth, status: Arc<HubStatus>) -> Self {
        Self { hub, origin, auth, status }
    }

    /// Who calls. The guard before the service let it in.
    fn caller(extensions: &tonic::Extensions) -> Result<Arc<Caller>, Status> {
        let caller = extensions.get::<Arc<Caller>>().map(Arc::clone);
        caller.ok_or_else(|| Status::internal("a call without a caller"))
    }

    /// Leaves of a wish what the caller may see; an error where a right is missing.
    async fn restrict(&self, caller: &Caller, wish: &mut Wish) -> Result<Allowed, Status> {
        let allowed = self.auth.authorize(caller, wish.namespaces().as_ref()).await?;
        if let Allowed::Namespaces(namespaces) = &allowed {
            wish.only_namespaces(namespaces);
        }
        Ok(allowed)
    }

    /// As a tonic service, with requests of at most so many bytes.
    pub fn server(
        self: Arc<Self>,
        most_request_bytes: usize,
    ) -> ObserverServer<Self, ObserverServiceServer<Self>> {
        let rest = ObserverServiceServer::from_arc(Arc::clone(&self));
        let rest = rest.max_decoding_message_size(most_request_bytes);
        ObserverServer::new(self, rest, most_request_bytes)
    }

    async fn subscribe(self: Arc<Self>, request: Request<ObserveRequest>) -> Result<Answers, Status> {
        let caller = Self::caller(request.extensions())?;
        let request = request.into_inner();
        let mut wish = Wish::read(&request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mask = Mask::of(request.field_mask.as_ref())
            .map_err(|error| Status::invalid_argument(format!("field_mask: {error}")))?;
        let allowed = self.restrict(&caller, &mut wish).await?;
        let manner = Manner {
            mask,
            encoding: request.encoding(),
            origin: self.origin.clone(),
            delay: wish.delay,
            follow: wish.follow,
            until_ns: wish.until_ns,
        };
        let subscriber =
            self.hub.subscribe(wish, caller.to_string()).await.map_err(|error| refused(&error))?;
        let (answers, inbox) = mpsc::channel(ANSWERS);
        let auth = self.auth.clone();
        tokio::spawn(async move {
            let barred = auth.revoked(&caller, &allowed);
            pump(subscriber, manner, answers, barred).await;
        });
        Ok(ReceiverStream::new(inbox).boxed())
    }
}

fn refused(error: &SubscribeError) -> Status {
    match error {
        SubscribeError::TooMany(_) => Status::resource_exhausted(error.to_string()),
        SubscribeError::Engine(_) => Status::failed_precondition(error.to_string()),
        SubscribeError::Stopping => Status::unavailable("the agent stops; come back and resume"),
    }
}

impl Observe for Observer {
    fn observe(
        self: Arc<Self>,
        request: Request<ObserveRequest>,
    ) -> BoxFuture<'static, Result<Answers, Status>> {
        Box::pin(self.subscribe(request))
    }
}

#[tonic::async_trait]
impl ObserverService for Observer {
    type ObserveStream = BoxStream<'static, Result<ObserveResponse, Status>>;

    async fn observe(&self, _: Request<ObserveRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        Err(Status::internal("Observe is answered before it gets here"))
    }

    async fn get_server_status(
        &self,
        request: Request<GetServerStatusRequest>,
    ) -> Result<Response<GetServerStatusResponse>, Status> {
        let caller = Self::caller(request.extensions())?;
        let status = self.hub.status().await.ok_or_else(|| refused(&SubscribeError::Stopping))?;
        let mut answer = self.status.response(&status);
        // Who else is here, and what they look for, is for those who may see everything.
        if self.auth.authorize(&caller, None).await.is_err() {
            answer.subscribers.clear();
        }
        Ok(Response::new(answer))
    }

    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Result<Response<ListNodesResponse>, Status> {
        Err(Status::unimplemented("an agent knows its own node only; ask a collector"))
    }

    type ListSocketsStream = BoxStream<'static, Result<ListSocketsResponse, Status>>;

    async fn list_sockets(
        &self,
        request: Request<ListSocketsRequest>,
    ) -> Result<Response<Self::ListSocketsStream>, Status> {
        let caller = Self::caller(request.extensions())?;
        let request = request.into_inner();
        let mut wish =
            Wish::of_sockets(&request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.restrict(&caller, &mut wish).await?;
        let found = self.hub.sockets(wish).await.map_err(|error| refused(&error))?;
        let origin = self.origin.clone();
        let answers = ChunkedSockets { items: found.into_iter(), origin };
        Ok(Response::new(futures::stream::iter(answers).boxed()))
    }

    type ListPortsStream = BoxStream<'static, Result<ListPortsResponse, Status>>;

    async fn list_ports(
        &self,
        _: Request<ListPortsRequest>,
    ) -> Result<Response<Self::ListPortsStream>, Status> {
        Err(Status::unimplemented("this agent does not count ports"))
    }
}

/// Sockets, so many a message.
struct ChunkedSockets {
    items: std::vec::IntoIter<Item>,
    origin: Origin,
}

impl Iterator for ChunkedSockets {
    type Item = Result<ListSocketsResponse, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        const MOST: usize = 500;
        let sockets: Vec<SocketEntry> =
            self.items.by_ref().take(MOST).map(|item| socket(&item, &self.origin)).collect();
        (!sockets.is_empty()).then(|| Ok(ListSocketsResponse { sockets }))
    }
}

fn socket(item: &Item, origin: &Origin) -> SocketEntry {
    let event = &item.event;
    let age = event.start_ns.map(|start| event.boot_ns.saturating_sub(start));
    SocketEntry {
        socket: Some(convert::socket(event)),
        process: event.process.map(|process| convert::process(&process, event)),
        local: Some(convert::identity(&item.local, origin)),
        remote: None,
        age: age.map(|ns| convert::duration(Duration::from_nanos(ns))),
        counters: convert::counters(event),
        accept_queue_length: event.backlog.map(|(length, _)| length),
        accept_queue_limit: event.backlog.map(|(_, limit)| limit),
    }
}
