//! What the tests of the server share: a small service, certificates of every kind, clients, a folder.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use hyper_util::rt::TokioIo;
use proto::v1::{
    self,
    observe_response::Payload,
    observer_service_client::ObserverServiceClient,
    observer_service_server::{ObserverService, ObserverServiceServer},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};
use tonic::{
    Request, Response, Status,
    codegen::{Service, http::Uri},
    transport::{Channel, Endpoint as Remote},
};

use super::{
    auth::{Auth, Caller},
    config::{Authorize, Config, Endpoint, Given, Limits, TlsFiles},
    listen::Listeners,
    metrics::ApiMetrics,
    server::Serving,
    stop::Stop,
    tls::Tls,
    vitals::Vitals,
};

/// A folder of a test's own, gone with the value.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sockeye-api-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The default limits.
pub(super) fn limits() -> Limits {
    Config::load(&Given::default(), &[]).unwrap().limits
}

/// A service that says who called, and whose streams never end by themselves.
pub(super) struct Small;

#[tonic::async_trait]
impl ObserverService for Small {
    type ObserveStream = BoxStream<'static, Result<v1::ObserveResponse, Status>>;
    type ListSocketsStream = BoxStream<'static, Result<v1::ListSocketsResponse, Status>>;
    type ListPortsStream = BoxStream<'static, Result<v1::ListPortsResponse, Status>>;

    async fn observe(&self, _: Request<v1::ObserveRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        let payload = Some(Payload::Heartbeat(v1::Heartbeat::default()));
        let beat = v1::ObserveResponse { payload, ..v1::ObserveResponse::default() };
        let beats = futures::stream::unfold(Duration::ZERO, move |wait| {
            let beat = beat.clone();
            async move {
                tokio::time::sleep(wait).await;
                Some((Ok(beat), Duration::from_millis(20)))
            }
        });
        Ok(Response::new(beats.boxed()))
    }

    async fn get_server_status(
        &self,
        request: Request<v1::GetServerStatusRequest>,
    ) -> Result<Response<v1::GetServerStatusResponse>, Status> {
        let caller = request.extensions().get::<Arc<Caller>>().unwrap();
        let node_name = caller.to_string();
        Ok(Response::new(v1::GetServerStatusResponse { node_name, ..v1::GetServerStatusResponse::default() }))
    }

    async fn list_nodes(
        &self,
        _: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        Err(Status::unimplemented("none"))
    }

    async fn list_sockets(
        &self,
        _: Request<v1::ListSocketsRequest>,
    ) -> Result<Response<Self::ListSocketsStream>, Status> {
        Err(Status::unimplemented("none"))
    }

    async fn list_ports(
        &self,
        _: Request<v1::ListPortsRequest>,
    ) -> Result<Response<Self::ListPortsStream>, Status> {
        Err(Status::unimplemented("none"))
    }
}

/// A server that runs.
pub(super) struct Running {
    pub(super) serving: Serving,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) task: JoinHandle<io::Result<()>>,
}

/// Serves `Small` at loopback, at any port.
pub(super) async fn local(limits: Limits) -> Running {
    let endpoint = Endpoint::Tcp("127.0.0.1:0".parse().unwrap());
    let listeners = Listeners::bind(&[endpoint], None).await.unwrap();
    run(limits, listeners, ApiMetrics::default(), None)
}

/// Serves `Small` by TLS, at any port of every address.
pub(super) async fn network(limits: Limits, files: TlsFiles) -> Running {
    let metrics = ApiMetrics::default();
    let (tls, seen) = Tls::load(files, false, metrics.clone()).unwrap();
    let endpoint = Endpoint::Tcp("0.0.0.0:0".parse().unwrap());
    let listeners = Listeners::bind(&[endpoint], Some(&tls)).await.unwrap();
    tokio::spawn(tls.follow(seen));
    run(limits, listeners, metrics, None)
}

pub(super) fn run(limits: Limits, listeners: Listeners, metrics: ApiMetrics, auth: Option<Auth>) -> Running {
    let auth = auth.unwrap_or_else(|| Auth::new(Authorize::Tokens, None, None, &metrics));
    let serving = Serving { limits, auth, stop: Stop::default(), metrics, vitals: Vitals::default() };
    let endpoints = listeners.endpoints();
    let server = serving.clone();
    let small = ObserverServiceServer::new(Small).max_decoding_message_size(limits.message_bytes);
    let task = tokio::spawn(async move { server.serve(listeners, small).await });
    Running { serving, endpoints, task }
}

impl Running {
    /// Where it is, from here.
    pub(super) fn address(&self) -> SocketAddr {
        match &self.endpoints[0] {
            Endpoint::Tcp(address) => ([127, 0, 0, 1], address.port()).into(),
            Endpoint::Unix(path) => panic!("{} is no address", path.display()),
        }
    }

    /// A client by plain TCP.
    pub(super) async fn client(&self) -> ObserverServiceClient<Channel> {
        ObserverServiceClient::new(dial(tcp(self.address())).await.unwrap())
    }
}

pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

type Dialled = io::Result<TokioIo<Box<dyn Pipe>>>;

fn piped(stream: impl Pipe + 'static) -> Dialled {
    let stream: Box<dyn Pipe> = Box::new(stream);
    Ok(TokioIo::new(stream))
}

/// How a client connects.
#[derive(Clone)]
pub(super) struct Dial(Arc<dyn Fn() -> BoxFuture<'static, Dialled> + Send + Sync>);

impl Service<Uri> for Dial {
    type Response = TokioIo<Box<dyn Pipe>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Dialled>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        (self.0)()
    }
}

pub(super) fn tcp(address: SocketAddr) -> Dial {
    Dial(Arc::new(move || Box::pin(async move { piped(TcpStream::connect(address).await?) })))
}

pub(super) fn unix(path: PathBuf) -> Dial {
    Dial(Arc::new(move || {
        let path = path.clone();
        Box::pin(async move { piped(UnixStream::connect(path).await?) })
    }))
}

pub(super) fn tls(address: SocketAddr, config: ClientConfig) -> Dial {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    Dial(Arc::new(move || {
        let connector = connector.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("agent.test").unwrap();
            piped(connector.connect(name, stream).await?)
        })
    }))
}

pub(super) async fn dial(dial: Dial) -> Result<Channel, tonic::transport::Error> {
    let remote = Remote::from_static("http://agent.test").timeout(Duration::from_secs(20));
    remote.connect_with_connector(dial).await
}

/// Asks who the server takes us for.
pub(super) async fn who(channel: Channel) -> Result<String, Status> {
    let mut client = ObserverServiceClient::new(channel);
    Ok(client.get_server_status(v1::GetServerStatusRequest {}).await?.into_inner().node_name)
}

/// A certificate authority.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate with its key, PEM.
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for the server, or for a client of the group `watchers`.
    pub(super) fn issue(&self, name: &str) -> Pair {
        self.issue_until(name, 2099)
    }

    pub(super) fn issue_until(&self, name: &str, year: i32) -> Pair {
        let mut params = CertificateParams::new(vec!["agent.test".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "watchers");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }

    /// A client's TLS that trusts this CA, with its own certificate if it has one.
    pub(super) fn client(&self, pair: Option<&Pair>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match pair {
            None => builder.with_no_client_auth(),
            Some(Pair { cert, key }) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// The server's files in a folder.
pub(super) fn files(folder: &Folder, server: &Pair, client_ca: &Ca) -> TlsFiles {
    TlsFiles {
        cert: folder.write("tls.crt", &server.cert),
        key: folder.write("tls.key", &server.key),
        client_ca: Some(folder.write("ca.crt", &client_ca.pem)),
        reload_interval: Duration::from_millis(20),
    }
}

/// Waits until something holds, for 20 s at most.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
