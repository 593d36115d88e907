//! Sessions with servers that do what servers do: say, stop, break, come back, refuse.

use std::{
    cell::RefCell,
    future::pending,
    io::{self, Write},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use prost_types::Timestamp;
use proto::v1::{
    CompactBatch, CompactEvent, CompactPlace, Encoding, Event, EventBatch, Heartbeat, LossStage, LostEvents,
    NodeState, NodeStatus, ObserveRequest, ObserveResponse, observe_response::Payload,
};
use tokio::sync::mpsc;
use tonic::Status;

use super::{Session, Settings, Trouble};
use crate::{
    args::ConnectionArgs,
    client::{
        ClientError,
        dial::Dialer,
        fake::{Fake, Served, Step},
        follow::{Mailbox, News, Update, follow},
        server::Server,
    },
    show::{Item, Show, fixture, nanoseconds},
};

/// Shows an event as its node and its millisecond.
struct Numbers;

impl Show for Numbers {
    fn event(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        let start = nanoseconds(Some(&fixture::TIME));
        let ms = (nanoseconds(item.event.time.as_ref()) - start) / 1_000_000;
        out.extend_from_slice(format!("{}{ms} ", item.node).as_bytes());
        1
    }
}

#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn event(ms: i64) -> Event {
    Event { time: Some(fixture::at(ms)), ..Event::default() }
}

fn batch(node: &str, ms: &[i64]) -> Step {
    let token = ms.last().map(|last| format!("{node}{last}").into_bytes()).unwrap_or_default();
    let events = EventBatch { events: ms.iter().map(|ms| event(*ms)).collect(), resume_token: token };
    say(node, Payload::Events(events))
}

fn say(node: &str, payload: Payload) -> Step {
    Step::Say(Box::new(ObserveResponse { node_name: node.to_owned(), time: None, payload: Some(payload) }))
}

fn heartbeat(node: &str, watermark: Timestamp) -> Step {
    say(node, Payload::Heartbeat(Heartbeat { watermark: Some(watermark), resume_token: Vec::new() }))
}

fn connection(words: &[&str]) -> ConnectionArgs {
    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        connection: ConnectionArgs,
    }
    Words::try_parse_from(["sockeye"].iter().chain(words)).unwrap().connection
}

fn server(name: &str, served: &Served) -> Server {
    Server::new(name, Dialer::Unix(served.path.as_path().into()), &connection(&[]))
}

fn live() -> ObserveRequest {
    ObserveRequest { follow: true, ..ObserveRequest::default() }
}

struct Ended {
    shown: String,
    said: Vec<String>,
    result: Result<(), Trouble>,
}

/// A session with these servers, until it ends or so many rows were shown.
async fn session(servers: Vec<Server>, request: ObserveRequest, settings: Settings) -> Ended {
    let (sender, updates) = mpsc::channel(64);
    let connects = Arc::new(tokio::sync::Semaphore::new(16));
    for (number, server) in servers.iter().enumerate() {
        let news = News::Added { name: Arc::clone(&server.name), label: format!("node {}", server.name) };
        sender.send(Update { server: number, news }).await.unwrap();
    }
    for (number, server) in servers.into_iter().enumerate() {
        let mailbox = Mailbox { server: number, updates: sender.clone() };
        tokio::spawn(follow(server, request.clone(), Arc::clone(&connects), mailbox));
    }
    drop(sender);
    let (written, said) = (Written::default(), Rc::new(RefCell::new(Vec::new())));
    let say = {
        let said = Rc::clone(&said);
        move |text: &str| said.borrow_mut().push(text.to_owned())
    };
    let session = Session::new(Box::new(Numbers), written.clone(), say, settings);
    let run = session.run(updates, pending());
    let result = tokio::time::timeout(Duration::from_secs(20), run).await.expect("the session ends");
    let shown = String::from_utf8(written.0.borrow().clone()).unwrap();
    Ended { shown: shown.trim_end().to_owned(), said: said.borrow().clone(), result }
}

fn rows(most: u64) -> Settings {
    Settings { quiet: false, max_rows: Some(most), window: Duration::from_millis(300), newest: None }
}

fn all() -> Settings {
    Settings { quiet: false, max_rows: None, window: Duration::from_secs(5), newest: None }
}

#[tokio::test]
async fn three_servers_are_one_stream_in_order_of_time() {
    let fakes = [("a", vec![1, 4, 7]), ("b", vec![2, 5, 8]), ("c", vec![3, 6, 9])].map(|(name, ms)| {
        // Each at its own pace; the heartbeats say that nothing older follows.
        let steps = ms.iter().flat_map(|ms| [batch(name, &[*ms]), Step::Wait(Duration::from_millis(10))]);
        let end = [heartbeat(name, fixture::at(1000)), Step::Hang];
        (name, Fake::new([steps.chain(end).collect()]))
    });
    let served: Vec<Served> = fakes.iter().map(|(name, fake)| fake.serve(&format!("three-{name}"))).collect();
    let servers = fakes.iter().zip(&served).map(|((name, _), served)| server(name, served)).collect();
    let begun = Instant::now();
    let settings = Settings { window: Duration::from_secs(10), ..rows(9) };
    let ended = session(servers, live(), settings).await;
    assert_eq!(ended.shown, "a1 b2 c3 a4 b5 c6 a7 b8 c9");
    assert!(ended.said.is_empty(), "{:?}", ended.said);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "the watermarks let events go before the window is over"
    );
}

#[tokio::test]
async fn a_silent_server_holds_the_others_back_no_longer_than_the_window() {
    let talker = Fake::new([vec![batch("a", &[2, 1]), Step::Hang]]);
    let silent = Fake::new([vec![Step::Hang]]);
    let served = [talker.serve("talker"), silent.serve("silent")];
    let servers = vec![server("a", &served[0]), server("b", &served[1])];
    let begun = Instant::now();
    let ended = session(servers, live(), rows(2)).await;
    assert_eq!(ended.shown, "a1 a2");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_with_its_token() {
    let fake = Fake::new([
        vec![batch("a", &[1, 2]), Step::Fail(Status::unavailable("shutting down: come back"))],
        vec![batch("a", &[3]), Step::Hang],
    ]);
    let served = fake.serve("resume");
    let request = ObserveRequest { last: Some(20), follow: true, ..ObserveRequest::default() };
    let ended = session(vec![server("a", &served)], request, rows(3)).await;
    assert_eq!(ended.shown, "a1 a2 a3");
    let requests = fake.requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].last, requests[0].resume_token.as_slice()), (Some(20), b"".as_slice()));
    assert_eq!((requests[1].last, requests[1].resume_token.as_slice()), (None, b"a2".as_slice()));
    assert_eq!(ended.said.len(), 2, "{:?}", ended.said);
    assert!(ended.said[0].starts_with("node a: shutting down: come back; trying again in 0."));
    assert_eq!(ended.said[1], "node a: connected again");
}

/// An event that names the first place of the stream, which comes with it or came before.
fn compact(place: Option<u32>, ms: i64) -> Step {
    let Timestamp { seconds, nanos } = fixture::at(ms);
    let batch = CompactBatch {
        base_time_ns: seconds * 1_000_000_000 + i64::from(nanos),
        places: place
            .map(|netns| CompactPlace { netns: Some(netns), ..CompactPlace::default() })
            .into_iter()
            .collect(),
        events: vec![CompactEvent { place: 1, ..CompactEvent::default() }],
        resume_token: format!("a{ms}").into_bytes(),
        ..CompactBatch::default()
    };
    say("a", Payload::CompactEvents(batch))
}

#[tokio::test]
async fn compact_events_are_asked_for_and_each_stream_has_tables_of_its_own() {
    let fake = Fake::new([
        vec![compact(Some(7), 1), compact(None, 2), Step::Fail(Status::unavailable("gone"))],
        // Of another stream's place.
        vec![compact(None, 3)],
        vec![compact(Some(8), 4), Step::Hang],
    ]);
    let served = fake.serve("compact");
    let ended = session(vec![server("a", &served)], live(), rows(3)).await;
    assert_eq!(ended.shown, "a1 a2 a4");
    let reason = "node a: compact batch: number 1 of the table of places, which has 0; trying again in ";
    assert!(ended.said.iter().any(|line| line.starts_with(reason)), "{:?}", ended.said);
    let requests = fake.requests.lock().unwrap();
    assert!(requests.iter().all(|request| request.encoding() == Encoding::Compact));
    assert_eq!(requests[2].resume_token, b"a2");
}

#[tokio::test]
async fn a_server_that_is_restarted_is_found_again_and_may_have_forgotten_the_token() {
    let before = Fake::new([vec![batch("a", &[1]), Step::Hang]]);
    let served = before.serve("restart");
    let path = served.path.clone();
    let later = Fake::new([
        vec![Step::Fail(Status::invalid_argument("resume_token: not of this server"))],
        vec![batch("a", &[2]), Step::Hang],
    ]);
    let restart = {
        let later = later.clone();
        async move {
            while before.requests.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(served);
            tokio::time::sleep(Duration::from_millis(100)).await;
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            later.serve("restart")
        }
    };
    let path = std::env::temp_dir().join(format!("sockeye-fake-{}-restart/s", std::process::id()));
    let server = Server::new("a", Dialer::Unix(path.as_path().into()), &connection(&[]));
    let (ended, _served) = tokio::join!(session(vec![server], live(), rows(2)), restart);
    assert_eq!(ended.shown, "a1 a2");
    let requests = later.requests.lock().unwrap();
    assert_eq!(requests[0].resume_token, b"a1");
    assert!(requests[1].resume_token.is_empty());
    assert!(
        ended.said.iter().any(|line| line.contains("resume_token: not of this server")),
        "{:?}",
        ended.said
    );
    assert_eq!(ended.said.last().map(String::as_str), Some("node a: connected again"));
}

#[tokio::test]
async fn losses_and_nodes_states_are_told_on_stderr_with_what_would_help() {
    let lost = LostEvents {
        stage: LossStage::SubscriberQueue.into(),
        count: Some(12),
        remedy: "queue-size".to_owned(),
        ..LostEvents::default()
    };
    let repaired = LostEvents { count: Some(1), repaired: true, ..lost.clone() };
    let history = LostEvents { stage: LossStage::History.into(), ..LostEvents::default() };
    let gone = NodeStatus {
        node_name: "c".to_owned(),
        state: NodeState::Unavailable.into(),
        message: "no route".to_owned(),
        ..NodeStatus::default()
    };
    let fake = Fake::new([vec![
        say("b", Payload::Lost(lost)),
        say("b", Payload::Lost(repaired)),
        say("b", Payload::Lost(history)),
        say("b", Payload::NodeStatus(gone)),
    ]]);
    let served = fake.serve("losses");
    let request = ObserveRequest { last: Some(1), ..ObserveRequest::default() };
    let ended = session(vec![server("b", &served)], request, all()).await;
    assert_eq!(
        ended.said,
        [
            "node b: 12 events lost in this subscription's queue: it is read too slowly; raise queue-size",
            "node b: 1 event not seen as they happened, made up later and marked",
            "node b: events lost from the history: it does not reach back so far",
            "node c: unavailable: no route",
        ]
    );
    assert!(ended.result.is_ok());
}

#[tokio::test]
async fn the_newest_events_are_those_of_all_nodes() {
    let fakes =
        [("a", vec![1, 5]), ("b", vec![3, 4])].map(|(name, ms)| (name, Fake::new([vec![batch(name, &ms)]])));
    let served: Vec<Served> =
        fakes.iter().map(|(name, fake)| fake.serve(&format!("newest-{name}"))).collect();
    let servers = fakes.iter().zip(&served).map(|((name, _), served)| server(name, served)).collect();
    let request = ObserveRequest { last: Some(2), ..ObserveRequest::default() };
    let ended = session(servers, request, Settings { newest: Some(2), ..all() }).await;
    assert_eq!(ended.shown, "b4 a5");
    assert!(ended.result.is_ok());
}

#[tokio::test]
async fn what_the_server_refuses_ends_the_session_with_its_reason() {
    let fake =
        Fake::new([vec![Step::Fail(Status::invalid_argument("allow[0].label_selector: no operator"))]]);
    let served = fake.serve("refused");
    let ended = session(vec![server("a", &served)], live(), all()).await;
    let Err(Trouble::Client(ClientError::Request(reason))) = ended.result else {
        panic!("{:?}", ended.result)
    };
    assert_eq!(reason, "allow[0].label_selector: no operator");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_and_not_waited_for() {
    let nowhere =
        Server::new("a", Dialer::Unix(std::path::Path::new("/nonexistent/s").into()), &connection(&[]));
    let ended = session(vec![nowhere], live(), all()).await;
    let Err(Trouble::Client(ClientError::Unreachable(reason))) = ended.result else {
        panic!("{:?}", ended.result)
    };
    assert_eq!(reason, "/nonexistent/s: there is no such socket: no agent runs here");
}

#[tokio::test]
async fn one_node_that_is_away_does_not_keep_the_others_from_being_shown() {
    let fake = Fake::new([vec![
        batch("a", &[1]),
        Step::Wait(Duration::from_millis(100)),
        batch("a", &[2]),
        Step::Hang,
    ]]);
    let served = fake.serve("away");
    let nowhere =
        Server::new("b", Dialer::Unix(std::path::Path::new("/nonexistent/s").into()), &connection(&[]));
    let ended = session(vec![server("a", &served), nowhere], live(), rows(2)).await;
    assert_eq!(ended.shown, "a1 a2");
    assert_eq!(ended.said.len(), 1, "{:?}", ended.said);
    assert!(ended.said[0].starts_with("node b: /nonexistent/s: there is no such socket"));
}

#[tokio::test]
async fn the_token_of_the_file_goes_with_each_request() {
    let fake = Fake::new([vec![batch("a", &[1])]]);
    let served = fake.serve("token");
    let path = served.path.with_file_name("token");
    std::fs::write(&path, "secret\n").unwrap();
    let args = connection(&["--token-file", path.to_str().unwrap()]);
    let server = Server::new("a", Dialer::Unix(served.path.as_path().into()), &args);
    let request = ObserveRequest { last: Some(1), ..ObserveRequest::default() };
    session(vec![server.clone()], request.clone(), all()).await;
    assert_eq!(*fake.tokens.lock().unwrap(), [Some("Bearer secret".to_owned())]);
    std::fs::write(&path, " \n").unwrap();
    let ended = session(vec![server], request, all()).await;
    let Err(Trouble::Client(ClientError::Named(reason))) = ended.result else { panic!("{:?}", ended.result) };
    assert_eq!(reason, format!("--token-file: {}: it is empty", path.display()));
}

#[tokio::test]
async fn a_slow_reader_makes_the_server_wait_and_loses_nothing_here() {
    // Far more than the queue between network and session holds.
    let steps = (0..500).map(|number| batch("a", &[number])).collect();
    let fake = Fake::new([steps]);
    let served = fake.serve("slow");
    let (sender, mut updates) = mpsc::channel(2);
    let connects = Arc::new(tokio::sync::Semaphore::new(1));
    let request = ObserveRequest { last: Some(500), ..ObserveRequest::default() };
    tokio::spawn(follow(server("a", &served), request, connects, Mailbox { server: 0, updates: sender }));
    let mut count = 0;
    while let Some(update) = updates.recv().await {
        match update.news {
            News::Said(_) => count += 1,
            News::Ended => break,
            _ => {}
        }
        if count % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(count, 500);
}
