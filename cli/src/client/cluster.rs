//! A cluster's agents: found by their labels, reached by port-forwards that the API server makes for us, without any
//! kubectl process. Given pods, only the agents of their nodes are asked.

use std::{
    collections::BTreeSet,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    api::{ListParams, Portforwarder},
    config::{KubeConfigOptions, Kubeconfig},
};
use proto::v1::Filter;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::{
    ClientError, chain,
    dial::{Dialer, Stream},
    server::Server,
};
use crate::args::ConnectionArgs;

/// The agents' pods.
const AGENTS: &str = "app.kubernetes.io/name=sockeye,app.kubernetes.io/component=agent";
/// Pods that the API server gives at once.
const PAGE: u32 = 500;

/// An agent's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node; empty while it has none.
    pub node: String,
    /// Running, Pending …
    pub phase: String,
    /// Its containers are ready.
    pub ready: bool,
}

/// A cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: Arc<str>,
    args: Arc<ConnectionArgs>,
}

impl Cluster {
    /// Reads the kubeconfig, or what a pod has instead.
    pub async fn open(args: &ConnectionArgs) -> Result<Self, ClientError> {
        let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
        let config = match &args.kubeconfig {
            Some(path) => {
                let wrong = |error: kube::config::KubeconfigError| {
                    ClientError::Named(format!("--kubeconfig: {}: {}", path.display(), chain(&error)))
                };
                let file = Kubeconfig::read_from(path).map_err(wrong)?;
                Config::from_custom_kubeconfig(file, &options).await.map_err(wrong)?
            }
            None => match Config::from_kubeconfig(&options).await {
                Ok(config) => config,
                Err(error) => match Config::incluster() {
                    Ok(config) if args.context.is_none() => config,
                    _ => return Err(ClientError::Named(format!("kubeconfig: {}", chain(&error)))),
                },
            },
        };
        Self::new(config, args)
    }

    /// A cluster by its configuration.
    pub fn new(mut config: Config, args: &ConnectionArgs) -> Result<Self, ClientError> {
        config.connect_timeout = Some(args.timeout);
        // Port-forwards are silent for as long as nothing happens.
        config.read_timeout = None;
        let namespace = config.default_namespace.as_str().into();
        let client = Client::try_from(config)
            .map_err(|error| ClientError::Named(format!("kubeconfig: {}", chain(&error))))?;
        Ok(Self { client, namespace, args: Arc::new(args.clone()) })
    }

    /// The kubeconfig's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Every agent's pod, by node.
    pub async fn agents(&self) -> Result<Vec<AgentPod>, ClientError> {
        let mut agents: Vec<AgentPod> = self.agent_pods(None).await?.iter().map(agent).collect();
        agents.sort_by(|one, other| (&one.node, &one.name).cmp(&(&other.node, &other.name)));
        if agents.is_empty() {
            let place = match &self.args.sockeye_namespace {
                Some(namespace) => format!("in namespace {namespace}"),
                None => "in any namespace".to_owned(),
            };
            return Err(ClientError::Unreachable(format!(
                "no agent {place} (pods with the labels {AGENTS}); is Sockeye installed? \
                 helm install sockeye charts/sockeye"
            )));
        }
        Ok(agents)
    }

    /// The servers of the nodes that have what the filters let in. One a node: while a pod is replaced there are two.
    pub async fn servers(&self, allow: &[Filter]) -> Result<Vec<Server>, ClientError> {
        let agents = self.agents().await?;
        let nodes = self.nodes_of(allow).await?;
        if let Some(nodes) = &nodes
            && nodes.is_empty()
        {
            return Err(ClientError::Unreachable("there is no such pod now, on no node".to_owned()));
        }
        let named: BTreeSet<&str> =
            allow.iter().flat_map(|filter| &filter.nodes).map(String::as_str).collect();
        if let Some(unknown) = named.iter().find(|name| !agents.iter().any(|agent| agent.node == **name)) {
            return Err(ClientError::Named(format!("--node: no agent runs on a node \"{unknown}\"")));
        }
        let mut servers: Vec<Server> = Vec::new();
        for agent in agents {
            let wanted = nodes.as_ref().is_none_or(|nodes| nodes.contains(&agent.node));
            if agent.node.is_empty()
                || !wanted
                || servers.last().is_some_and(|last| *last.name == *agent.node)
            {
                continue;
            }
            servers.push(self.server(agent));
        }
        if servers.is_empty() {
            let nodes = nodes.unwrap_or_default().into_iter().collect::<Vec<_>>().join(", ");
            return Err(ClientError::Unreachable(format!("no agent runs on {nodes}")));
        }
        Ok(servers)
    }

    /// The server of an agent's node.
    pub fn server(&self, agent: AgentPod) -> Server {
        let dialer = Dialer::Forward(Forward { cluster: self.clone(), node: agent.node.as_str().into() });
        let mut server = Server::new(&agent.node, dialer, &self.args);
        server.pod = Some(agent);
        server
    }

    /// The nodes that have pods that the filters let in; nothing = any node.
    async fn nodes_of(&self, allow: &[Filter]) -> Result<Option<BTreeSet<String>>, ClientError> {
        if allow.is_empty() {
            return Ok(None);
        }
        let mut nodes = BTreeSet::new();
        for filter in allow {
            let names_pods =
                !(filter.namespaces.is_empty() && filter.pods.is_empty() && filter.label_selector.is_empty());
            if !names_pods {
                if filter.nodes.is_empty() {
                    return Ok(None);
                }
                nodes.extend(filter.nodes.iter().cloned());
                continue;
            }
            let params = ListParams { label_selector: selector(filter), ..ListParams::default() };
            let mut found = Vec::new();
            if filter.namespaces.is_empty() {
                found = self.pods(&Api::all(self.client.clone()), &params).await?;
            }
            for namespace in &filter.namespaces {
                found.extend(self.pods(&Api::namespaced(self.client.clone(), namespace), &params).await?);
            }
            let of_filter = found.iter().filter(|pod| is_named(pod, &filter.pods)).filter_map(node_of);
            nodes.extend(of_filter.filter(|node| filter.nodes.is_empty() || filter.nodes.contains(node)));
        }
        Ok(Some(nodes))
    }

    async fn agent_pods(&self, node: Option<&str>) -> Result<Vec<Pod>, ClientError> {
        let api: Api<Pod> = match &self.args.sockeye_namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let field_selector = node.map(|node| format!("spec.nodeName={node}"));
        let params =
            ListParams { label_selector: Some(AGENTS.to_owned()), field_selector, ..ListParams::default() };
        let answer = self.pods(&api, &params).await;
        answer.map_err(|error| match error {
            ClientError::Refused(text) if self.args.sockeye_namespace.is_none() => {
                ClientError::Refused(format!(
                    "{text}; to look for the agents in one namespace only, name it by --sockeye-namespace"
                ))
            }
            other => other,
        })
    }

    /// All pages.
    async fn pods(&self, api: &Api<Pod>, params: &ListParams) -> Result<Vec<Pod>, ClientError> {
        let mut params = params.clone().limit(PAGE);
        let mut pods = Vec::new();
        loop {
            // kube has a time for connecting only; a silent API server is none that answers.
            let page =
                tokio::time::timeout(self.args.timeout + Duration::from_secs(5), api.list(&params)).await;
            let page = page
                .map_err(|_| ClientError::Unreachable("the API server does not answer".to_owned()))?
                .map_err(|error| refusal(&error))?;
            pods.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(pods),
            }
        }
    }
}

fn selector(filter: &Filter) -> Option<String> {
    (!filter.label_selector.is_empty()).then(|| filter.label_selector.clone())
}

/// What the API server said.
fn refusal(error: &kube::Error) -> ClientError {
    match error {
        kube::Error::Api(status) if status.code == 403 || status.code == 401 => {
            ClientError::Refused(format!("the API server: {}", status.message))
        }
        kube::Error::Api(status) if status.code == 400 => {
            ClientError::Request(format!("the API server: {}", status.message))
        }
        other => ClientError::Unreachable(format!("the API server: {}", chain(other))),
    }
}

fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

/// Names, or their beginnings with a star. No name = every pod.
fn is_named(pod: &Pod, names: &[String]) -> bool {
    let own = pod.metadata.name.as_deref().unwrap_or_default();
    names.is_empty()
        || names.iter().any(|name| match name.strip_suffix('*') {
            Some(beginning) => own.starts_with(beginning),
            None => own == name,
        })
}

fn agent(pod: &Pod) -> AgentPod {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    AgentPod {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        node: node_of(pod).unwrap_or_default(),
        phase: status.and_then(|status| status.phase.clone()).unwrap_or_default(),
        ready: conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True"),
    }
}

/// The way to the agent of a node.
#[derive(Clone)]
pub struct Forward {
    cluster: Cluster,
    node: Arc<str>,
}

impl Forward {
    /// Looks for the node's agent, which may be another pod than last time, and opens a port-forward to it.
    pub async fn dial(&self) -> Result<Stream, ClientError> {
        let pods = self.cluster.agent_pods(Some(&self.node)).await?;
        let agents: Vec<AgentPod> = pods.iter().map(agent).filter(|agent| agent.phase == "Running").collect();
        let agent = agents.iter().find(|agent| agent.ready).or(agents.first());
        let agent = agent.ok_or_else(|| {
            ClientError::Unreachable(match pods.first().map(agent_text) {
                Some(text) => text,
                None => "no agent runs on the node".to_owned(),
            })
        })?;
        let port = self.cluster.args.port_forward_port;
        let api: Api<Pod> = Api::namespaced(self.cluster.client.clone(), &agent.namespace);
        let forward = api.portforward(&agent.name, &[port]).await;
        let mut forward = forward.map_err(|error| match refusal(&error) {
            ClientError::Unreachable(text) => {
                ClientError::Unreachable(format!("port-forward to {}: {text}", agent.name))
            }
            other => other,
        })?;
        let nothing = || ClientError::Unreachable("the port-forward gave no stream".to_owned());
        let stream = forward.take_stream(port).ok_or_else(nothing)?;
        let said = Arc::new(Mutex::new(None));
        if let Some(error) = forward.take_error(port) {
            let said = Arc::clone(&said);
            tokio::spawn(async move {
                let text = error.await;
                *said.lock().unwrap_or_else(PoisonError::into_inner) = text;
            });
        }
        Ok(Box::new(Forwarded { stream, said, _forward: forward }))
    }
}

fn agent_text(pod: &Pod) -> String {
    let agent = agent(pod);
    format!("the agent's pod {}/{} is {}", agent.namespace, agent.name, agent.phase)
}

/// A forwarded port. Where it breaks, it says what the kubelet said.
struct Forwarded {
    stream: DuplexStream,
    said: Arc<Mutex<Option<String>>>,
    /// Its task moves the bytes.
    _forward: Portforwarder,
}

impl Forwarded {
    fn broke(&self) -> Option<io::Error> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.as_ref().map(|text| io::Error::new(io::ErrorKind::ConnectionReset, text.trim().to_owned()))
    }
}

impl AsyncRead for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = read
            && buffer.filled().len() == before
            && let Some(error) = self.broke()
        {
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
