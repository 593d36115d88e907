//! Which agents are asked, with an API server that knows a few pods.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use clap::Parser;
use kube::client::Body;
use proto::v1::Filter;
use serde_json::{Value, json};
use tonic::codegen::{
    Service,
    http::{Request, Response},
};

use super::{AGENTS, Cluster};
use crate::{args::ConnectionArgs, client::ClientError};

/// Answers lists of pods, a page of two at a time.
#[derive(Clone, Default)]
struct ApiServer {
    agents: Vec<Value>,
    /// By namespace.
    pods: Vec<(&'static str, Vec<Value>)>,
    /// Nobody may list pods of all namespaces.
    closed: bool,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ApiServer {
    fn answer(&self, path: &str, query: &str) -> (u16, Value) {
        self.asked.lock().unwrap().push(format!("{path}?{query}"));
        let namespace = path.strip_prefix("/api/v1/namespaces/").and_then(|rest| rest.strip_suffix("/pods"));
        if namespace.is_none() && self.closed {
            let message =
                "pods is forbidden: User \"dev\" cannot list resource \"pods\" at the cluster scope";
            return (403, json!({"kind": "Status", "status": "Failure", "message": message, "code": 403}));
        }
        let of_agents = query.contains("sockeye");
        let pods: Vec<Value> = match namespace {
            _ if of_agents => self.agents.clone(),
            Some(namespace) => {
                let of_it = self.pods.iter().filter(|(known, _)| *known == namespace);
                of_it.flat_map(|(_, pods)| pods.clone()).collect()
            }
            None => self.pods.iter().flat_map(|(_, pods)| pods.clone()).collect(),
        };
        let from: usize = query.split("continue=").nth(1).map_or(0, |token| token.parse().unwrap());
        let more = from + 2 < pods.len();
        let page: Vec<Value> = pods.into_iter().skip(from).take(2).collect();
        let token = if more { (from + 2).to_string() } else { String::new() };
        (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": token}, "items": page}))
    }
}

impl Service<Request<Body>> for ApiServer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (status, answer) = self.answer(request.uri().path(), request.uri().query().unwrap_or_default());
        let body = Body::from(answer.to_string().into_bytes());
        ready(Ok(Response::builder().status(status).body(body).unwrap()))
    }
}

fn pod(name: &str, node: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "x"},
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn three_nodes() -> ApiServer {
    ApiServer {
        agents: vec![pod("agent-3", "c"), pod("agent-1", "a"), pod("agent-2", "b"), pod("agent-2-old", "b")],
        pods: vec![
            ("shop", vec![pod("cart-1", "a"), pod("cart-2", "b"), pod("web-1", "c")]),
            ("billing", vec![pod("pay-1", "c")]),
        ],
        ..ApiServer::default()
    }
}

fn cluster(api_server: ApiServer, words: &[&str]) -> Cluster {
    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        connection: ConnectionArgs,
    }
    let args = Words::try_parse_from(["sockeye"].iter().chain(words)).unwrap().connection;
    Cluster {
        client: kube::Client::new(api_server, "default"),
        namespace: "default".into(),
        args: Arc::new(args),
    }
}

async fn nodes(api_server: &ApiServer, allow: &[Filter]) -> Result<Vec<String>, ClientError> {
    let servers = cluster(api_server.clone(), &[]).servers(allow).await?;
    Ok(servers.iter().map(|server| server.name.to_string()).collect())
}

fn filter(namespaces: &[&str], pods: &[&str]) -> Filter {
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Filter { namespaces: strings(namespaces), pods: strings(pods), ..Filter::default() }
}

#[tokio::test]
async fn without_pods_every_node_is_asked_once() {
    assert_eq!(nodes(&three_nodes(), &[]).await.unwrap(), ["a", "b", "c"]);
    let ports = Filter { ports: vec![443], ..Filter::default() };
    assert_eq!(nodes(&three_nodes(), &[ports]).await.unwrap(), ["a", "b", "c"]);
}

#[tokio::test]
async fn given_pods_only_their_nodes_are_asked() {
    let api_server = three_nodes();
    assert_eq!(nodes(&api_server, &[filter(&["shop"], &["cart*"])]).await.unwrap(), ["a", "b"]);
    assert_eq!(nodes(&api_server, &[filter(&["billing"], &[])]).await.unwrap(), ["c"]);
    assert_eq!(nodes(&api_server, &[filter(&[], &["web*", "pay-1"])]).await.unwrap(), ["c"]);
    let both = [filter(&["shop"], &["cart-1*"]), filter(&["billing"], &["pay*"])];
    assert_eq!(nodes(&api_server, &both).await.unwrap(), ["a", "c"], "alternatives");
    let on_b = Filter { nodes: vec!["b".to_owned()], ..filter(&["shop"], &["cart*"]) };
    assert_eq!(nodes(&api_server, &[on_b]).await.unwrap(), ["b"]);
}

#[tokio::test]
async fn labels_are_the_api_servers_to_select() {
    let api_server = three_nodes();
    let labels = Filter { label_selector: "app=cart".to_owned(), ..filter(&["shop"], &[]) };
    nodes(&api_server, &[labels]).await.unwrap();
    let asked = api_server.asked.lock().unwrap();
    assert!(asked[0].contains("labelSelector=app.kubernetes.io%2Fname%3Dsockeye"), "{asked:?}");
    let of_pods = asked.iter().find(|question| question.starts_with("/api/v1/namespaces/shop/pods"));
    assert!(of_pods.unwrap().contains("labelSelector=app%3Dcart"), "{asked:?}");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let said = async |api_server: ApiServer, allow: &[Filter]| {
        nodes(&api_server, allow).await.unwrap_err().to_string()
    };
    assert_eq!(
        said(ApiServer::default(), &[]).await,
        format!(
            "no agent in any namespace (pods with the labels {AGENTS}); is Sockeye installed? \
             helm install sockeye charts/sockeye"
        )
    );
    assert_eq!(
        said(three_nodes(), &[filter(&["shop"], &["nobody*"])]).await,
        "there is no such pod now, on no node"
    );
    let unknown = Filter { nodes: vec!["z".to_owned()], ..Filter::default() };
    assert_eq!(said(three_nodes(), &[unknown]).await, "--node: no agent runs on a node \"z\"");
    let mut few = three_nodes();
    few.agents.truncate(1);
    assert_eq!(said(few, &[filter(&["shop"], &["cart*"])]).await, "no agent runs on a, b");
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_with_the_way_around_it() {
    let closed = ApiServer { closed: true, ..three_nodes() };
    let Err(ClientError::Refused(said)) = nodes(&closed, &[]).await else { panic!("it is forbidden") };
    assert_eq!(
        said,
        "the API server: pods is forbidden: User \"dev\" cannot list resource \"pods\" at the cluster scope; to look \
         for the agents in one namespace only, name it by --sockeye-namespace"
    );
    let named = cluster(closed, &["--sockeye-namespace", "x"]);
    assert_eq!(named.servers(&[filter(&["shop"], &["cart-1*"])]).await.unwrap().len(), 1);
}
