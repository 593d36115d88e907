//! The watch against a small API server over real HTTP, which the tests answer request by request.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use kube::{Client, Config};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, UnboundedReceiver, channel, unbounded_channel},
    task::JoinHandle,
    time::timeout,
};

use super::{Settings, WatchState, run};
use crate::identity::pods::{Change, Now, Pods};

const LONG: Duration = Duration::from_secs(20);

/// An API server: it hands over each request.
struct Server {
    address: SocketAddr,
    requests: UnboundedReceiver<Request>,
    accepting: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = unbounded_channel();
        let accepting = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let Some(target) = head.split(' ').nth(1) else { continue };
                if sender.send(Request { target: target.to_owned(), stream }).is_err() {
                    return;
                }
            }
        });
        Self { address, requests, accepting }
    }

    async fn next(&mut self) -> Request {
        timeout(LONG, self.requests.recv()).await.expect("no request").expect("the server stopped")
    }

    /// Nobody listens any more.
    async fn stop(self) -> SocketAddr {
        self.accepting.abort();
        let _ = self.accepting.await;
        self.address
    }
}

struct Request {
    target: String,
    stream: TcpStream,
}

impl Request {
    fn has(&self, part: &str) -> bool {
        self.target.split(['?', '&']).any(|one| one == part)
    }

    /// Begins a watch's answer.
    async fn events(mut self) -> Events {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\
                    connection: close\r\n\r\n";
        self.stream.write_all(head.as_bytes()).await.unwrap();
        Events(self.stream)
    }

    async fn answer(mut self, code: u16, json: &str) {
        let head = format!(
            "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            json.len()
        );
        self.stream.write_all(head.as_bytes()).await.unwrap();
        self.stream.write_all(json.as_bytes()).await.unwrap();
    }

    async fn refuse(self, code: u16, reason: &str, message: &str) {
        let message = message.replace('"', "\\\"");
        let json = format!(
            r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{message}","reason":"{reason}","code":{code}}}"#
        );
        self.answer(code, &json).await;
    }
}

/// The answer to a watch.
struct Events(TcpStream);

impl Events {
    async fn send(&mut self, kind: &str, object: &str) {
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        self.0.write_all(chunk.as_bytes()).await.unwrap();
    }

    async fn end_of_list(&mut self, version: u32) {
        let bookmark = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"resourceVersion":"{version}","annotations":{{"k8s.io/initial-events-end":"true"}}}}}}"#
        );
        self.send("BOOKMARK", &bookmark).await;
    }

    async fn end(mut self) {
        self.0.write_all(b"0\r\n\r\n").await.unwrap();
    }
}

fn pod(name: &str, version: u32) -> String {
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"shop","uid":"uid-{name}","resourceVersion":"{version}"}},"spec":{{"nodeName":"node-1"}},"status":{{}}}}"#
    )
}

/// A watch of that server, with short pauses.
struct Watch {
    changes: Receiver<Change>,
    state: Arc<WatchState>,
    task: JoinHandle<()>,
}

impl Watch {
    fn of(address: SocketAddr) -> Self {
        // Whoever serves TLS in this process sets it, and so must a test.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Config::new(format!("http://{address}").parse().unwrap());
        let client = Client::try_from(config).unwrap();
        let settings = Settings {
            jitter: Duration::ZERO,
            shortest_pause: Duration::from_millis(2),
            longest_pause: Duration::from_millis(20),
            ..Settings::new("node-1")
        };
        Self::with(client, settings)
    }

    fn with(client: Client, settings: Settings) -> Self {
        let (sender, changes) = channel(16);
        let state = Arc::new(WatchState::default());
        let task = tokio::spawn(run(client, settings, sender, Arc::clone(&state)));
        Self { changes, state, task }
    }

    async fn next(&mut self) -> String {
        let change = timeout(LONG, self.changes.recv()).await.expect("no change").expect("the watch ended");
        match change {
            Change::Restart => "restart".to_owned(),
            Change::Listed(seen) => format!("listed {}", seen.name),
            Change::Complete => "complete".to_owned(),
            Change::Applied(seen) => format!("applied {}", seen.name),
            Change::Deleted(uid) => format!("deleted {uid}"),
        }
    }

    async fn expect(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(self.next().await, *expected);
        }
    }

    /// Waits until the state is as wanted.
    async fn until(&self, wanted: impl Fn(&super::WatchSnapshot) -> bool) -> super::WatchSnapshot {
        let end = tokio::time::Instant::now() + LONG;
        loop {
            let state = self.state.snapshot();
            if wanted(&state) {
                return state;
            }
            assert!(tokio::time::Instant::now() < end, "{state:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A server and a watch of it that has listed `cart`.
async fn following() -> (Server, Watch, Events) {
    let mut server = Server::start().await;
    let mut watch = Watch::of(server.address);
    let mut events = server.next().await.events().await;
    events.send("ADDED", &pod("cart", 3)).await;
    events.end_of_list(5).await;
    watch.expect(&["restart", "listed cart", "complete"]).await;
    (server, watch, events)
}

#[tokio::test]
async fn a_node_asks_for_its_own_pods_by_a_streamed_list_and_follows_them() {
    let mut server = Server::start().await;
    let mut watch = Watch::of(server.address);
    let request = server.next().await;
    assert!(request.target.starts_with("/api/v1/pods?"), "{}", request.target);
    for part in [
        "fieldSelector=spec.nodeName%3Dnode-1",
        "watch=true",
        "sendInitialEvents=true",
        "allowWatchBookmarks=true",
        "resourceVersionMatch=NotOlderThan",
    ] {
        assert!(request.has(part), "{part} in {}", request.target);
    }
    assert!(!watch.state.snapshot().listed);
    let mut events = request.events().await;
    events.send("ADDED", &pod("cart", 3)).await;
    watch.expect(&["restart", "listed cart"]).await;
    assert!(!watch.state.snapshot().synced, "the list is not complete");
    events.end_of_list(5).await;
    watch.expect(&["complete"]).await;
    events.send("ADDED", &pod("web", 6)).await;
    events.send("MODIFIED", &pod("cart", 7)).await;
    events.send("DELETED", &pod("cart", 8)).await;
    watch.expect(&["applied web", "applied cart", "deleted uid-cart"]).await;
    let state = watch.until(|state| state.pods == 1).await;
    assert!(state.synced && state.error.is_none() && state.since_last_word.is_some());
    assert_eq!((state.lists, state.errors), (1, 0));
}

#[tokio::test]
async fn a_server_that_streams_no_lists_is_asked_for_pages() {
    let mut server = Server::start().await;
    let mut watch = Watch::of(server.address);
    let message = "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is \
                   forbidden for watch unless the WatchList feature gate is enabled";
    server.next().await.refuse(422, "Invalid", message).await;
    pages(&mut server, &mut watch).await;
}

#[tokio::test]
async fn a_server_whose_etcd_cannot_stream_lists_is_asked_for_pages() {
    let mut server = Server::start().await;
    let mut watch = Watch::of(server.address);
    let message = "a watch stream was requested by the client but the required storage feature \
                   RequestWatchProgress is disabled";
    server.next().await.refuse(500, "InternalError", message).await;
    pages(&mut server, &mut watch).await;
}

#[tokio::test]
async fn a_server_that_never_ends_a_streamed_list_is_asked_for_pages() {
    let mut server = Server::start().await;
    let config = Config::new(format!("http://{}", server.address).parse().unwrap());
    let settings = Settings {
        jitter: Duration::ZERO,
        list_timeout: Duration::from_millis(100),
        ..Settings::new("node-1")
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut watch = Watch::with(Client::try_from(config).unwrap(), settings);
    let mut events = server.next().await.events().await;
    events.send("ADDED", &pod("cart", 3)).await;
    watch.expect(&["restart", "listed cart"]).await;
    pages(&mut server, &mut watch).await;
}

async fn pages(server: &mut Server, watch: &mut Watch) {
    let list = |pods: &str, more: &str| {
        format!(
            r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"5"{more}}},"items":[{pods}]}}"#
        )
    };
    let request = server.next().await;
    assert!(request.has("limit=50") && !request.has("watch=true"), "{}", request.target);
    assert!(request.has("fieldSelector=spec.nodeName%3Dnode-1"));
    request.answer(200, &list(&pod("cart", 3), r#","continue":"more""#)).await;
    let request = server.next().await;
    assert!(request.has("continue=more"), "{}", request.target);
    request.answer(200, &list(&pod("web", 4), "")).await;
    watch.expect(&["restart", "listed cart", "listed web", "complete"]).await;
    let request = server.next().await;
    assert!(request.has("watch=true") && request.has("resourceVersion=5"), "{}", request.target);
    request.events().await.send("DELETED", &pod("web", 6)).await;
    watch.expect(&["deleted uid-web"]).await;
}

#[tokio::test]
async fn after_410_everything_is_listed_again_and_what_is_missing_is_gone() {
    let (mut server, mut watch, mut events) = following().await;
    let gone = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old resource version","reason":"Expired","code":410}"#;
    events.send("ERROR", gone).await;
    let request = server.next().await;
    assert!(request.has("sendInitialEvents=true"), "{}", request.target);
    let mut events = request.events().await;
    events.send("ADDED", &pod("web", 9)).await;
    events.end_of_list(10).await;
    let mut pods = Pods::default();
    let now = Now { boot_ns: 1, wall_ns: 1 };
    for change in [Change::Restart, Change::Listed(testing_seen("cart")), Change::Complete] {
        pods.apply(change, now, &mut Vec::new());
    }
    for _ in 0..3 {
        pods.apply(timeout(LONG, watch.changes.recv()).await.unwrap().unwrap(), now, &mut Vec::new());
    }
    assert!(pods.is_alive("uid-web") && !pods.is_alive("uid-cart") && pods.get("uid-cart").is_some());
    let state = watch.until(|state| state.lists == 2).await;
    assert!(state.synced && state.pods == 1);
}

fn testing_seen(name: &str) -> Box<crate::identity::pods::Seen> {
    let mut seen = crate::identity::testing::seen("shop", name, 1);
    seen.uid = format!("uid-{name}").into();
    seen.into()
}

#[tokio::test]
async fn an_outage_of_the_server_is_told_and_nothing_is_forgotten() {
    let (server, mut watch, events) = following().await;
    let address = server.stop().await;
    events.end().await;
    let state = watch.until(|state| state.error.is_some()).await;
    assert!(state.error.unwrap().starts_with("the API server does not answer: "));
    assert!(state.listed && !state.synced && state.pods == 1);
    watch.until(|state| state.errors > 3).await;
    assert!(watch.changes.try_recv().is_err(), "an outage changes no pod");

    let mut server = Server::start_at(address).await;
    let request = server.next().await;
    assert!(request.has("resourceVersion=5") && !request.has("sendInitialEvents=true"), "{}", request.target);
    request.events().await.send("ADDED", &pod("web", 6)).await;
    watch.expect(&["applied web"]).await;
    let state = watch.until(|state| state.error.is_none()).await;
    assert!(state.synced && state.pods == 2 && state.lists == 1);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_begun_again() {
    let mut server = Server::start().await;
    let mut watch = Watch::of(server.address);
    let mut events = server.next().await.events().await;
    events.send("ADDED", &pod("cart", 3)).await;
    watch.expect(&["restart", "listed cart"]).await;
    events.end().await;
    let mut events = server.next().await.events().await;
    events.send("ADDED", &pod("cart", 3)).await;
    events.end_of_list(5).await;
    watch.expect(&["restart", "listed cart", "complete"]).await;
    assert_eq!(watch.until(|state| state.synced).await.lists, 1);
}

#[tokio::test]
async fn a_missing_right_is_named_and_asked_for_again() {
    let mut server = Server::start().await;
    let mut watch = Watch::of(server.address);
    let message = "pods is forbidden: User \"system:serviceaccount:sockeye:agent\" cannot watch resource \"pods\" in \
                   API group \"\" at the cluster scope";
    server.next().await.refuse(403, "Forbidden", message).await;
    let state = watch.until(|state| state.error.is_some()).await;
    assert_eq!(
        state.error.unwrap(),
        "not allowed to watch the resource \"pods\" of the whole cluster; a ClusterRole must give \
         system:serviceaccount:sockeye:agent get, list and watch on pods"
    );
    let mut events = server.next().await.events().await;
    events.end_of_list(5).await;
    watch.expect(&["restart", "complete"]).await;
    assert!(watch.until(|state| state.synced).await.error.is_none());
}

#[tokio::test]
async fn the_watch_ends_when_nobody_takes_its_changes() {
    let (server, watch, _events) = following().await;
    drop(watch.changes);
    timeout(LONG, watch.task).await.unwrap().unwrap();
    drop(server);
}

#[tokio::test]
async fn a_slow_taker_makes_the_watch_wait_and_loses_nothing() {
    let (_server, mut watch, mut events) = following().await;
    for number in 0..100 {
        events.send("ADDED", &pod(&format!("p{number}"), 10 + number)).await;
    }
    // The channel is full, and more is to come.
    while watch.changes.len() < watch.changes.max_capacity() {
        tokio::task::yield_now().await;
    }
    for number in 0..100 {
        assert_eq!(watch.next().await, format!("applied p{number}"));
    }
}
