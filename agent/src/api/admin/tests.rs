//! The admin port over a real socket.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::Admin;
use crate::api::{
    metrics::{ApiMetrics, Metrics, Source},
    status::Snapshot,
    vitals::Vitals,
};

struct Nothing;

impl Source for Nothing {
    fn snapshot(&self) -> Snapshot {
        Snapshot::default()
    }
}

fn start(vitals: &Vitals) -> SocketAddr {
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = admin.address().unwrap();
    let metrics = Metrics::new(&ApiMetrics::default(), Arc::new(Nothing));
    tokio::spawn(admin.serve(vitals.clone(), metrics));
    address
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn alive_and_ready_are_two_things_and_say_what_is_missing() {
    let vitals = Vitals::default();
    let address = start(&vitals);
    assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 200"));
    assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200"));
    vitals.not_ready("pods", "the API server has not answered yet");
    assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 200"));
    let answer = ask(address, "GET /readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("\r\n\r\npods: the API server has not answered yet\n"), "{answer}");
    vitals.beat("reader", Duration::ZERO);
    assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn metrics_are_told_in_the_format_that_is_asked_for() {
    let address = start(&Vitals::default());
    let plain = ask(address, "GET /metrics").await;
    assert!(plain.contains("content-type: text/plain; version=0.0.4"), "{plain}");
    assert!(plain.contains("# TYPE sockeye_connections_total counter\n"), "{plain}");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\
                   Connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut open = String::new();
    stream.read_to_string(&mut open).await.unwrap();
    assert!(open.contains("content-type: application/openmetrics-text"), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let address = start(&Vitals::default());
    assert!(ask(address, "GET /debug").await.starts_with("HTTP/1.1 404"));
    assert!(ask(address, "POST /metrics").await.starts_with("HTTP/1.1 405"));
}
