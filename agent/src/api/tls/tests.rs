//! Real TLS with certificates made for it: right, wrong, expired, reloaded.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::PathBuf, time::Duration};

use proto::v1::{self, observer_service_client::ObserverServiceClient};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::Tls;
use crate::api::{
    config::{Limits, TlsFiles},
    metrics::{ApiMetrics, Refusal},
    testing::{Ca, Folder, Pair, dial, files, limits, network, tls, until, who},
};

async fn called(address: SocketAddr, server: &Ca, pair: Option<&Pair>) -> Result<String, String> {
    let channel = dial(tls(address, server.client(pair))).await.map_err(|error| error.to_string())?;
    who(channel).await.map_err(|status| status.to_string())
}

#[tokio::test]
async fn only_a_valid_certificate_of_the_right_ca_gets_in() {
    let (folder, servers, clients) = (Folder::new(), Ca::new("servers"), Ca::new("clients"));
    let running = network(limits(), files(&folder, &servers.issue("agent"), &clients)).await;
    let address = running.address();
    assert_eq!(called(address, &servers, Some(&clients.issue("ann"))).await.unwrap(), "ann");
    called(address, &servers, None).await.expect_err("it has no certificate");
    let stranger = Ca::new("clients").issue("ann");
    called(address, &servers, Some(&stranger)).await.expect_err("its CA only has the same name");
    let late = clients.issue_until("ann", 2021);
    called(address, &servers, Some(&late)).await.expect_err("it has expired");
    // A client that trusts another CA does not believe the server.
    called(address, &clients, Some(&clients.issue("ann"))).await.expect_err("another server");
    // Plain HTTP/2 is no handshake.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(20), plain.read_to_end(&mut rest)).await.expect("it is closed");
    assert_eq!(called(address, &servers, Some(&clients.issue("bob"))).await.unwrap(), "bob");
}

#[tokio::test]
async fn new_files_serve_new_connections_and_streams_go_on() {
    let (folder, old, clients) = (Folder::new(), Ca::new("old"), Ca::new("clients"));
    let running = network(limits(), files(&folder, &old.issue("agent"), &clients)).await;
    let ann = clients.issue("ann");
    let channel = dial(tls(running.address(), old.client(Some(&ann)))).await.unwrap();
    let mut client = ObserverServiceClient::new(channel);
    let mut stream = client.observe(v1::ObserveRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();

    let (new, others) = (Ca::new("new"), Ca::new("others"));
    files(&folder, &new.issue("agent"), &others);
    let bob = others.issue("bob");
    let mut answer = called(running.address(), &new, Some(&bob)).await;
    for _ in 0..400 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = called(running.address(), &new, Some(&bob)).await;
    }
    assert_eq!(answer.unwrap(), "bob");
    called(running.address(), &new, Some(&ann)).await.expect_err("her CA is no longer trusted");
    for _ in 0..3 {
        stream.message().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn broken_new_files_are_counted_and_the_old_ones_stay() {
    let (folder, servers, clients) = (Folder::new(), Ca::new("servers"), Ca::new("clients"));
    let running = network(limits(), files(&folder, &servers.issue("agent"), &clients)).await;
    let ann = clients.issue("ann");
    folder.write("tls.crt", "no certificate at all");
    until("the broken file is noticed", || running.serving.metrics.tls_reload_errors() > 0).await;
    assert_eq!(called(running.address(), &servers, Some(&ann)).await.unwrap(), "ann");
}

#[tokio::test]
async fn the_swap_of_a_secrets_folder_is_noticed() {
    let (folder, servers, clients) = (Folder::new(), Ca::new("servers"), Ca::new("clients"));
    // As the kubelet does it: files are links through `..data`, which is renamed over.
    let version = |name: &str, server: &Pair| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("tls.crt"), &server.cert).unwrap();
        fs::write(path.join("tls.key"), &server.key).unwrap();
        fs::write(path.join("ca.crt"), &clients.pem).unwrap();
        let link = folder.path().join("..data_tmp");
        symlink(name, &link).unwrap();
        fs::rename(link, folder.path().join("..data")).unwrap();
    };
    version("..1", &servers.issue("agent"));
    let file = |name: &str| -> PathBuf {
        let path = folder.path().join(name);
        symlink(format!("..data/{name}"), &path).unwrap();
        path
    };
    let files = TlsFiles {
        cert: file("tls.crt"),
        key: file("tls.key"),
        client_ca: Some(file("ca.crt")),
        reload_interval: Duration::from_millis(20),
    };
    let running = network(limits(), files).await;
    let new = Ca::new("new");
    version("..2", &new.issue("agent"));
    let ann = clients.issue("ann");
    let mut answer = called(running.address(), &new, Some(&ann)).await;
    for _ in 0..400 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = called(running.address(), &new, Some(&ann)).await;
    }
    assert_eq!(answer.unwrap(), "ann");
}

#[tokio::test]
async fn slow_handshakes_take_only_their_own_places_and_not_for_long() {
    let (folder, servers, clients) = (Folder::new(), Ca::new("servers"), Ca::new("clients"));
    let few = Limits { handshakes: 2, handshake_time: Duration::from_millis(1500), ..limits() };
    let running = network(few, files(&folder, &servers.issue("agent"), &clients)).await;
    let ann = clients.issue("ann");
    let metrics = &running.serving.metrics;
    // One that dawdles leaves room for one that does not.
    let _first = TcpStream::connect(running.address()).await.unwrap();
    assert_eq!(called(running.address(), &servers, Some(&ann)).await.unwrap(), "ann");
    let _second = TcpStream::connect(running.address()).await.unwrap();
    let mut third = TcpStream::connect(running.address()).await.unwrap();
    let read = timeout(Duration::from_secs(20), third.read(&mut [0; 1])).await.expect("it is closed at once");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert_eq!(metrics.refusals(Refusal::Handshakes), 1);
    until("both took too long", || metrics.refusals(Refusal::SlowHandshake) == 2).await;
    assert_eq!(called(running.address(), &servers, Some(&ann)).await.unwrap(), "ann");
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let (folder, servers, clients) = (Folder::new(), Ca::new("servers"), Ca::new("clients"));
    let few = Limits { connections_per_address: 1, ..limits() };
    let running = network(few, files(&folder, &servers.issue("agent"), &clients)).await;
    let ann = clients.issue("ann");
    let channel = dial(tls(running.address(), servers.client(Some(&ann)))).await.unwrap();
    who(channel.clone()).await.unwrap();
    called(running.address(), &servers, Some(&ann)).await.expect_err("its address has its connection");
    assert_eq!(running.serving.metrics.refusals(Refusal::Address), 1);
    drop(channel);
}

fn wrong(files: TlsFiles) -> String {
    let error = Tls::load(files, false, ApiMetrics::default()).expect_err("it is wrong").to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let (folder, ca) = (Folder::new(), Ca::new("ca"));
    let good = files(&folder, &ca.issue("agent"), &ca);
    Tls::load(good.clone(), false, ApiMetrics::default()).unwrap();
    let name = |path: &PathBuf| path.display().to_string();

    let none = folder.path().join("none.pem");
    let line = wrong(TlsFiles { cert: none.clone(), ..good.clone() });
    assert_eq!(line, format!("{}: no such file or directory", name(&none)));
    let line = wrong(TlsFiles { cert: good.key.clone(), ..good.clone() });
    assert_eq!(line, format!("{}: has no certificate in PEM (-----BEGIN CERTIFICATE-----)", name(&good.key)));
    let line = wrong(TlsFiles { key: good.cert.clone(), ..good.clone() });
    assert_eq!(line, format!("{}: has no private key in PEM (PKCS#8, PKCS#1 or SEC1)", name(&good.cert)));
    let other = folder.write("other.key", &ca.issue("agent").key);
    let line = wrong(TlsFiles { key: other.clone(), ..good.clone() });
    assert_eq!(line, format!("{}: is not the key of the certificate in {}", name(&other), name(&good.cert)));
    let late = ca.issue_until("agent", 2021);
    let expired = folder.write("late.crt", &late.cert);
    let line =
        wrong(TlsFiles { cert: expired.clone(), key: folder.write("late.key", &late.key), ..good.clone() });
    assert_eq!(line, format!("{}: its certificate expired at 2021-01-01T00:00:00Z", name(&expired)));
    let broken = folder.write("broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let line = wrong(TlsFiles { client_ca: Some(broken.clone()), ..good });
    assert!(line.starts_with(&format!("{}: certificate 1: ", name(&broken))), "{line}");
}
