//! A server that says what a test wrote down, over a real socket and real HTTP/2.

use std::{
    collections::VecDeque,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use futures::{Stream, StreamExt as _};
use proto::v1::{
    GetServerStatusRequest, GetServerStatusResponse, ListNodesRequest, ListNodesResponse, ListPortsRequest,
    ListPortsResponse, ListSocketsRequest, ListSocketsResponse, ObserveRequest, ObserveResponse,
    observer_service_server::{ObserverService, ObserverServiceServer},
};
use tokio::{net::UnixListener, sync::oneshot};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

/// What a stream does next.
#[derive(Clone)]
pub enum Step {
    /// It says this.
    Say(Box<ObserveResponse>),
    /// It is silent for so long.
    Wait(Duration),
    /// It ends with this status.
    Fail(Status),
    /// It stays silent.
    Hang,
}

/// What the server was asked and what it says: a script for each `Observe`, in turn; then nothing.
#[derive(Clone, Default)]
pub struct Fake {
    /// Scripts that were not asked for yet.
    pub scripts: Arc<Mutex<VecDeque<Vec<Step>>>>,
    /// Requests that came.
    pub requests: Arc<Mutex<Vec<ObserveRequest>>>,
    /// The tokens that came with them.
    pub tokens: Arc<Mutex<Vec<Option<String>>>>,
    /// The answer about the status.
    pub status: GetServerStatusResponse,
    /// The sockets.
    pub sockets: Vec<ListSocketsResponse>,
}

impl Fake {
    /// A server with these scripts.
    pub fn new(scripts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        Self { scripts: Arc::new(Mutex::new(scripts.into_iter().collect())), ..Self::default() }
    }

    /// Serves at a new socket. The server ends with what is returned.
    pub fn serve(&self, name: &str) -> Served {
        let folder = std::env::temp_dir().join(format!("sockeye-fake-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("s");
        let _ = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = ObserverServiceServer::new(self.clone());
        // A runtime of its own: when it goes, connections go with it, as those of a process that ends.
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let incoming = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
                let server = tonic::transport::Server::builder().add_service(service);
                tokio::select! {
                    served = server.serve_with_incoming(incoming) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Served { path, folder, stop: Some(stop), thread: Some(thread) }
    }
}

/// A server that runs until this goes.
pub struct Served {
    /// Its socket.
    pub path: PathBuf,
    folder: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ObserverService for Fake {
    type ObserveStream = Answers<ObserveResponse>;
    type ListSocketsStream = Answers<ListSocketsResponse>;
    type ListPortsStream = Answers<ListPortsResponse>;

    async fn observe(
        &self,
        request: Request<ObserveRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let token = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        self.tokens.lock().unwrap().push(token);
        self.requests.lock().unwrap().push(request.into_inner());
        let script = self.scripts.lock().unwrap().pop_front().unwrap_or_else(|| vec![Step::Hang]);
        if let [Step::Fail(status)] = script.as_slice() {
            return Err(status.clone());
        }
        let steps = futures::stream::iter(script).filter_map(async |step| match step {
            Step::Say(response) => Some(Ok(*response)),
            Step::Wait(time) => {
                tokio::time::sleep(time).await;
                None
            }
            Step::Fail(status) => Some(Err(status)),
            Step::Hang => std::future::pending().await,
        });
        Ok(Response::new(Box::pin(steps)))
    }

    async fn get_server_status(
        &self,
        _: Request<GetServerStatusRequest>,
    ) -> Result<Response<GetServerStatusResponse>, Status> {
        Ok(Response::new(self.status.clone()))
    }

    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Result<Response<ListNodesResponse>, Status> {
        Err(Status::unimplemented("an agent knows its own node only"))
    }

    async fn list_sockets(
        &self,
        _: Request<ListSocketsRequest>,
    ) -> Result<Response<Self::ListSocketsStream>, Status> {
        Ok(Response::new(Box::pin(futures::stream::iter(self.sockets.clone()).map(Ok))))
    }

    async fn list_ports(
        &self,
        _: Request<ListPortsRequest>,
    ) -> Result<Response<Self::ListPortsStream>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}
