//! Listeners with real clients on real sockets.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    time::{Duration, Instant},
};

use proto::v1;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::Listeners;
use crate::api::{
    config::{Endpoint, Limits},
    metrics::{ApiMetrics, Refusal},
    testing::{Folder, dial, limits, local, run, tcp, unix, until, who},
};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn refused(endpoint: Endpoint) -> String {
    let error = Listeners::bind(&[endpoint], None).await.expect_err("it cannot be").to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[tokio::test]
async fn the_unix_socket_is_its_owners_alone_and_tells_who_calls() {
    let folder = Folder::new();
    let path = folder.path().join("run/sockeye/agent.sock");
    let listeners = Listeners::bind(&[Endpoint::Unix(path.clone())], None).await.unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let running = run(limits(), listeners, ApiMetrics::default(), None);
    let uid = rustix::process::geteuid().as_raw();
    let name = who(dial(unix(path.clone())).await.unwrap()).await.unwrap();
    assert_eq!(name, format!("uid {uid} by the unix socket"));
    running.serving.stop.stop();
    running.task.await.unwrap().unwrap();
    until("its file is gone", || !path.exists()).await;
}

#[tokio::test]
async fn what_a_dead_agent_left_is_replaced_and_a_live_agent_is_not_disturbed() {
    let folder = Folder::new();
    let path = folder.path().join("agent.sock");
    // Bound and closed, but never removed: as after SIGKILL.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let endpoint = Endpoint::Unix(path.clone());
    let listeners = Listeners::bind(std::slice::from_ref(&endpoint), None).await.unwrap();
    let line = refused(endpoint).await;
    assert_eq!(line, format!("listen: unix:{}: another process serves there", path.display()));
    let running = run(limits(), listeners, ApiMetrics::default(), None);
    who(dial(unix(path)).await.unwrap()).await.unwrap();
    running.serving.stop.stop();
}

#[tokio::test]
async fn a_folder_that_others_can_write_to_is_closed_if_it_is_the_sockets_own_and_else_refused() {
    let folder = Folder::new();
    let own = folder.path().join("empty-dir");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
    let _listeners = Listeners::bind(&[Endpoint::Unix(own.join("agent.sock"))], None).await.unwrap();
    assert_eq!(mode(&own), 0o700);

    let shared = folder.path().join("tmp");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("of-somebody"), "").unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    let line = refused(Endpoint::Unix(shared.join("agent.sock"))).await;
    assert!(line.ends_with("(mode 0777); give the socket a folder of its own"), "{line}");
    assert_eq!(mode(&shared), 0o777);
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let folder = Folder::new();
    let file = folder.write("agent.sock", "precious");
    let line = refused(Endpoint::Unix(file.clone())).await;
    assert_eq!(line, format!("listen: unix:{}: is there and is no socket", file.display()));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let link = folder.path().join("link.sock");
    symlink(&file, &link).unwrap();
    assert!(refused(Endpoint::Unix(link)).await.ends_with("is there and is no socket"));
}

#[tokio::test]
async fn a_taken_port_is_one_line_and_the_network_without_tls_is_refused() {
    let running = local(limits()).await;
    let taken = running.address();
    // The C libraries differ in a word.
    let line = refused(Endpoint::Tcp(taken)).await;
    assert!(line.starts_with(&format!("listen: {taken}: address ")) && line.ends_with("in use"), "{line}");
    let line = refused(Endpoint::Tcp("0.0.0.0:0".parse().unwrap())).await;
    assert!(line.starts_with("listen: 0.0.0.0:0 can be reached from the network, which needs TLS"), "{line}");
}

#[tokio::test]
async fn health_and_reflection_are_beside_the_service() {
    use tonic_reflection::pb::{v1 as new, v1alpha as old};
    let running = local(limits()).await;
    let channel = dial(tcp(running.address())).await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "sockeye.v1.ObserverService"] {
        assert_eq!(health.check(ask(service)).await.unwrap().into_inner().status, 1);
    }
    // Readiness and grpc.health.v1 say the same.
    let mut watched = health.watch(ask("")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 1);
    running.serving.vitals.not_ready("pods", "not listed yet");
    assert_eq!(watched.message().await.unwrap().unwrap().status, 2);

    let wanted = new::server_reflection_request::MessageRequest::FileContainingSymbol(
        "sockeye.v1.ObserverService".to_owned(),
    );
    let request = new::ServerReflectionRequest { message_request: Some(wanted), ..Default::default() };
    let mut reflection = new::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let answers = reflection.server_reflection_info(futures::stream::iter([request])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap();
    use new::server_reflection_response::MessageResponse;
    assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{answer:?}");

    let wanted = old::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = old::ServerReflectionRequest { message_request: Some(wanted), ..Default::default() };
    let mut reflection = old::server_reflection_client::ServerReflectionClient::new(channel);
    let answers = reflection.server_reflection_info(futures::stream::iter([request])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    assert!(format!("{answer:?}").contains("sockeye.v1.ObserverService"), "{answer:?}");
}

#[tokio::test]
async fn one_call_too_many_on_a_connection_is_told_the_limit_and_there_is_room_again_afterwards() {
    let running = local(Limits { streams_per_connection: 2, ..limits() }).await;
    let mut client = running.client().await;
    let first = client.observe(v1::ObserveRequest::default()).await.unwrap().into_inner();
    let mut second = client.observe(v1::ObserveRequest::default()).await.unwrap().into_inner();
    let status = client.observe(v1::ObserveRequest::default()).await.expect_err("one too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.message(),
        "2 calls are under way on this connection, which is the limit (max-streams-per-connection)"
    );
    // Those that were there notice nothing, and another connection has room of its own.
    second.message().await.unwrap().unwrap();
    running.client().await.observe(v1::ObserveRequest::default()).await.unwrap();
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.observe(v1::ObserveRequest::default()).await.is_err() {
        assert!(Instant::now() < deadline, "the place of a call that is over stays taken");
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_told_the_limit() {
    let running = local(Limits { message_bytes: 1024, ..limits() }).await;
    let mut client = running.client().await;
    let filter = v1::Filter { namespaces: vec!["x".repeat(2000)], ..v1::Filter::default() };
    let request = v1::ObserveRequest { allow: vec![filter], ..v1::ObserveRequest::default() };
    let status = client.observe(request).await.expect_err("too large");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.message(),
        "the request is larger than 1024 bytes, which is the limit (max-message-size)"
    );
    client.observe(v1::ObserveRequest::default()).await.unwrap();
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_and_the_connection_goes_on() {
    let running = local(Limits { header_bytes: 4096, ..limits() }).await;
    let mut client = running.client().await;
    let mut request = tonic::Request::new(v1::GetServerStatusRequest {});
    request.metadata_mut().insert("x-large", "x".repeat(8000).parse().unwrap());
    client.get_server_status(request).await.expect_err("too large");
    client.get_server_status(v1::GetServerStatusRequest {}).await.unwrap();
}

#[tokio::test]
async fn above_the_limit_a_connection_is_closed_and_counted() {
    let running = local(Limits { connections: 1, ..limits() }).await;
    let client = dial(tcp(running.address())).await.unwrap();
    who(client.clone()).await.unwrap();
    let mut more = TcpStream::connect(running.address()).await.unwrap();
    let read = timeout(Duration::from_secs(20), more.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert_eq!(running.serving.metrics.refusals(Refusal::Connections), 1);
    who(client).await.unwrap();
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_closed_and_who_was_let_in_may_be_silent() {
    let brief = Limits { first_call_time: Duration::from_millis(200), ..limits() };
    let running = local(brief).await;
    let known = dial(tcp(running.address())).await.unwrap();
    who(known.clone()).await.unwrap();
    let mut silent = TcpStream::connect(running.address()).await.unwrap();
    // A preface and settings alone are no call.
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(20), silent.read_to_end(&mut rest)).await.expect("it is closed");
    who(known).await.unwrap();
}

#[tokio::test]
async fn when_the_agent_stops_streams_are_told_to_come_back_and_serving_ends_in_time() {
    let running = local(Limits { stop_time: Duration::from_secs(4), ..limits() }).await;
    let mut client = running.client().await;
    let mut stream = client.observe(v1::ObserveRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let began = Instant::now();
    running.serving.stop.stop();
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended as if all were said"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the agent is stopping; come back"));
    drop((stream, client));
    timeout(Duration::from_secs(20), running.task).await.unwrap().unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_read_cannot_hold_up_the_end() {
    let running = local(Limits { stop_time: Duration::from_millis(400), ..limits() }).await;
    // A connection that never answers anything.
    let mut silent = TcpStream::connect(running.address()).await.unwrap();
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    who(dial(tcp(running.address())).await.unwrap()).await.unwrap();
    running.serving.stop.stop();
    timeout(Duration::from_secs(20), running.task).await.unwrap().unwrap().unwrap();
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(20), silent.read_to_end(&mut rest)).await.expect("it is cut");
}
