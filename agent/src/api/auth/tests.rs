//! Who is let in, and what it may see, by a fake API server.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::{Code, codegen::http::HeaderMap};

use super::{Allowed, Auth, Caller, cache::Cache};
use crate::api::{
    config::Authorize,
    connection::{Connection, Peer},
    metrics::ApiMetrics,
    testing::Ca,
    tls::Certificate,
};

/// An API server that reviews: the token `good` is ann's, who may get pods in `shop` and `bank`; bob may everywhere.
#[derive(Default)]
struct Reviewer {
    tokens: AtomicUsize,
    rights: AtomicUsize,
    forbids: bool,
}

impl Reviewer {
    fn token(&self, review: &Value) -> Value {
        self.tokens.fetch_add(1, Ordering::SeqCst);
        let spec = &review["spec"];
        assert_eq!(spec["audiences"], json!(["sockeye"]));
        match spec["token"].as_str() {
            Some("good") => json!({
                "authenticated": true,
                "audiences": ["sockeye"],
                "user": {"username": "ann", "groups": ["shoppers"], "uid": "7"},
            }),
            Some("for-another") => json!({"authenticated": true, "user": {"username": "ann"}}),
            _ => json!({"authenticated": false, "error": "who is that"}),
        }
    }

    fn right(&self, review: &Value) -> Value {
        self.rights.fetch_add(1, Ordering::SeqCst);
        let spec = &review["spec"];
        let asked = &spec["resourceAttributes"];
        assert_eq!((&asked["verb"], &asked["resource"]), (&json!("get"), &json!("pods")));
        let namespace = asked["namespace"].as_str();
        let may = match spec["user"].as_str() {
            Some("ann") => namespace.is_some_and(|namespace| ["shop", "bank"].contains(&namespace)),
            Some("bob") => spec["groups"] == json!(["watchers"]),
            _ => false,
        };
        json!({"allowed": may})
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut review: Value = serde_json::from_slice(&body).unwrap();
        // Long enough for others to ask the same meanwhile.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (status, body) = if self.forbids {
            let words = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                "reason": "Forbidden", "message": "no"});
            (StatusCode::FORBIDDEN, words)
        } else {
            let verdict = match path.as_str() {
                "/apis/authentication.k8s.io/v1/tokenreviews" => self.token(&review),
                "/apis/authorization.k8s.io/v1/subjectaccessreviews" => self.right(&review),
                other => panic!("nobody asks for {other}"),
            };
            review["status"] = verdict;
            (StatusCode::CREATED, review)
        };
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        response
    }
}

async fn serve(reviewer: &Arc<Reviewer>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let reviewer = Arc::clone(reviewer);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let reviewer = Arc::clone(&reviewer);
            tokio::spawn(async move {
                let answer = service_fn(|request| {
                    let reviewer = Arc::clone(&reviewer);
                    async move { Ok::<_, Infallible>(reviewer.answer(request).await) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

fn auth_at(address: SocketAddr, authorize: Authorize) -> Auth {
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    let client = kube::Client::try_from(config).unwrap();
    Auth::new(authorize, Some(vec!["sockeye".to_owned()]), Some(client), &ApiMetrics::default())
}

async fn auth(reviewer: &Arc<Reviewer>) -> Auth {
    auth_at(serve(reviewer).await, Authorize::Tokens)
}

fn network(certificate: Option<Certificate>) -> Arc<Connection> {
    let address = "192.0.2.7:1000".parse().unwrap();
    Connection::new(Peer::Network { address, certificate: certificate.map(Arc::new) })
}

fn with_token(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers
}

fn certificate(name: &str) -> Certificate {
    use rustls_pki_types::pem::PemObject as _;
    let pem = Ca::new("clients").issue(name).cert;
    Certificate::of(&rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

fn namespaces(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_token_is_somebody_only_if_it_is_for_us() {
    let auth = auth(&Arc::default()).await;
    let caller = auth.authenticate(&network(None), &with_token("good")).await.unwrap();
    assert_eq!(caller.to_string(), "ann");
    for token in ["bad", "for-another"] {
        let status = auth.authenticate(&network(None), &with_token(token)).await.expect_err("it is nobody");
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().starts_with("the token is not valid for the audience sockeye"), "{status}");
        assert!(!status.message().contains(token));
    }
    let status = auth.authenticate(&network(None), &HeaderMap::new()).await.expect_err("it brings nothing");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("kubectl create token SERVICEACCOUNT --audience sockeye"), "{status}");
    let mut basic = HeaderMap::new();
    basic.insert("authorization", "Basic YTpi".parse().unwrap());
    let status = auth.authenticate(&network(None), &basic).await.expect_err("it is no token");
    assert_eq!(status.message(), "the header authorization is not \"Bearer TOKEN\"");
}

#[tokio::test]
async fn a_hundred_who_ask_the_same_at_once_are_one_question_and_so_are_those_who_come_soon_after() {
    let reviewer = Arc::default();
    let auth = auth(&reviewer).await;
    let (connection, headers) = (network(None), with_token("good"));
    let callers = futures::future::join_all((0..100).map(|_| auth.authenticate(&connection, &headers))).await;
    assert!(callers.iter().all(Result::is_ok));
    let caller = auth.authenticate(&connection, &headers).await.unwrap();
    assert_eq!(reviewer.tokens.load(Ordering::SeqCst), 1);
    let asked = namespaces(&["shop"]);
    futures::future::join_all((0..100).map(|_| auth.authorize(&caller, Some(&asked)))).await;
    assert_eq!(reviewer.rights.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_sees_the_namespaces_in_which_it_may_get_pods() {
    let auth = auth(&Arc::default()).await;
    let ann = auth.authenticate(&network(None), &with_token("good")).await.unwrap();
    let asked = namespaces(&["shop", "bank"]);
    let allowed = auth.authorize(&ann, Some(&asked)).await.unwrap();
    assert_eq!(allowed, Allowed::Namespaces(asked));
    assert!(allowed.covers(Some("shop")) && !allowed.covers(Some("other")) && !allowed.covers(None));
    let denied = |asked: Option<BTreeSet<String>>| {
        let (auth, ann) = (auth.clone(), ann.clone());
        async move {
            let status = auth.authorize(&ann, asked.as_ref()).await.expect_err("she may not");
            assert_eq!(status.code(), Code::PermissionDenied);
            status.message().to_owned()
        }
    };
    let line = denied(Some(namespaces(&["shop", "vault"]))).await;
    assert_eq!(line, "\"ann\" may not get pods in namespace vault");
    let line = denied(Some(namespaces(&["shop", "vault", "keys"]))).await;
    assert_eq!(line, "\"ann\" may not get pods in namespaces keys, vault");
    let line = denied(None).await;
    assert_eq!(line, "\"ann\" may not get pods in all namespaces; ask for the namespaces in which it may");
    let many: BTreeSet<String> = (0..65).map(|number| format!("n{number}")).collect();
    let status = auth.authorize(&ann, Some(&many)).await.expect_err("too many questions");
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_certificate_is_asked_about_only_where_all_are() {
    let reviewer = Arc::default();
    let address = serve(&reviewer).await;
    let trusting = auth_at(address, Authorize::Tokens);
    let stranger =
        trusting.authenticate(&network(Some(certificate("eve"))), &HeaderMap::new()).await.unwrap();
    assert_eq!(trusting.authorize(&stranger, None).await.unwrap(), Allowed::Everything);
    assert_eq!(reviewer.rights.load(Ordering::SeqCst), 0);
    let strict = auth_at(address, Authorize::All);
    let status = strict.authorize(&stranger, None).await.expect_err("she may not");
    assert_eq!(status.code(), Code::PermissionDenied);
    // Its CN is the user, its O the group.
    let bob = strict.authenticate(&network(Some(certificate("bob"))), &HeaderMap::new()).await.unwrap();
    assert_eq!(strict.authorize(&bob, None).await.unwrap(), Allowed::Everything);
}

#[tokio::test]
async fn without_the_api_server_tokens_come_back_later_and_local_callers_notice_nothing() {
    // A port that nobody listens at any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let auth = auth_at(address, Authorize::All);
    let status = auth.authenticate(&network(None), &with_token("good")).await.expect_err("nobody can say");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().ends_with("come back"), "{status}");
    for peer in [Peer::Unix { uid: 0 }, Peer::Loopback("127.0.0.1:9".parse().unwrap())] {
        let caller = auth.authenticate(&Connection::new(peer), &HeaderMap::new()).await.unwrap();
        assert!(matches!(caller, Caller::Local(_)));
        assert_eq!(auth.authorize(&caller, None).await.unwrap(), Allowed::Everything);
    }
    // As soon as it is back, so are they: an error is not remembered.
    let listener = TcpListener::bind(address).await.unwrap();
    drop(listener);
}

#[tokio::test]
async fn a_right_that_the_agent_itself_lacks_is_named() {
    let auth = auth(&Arc::new(Reviewer { forbids: true, ..Reviewer::default() })).await;
    let status = auth.authenticate(&network(None), &with_token("good")).await.expect_err("forbidden");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the agent itself may not create tokenreviews.authentication.k8s.io");
}

#[tokio::test]
async fn the_cache_is_bounded_and_keeps_no_errors() {
    let cache: Cache<usize, usize, ()> = Cache::new(10);
    let believed = |_: &usize| Duration::from_secs(60);
    for key in 0..100 {
        assert_eq!(cache.get(&key, believed, || async move { Ok(key) }.boxed()).await, Ok(key));
        assert!(cache.len() <= 10, "{}", cache.len());
    }
    // The newest are kept, the oldest are asked for again.
    assert_eq!(cache.get(&99, believed, || panic!("it is known")).await, Ok(99));
    assert_eq!(cache.get(&0, believed, || async { Ok(7) }.boxed()).await, Ok(7));
    assert_eq!(cache.get(&200, believed, || async { Err(()) }.boxed()).await, Err(()));
    assert_eq!(cache.get(&200, believed, || async { Ok(1) }.boxed()).await, Ok(1));
    let brief = |_: &usize| Duration::ZERO;
    assert_eq!(cache.get(&99, brief, || async { Ok(5) }.boxed()).await, Ok(5));
}
