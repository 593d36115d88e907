//! As much of an API server as the agent's watch takes: a list of pods, streamed or whole, and a watch in which nothing
//! happens. Plain HTTP on loopback.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Listens until this process ends.
pub struct Server {
    pub address: SocketAddr,
}

impl Server {
    /// Serves these pods.
    pub fn start(pods: Vec<Value>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen as API server")?;
        let address = listener.local_addr().context("an API server without an address")?;
        let pods = Arc::new(pods);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let pods = Arc::clone(&pods);
                // An agent that went away is no reason to stop.
                thread::spawn(move || answer(stream, &pods).ok());
            }
        });
        Ok(Self { address })
    }
}

fn answer(stream: TcpStream, pods: &[Value]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The rest of the head; a GET has no body.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let target = request.split(' ').nth(1).unwrap_or_default();
    match asked(target) {
        Asked::List => whole(stream, "200 OK", &list(pods)),
        Asked::Watch { from_the_beginning } => {
            let pods = if from_the_beginning { pods } else { &[] };
            watch(stream, pods, from_the_beginning)
        }
        Asked::SomethingElse => {
            let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                "reason": "NotFound", "message": "there are only pods here" });
            whole(stream, "404 Not Found", &status)
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    List,
    Watch { from_the_beginning: bool },
    SomethingElse,
}

fn asked(target: &str) -> Asked {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let has = |part| query.split('&').any(|one| one == part);
    match path {
        "/api/v1/pods" if has("watch=true") => {
            Asked::Watch { from_the_beginning: has("sendInitialEvents=true") }
        }
        "/api/v1/pods" => Asked::List,
        _ => Asked::SomethingElse,
    }
}

fn list(pods: &[Value]) -> Value {
    json!({ "kind": "PodList", "apiVersion": "v1", "metadata": { "resourceVersion": "1000" }, "items": pods })
}

fn whole(mut stream: TcpStream, status: &str, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Tells of the pods and then of nothing, until the other side has enough.
fn watch(mut stream: TcpStream, pods: &[Value], from_the_beginning: bool) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
    )?;
    let mut tell = |kind: &str, object: &Value| {
        let line = json!({ "type": kind, "object": object }).to_string();
        write!(stream, "{:x}\r\n{line}\n\r\n", line.len() + 1)
    };
    for pod in pods {
        tell("ADDED", pod)?;
    }
    if from_the_beginning {
        let end = json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "resourceVersion": "1000",
            "annotations": { "k8s.io/initial-events-end": "true" } } });
        tell("BOOKMARK", &end)?;
    }
    stream.read(&mut [0]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{Asked, asked};

    #[test]
    fn a_streamed_list_is_told_from_a_watch_and_a_list() {
        let streamed = "/api/v1/pods?&watch=true&fieldSelector=x&sendInitialEvents=true";
        assert_eq!(asked(streamed), Asked::Watch { from_the_beginning: true });
        let watch = "/api/v1/pods?&watch=true&resourceVersion=7";
        assert_eq!(asked(watch), Asked::Watch { from_the_beginning: false });
        assert_eq!(asked("/api/v1/pods?limit=50"), Asked::List);
        assert_eq!(asked("/apis/apps/v1/deployments"), Asked::SomethingElse);
    }
}
