//! The agent's `ObserverService`: streams from the hub, and what there is to know of the agent.
//!
//! ```text
//! stream   a subscriber's queue -> encoded answers
//! raw      `Observe` with answers that are encoded already
//! ```

mod raw;
mod stream;

use std::{sync::Arc, time::Instant};

use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use proto::{
    mask::Mask,
    v1::{
        self, GetServerStatusRequest, GetServerStatusResponse, ListNodesRequest, ListNodesResponse,
        ListPortsRequest, ListPortsResponse, ListSocketsRequest, ListSocketsResponse, ObserveRequest,
        ObserveResponse, SocketEntry,
        observer_service_server::{ObserverService, ObserverServiceServer},
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

pub use self::raw::{Answers, Observe, ObserverServer};
use self::stream::{Manner, lost_events, pump};
use crate::{
    doctor::{self, Support},
    event::Lost,
    hub::{Hub, Item, SubscribeError, wish},
    wire::{Origin, convert},
};

/// Answers that wait for the connection; behind them the subscriber's queue fills.
const ANSWERS: usize = 2;

/// Who may see what.
pub trait Guard: Send + Sync + 'static {
    /// The caller's name for the status, and the namespaces that it may see (`None` = everything).
    fn caller<'a>(&'a self, extensions: &'a tonic::Extensions) -> BoxFuture<'a, Result<Caller, Status>>;
}

/// A caller who may observe.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub name: String,
    /// Namespaces whose pods it may see; `None` = everything, the host included.
    pub namespaces: Option<Vec<String>>,
}

/// What the status says of the watch of pods; `None` outside of a cluster.
pub type WatchStatus = Arc<dyn Fn() -> Option<v1::WatchStatus> + Send + Sync>;

/// The service.
pub struct Observer {
    hub: Hub,
    origin: Origin,
    guard: Arc<dyn Guard>,
    watch: WatchStatus,
    machine: doctor::Machine,
    started: Instant,
}

impl Observer {
    /// A service on a hub.
    pub fn new(hub: Hub, origin: Origin, guard: Arc<dyn Guard>, watch: WatchStatus) -> Self {
        let machine = doctor::inspect(&crate::host::Roots::default());
        Self { hub, origin, guard, watch, machine, started: Instant::now() }
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
        let caller = self.guard.caller(request.extensions()).await?;
        let request = request.into_inner();
        let mut wish =
            wish::Wish::read(&request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mask = Mask::of(request.field_mask.as_ref())
            .map_err(|error| Status::invalid_argument(format!("field_mask: {error}")))?;
        if let Some(namespaces) = &caller.namespaces {
            wish.only_namespaces(namespaces);
        }
        let manner = Manner {
            mask,
            encoding: request.encoding(),
            origin: self.origin.clone(),
            delay: wish.delay,
            follow: wish.follow,
            until_ns: wish.until_ns,
        };
        let subscriber = self.hub.subscribe(wish, caller.name).await.map_err(|error| refused(&error))?;
        let (answers, inbox) = mpsc::channel(ANSWERS);
        tokio::spawn(pump(subscriber, manner, answers, std::future::pending()));
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
        self.guard.caller(request.extensions()).await?;
        let status = self.hub.status().await.ok_or_else(|| refused(&SubscribeError::Stopping))?;
        let support = match &status.error {
            Some(error) => Support::Refused(error),
            None => Support::Loads(&status.degraded),
        };
        let report = doctor::report(&self.machine, support);
        let kernel = self.machine.kernel.as_ref().ok();
        let answer = GetServerStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node_name: self.origin.node_name.to_string(),
            kernel_release: kernel.map(|kernel| kernel.release.clone()).unwrap_or_default(),
            architecture: std::env::consts::ARCH.to_owned(),
            uptime: prost_types::Duration::try_from(self.started.elapsed()).ok(),
            tools: report.tools.iter().map(tool).collect(),
            programs: status
                .programs
                .iter()
                .map(|(program, missed)| program_status(program, *missed))
                .collect(),
            buffers: Vec::new(),
            subscribers: status.subscribers.iter().map(subscriber).collect(),
            watch: (self.watch)(),
            events_per_second: status.events_per_second,
            lost: status
                .losses
                .iter()
                .map(|(stage, count)| {
                    let (since_wall_ns, until_wall_ns) = (status.started_wall_ns, status.now_wall_ns);
                    lost_events(&Lost {
                        stage: *stage,
                        count: *count,
                        since_wall_ns,
                        until_wall_ns,
                        cpu: None,
                    })
                })
                .collect(),
            nodes: Vec::new(),
        };
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
        let caller = self.guard.caller(request.extensions()).await?;
        let request = request.into_inner();
        let mut wish =
            wish::Wish::of_sockets(&request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        if let Some(namespaces) = &caller.namespaces {
            wish.only_namespaces(namespaces);
        }
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
    let mut socket = convert::socket(event);
    socket.state = event.state.map_or(0, |state| i32::from(state.new.number()));
    SocketEntry {
        socket: Some(socket),
        process: event.process.map(|process| convert::process(&process, event)),
        local: Some(convert::identity(&item.local, origin)),
        remote: None,
        age: age.map(|ns| prost_types::Duration {
            seconds: (ns / 1_000_000_000) as i64,
            nanos: (ns % 1_000_000_000) as i32,
        }),
        counters: None,
        accept_queue_length: event.backlog.map(|(length, _)| length),
        accept_queue_limit: event.backlog.map(|(_, limit)| limit),
    }
}

fn tool(report: &doctor::ToolReport) -> v1::ToolStatus {
    let health = match report.health {
        doctor::Health::Ok => v1::Health::Ok,
        doctor::Health::Degraded => v1::Health::Degraded,
        doctor::Health::Unavailable => v1::Health::Unavailable,
    };
    let reasons = report.notes.iter().map(|note| format!("{}: {}", note.effect, note.reason)).collect();
    v1::ToolStatus { tool: report.tool.to_owned(), health: health.into(), reasons }
}

fn program_status(program: &str, recursion_misses: Option<u64>) -> v1::ProgramStatus {
    let hook = crate::probes::ALL.iter().find(|probe| probe.program == program);
    v1::ProgramStatus {
        program: program.to_owned(),
        hook: hook.map(|probe| probe.hook.describe()).unwrap_or_default(),
        run_count: None,
        run_time: None,
        recursion_misses,
    }
}

fn subscriber(one: &crate::hub::SubscriptionStatus) -> v1::SubscriberStatus {
    v1::SubscriberStatus {
        id: one.id,
        client: one.client.clone(),
        age: prost_types::Duration::try_from(one.age).ok(),
        sent: one.taken,
        lost: one.lost,
        queued: one.queued,
        in_kernel: one.in_kernel.clone(),
        in_user_space: one.in_user_space.clone(),
    }
}
