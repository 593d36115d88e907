//! A client that does what every client must, and nothing else: receive and decode, in the compact encoding.

use std::{
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use proto::{
    compact::Decoder,
    receive::{Observing, Received},
    v1::{
        Encoding, EventKind, GetServerStatusRequest, ObserveRequest, observe_response::Payload,
        observer_service_client::ObserverServiceClient,
    },
};
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::{Channel, Endpoint};

use super::{Arguments, Result};

/// An agent that does not know its pods by then never will. Its watch waits up to two seconds before it begins.
const READY_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// As `sockeye observe` has it.
const STREAM_BYTES: u32 = 1 << 20;
const MESSAGE_BYTES: usize = 16 << 20;

pub async fn run(arguments: &Arguments) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut client = Observing::new(ready(arguments).await?, MESSAGE_BYTES);
    let request = ObserveRequest {
        kinds: kinds(arguments),
        follow: true,
        encoding: Encoding::Compact.into(),
        ..ObserveRequest::default()
    };
    let mut stream = client.observe(request).await?.into_inner();
    let mut seen = Seen::default();
    let mut said = false;
    loop {
        tokio::select! {
            message = stream.message() => {
                let Some(message) = message? else { return Err("the agent ended the stream".into()) };
                seen.take(message)?;
                // The first word of a stream: what happens from now on is in it.
                if !said {
                    said = true;
                    arguments.ready()?;
                }
            }
            _ = interrupt.recv() => break,
        }
    }
    if seen.lost > 0 {
        eprintln!("lost {} events", seen.lost);
    }
    eprintln!("received {} events, {} of them of pods", seen.events, seen.of_pods);
    Ok(())
}

#[derive(Default)]
struct Seen {
    decoder: Decoder,
    events: u64,
    of_pods: u64,
    lost: u64,
}

impl Seen {
    fn take(&mut self, message: Received) -> Result<()> {
        let message = match message {
            Received::Compact(_, batch) => {
                let (events, of_pods) = (&mut self.events, &mut self.of_pods);
                self.decoder.visit(&batch, |event| {
                    *events += 1;
                    *of_pods += u64::from(black_box(event).local.is_some_and(|who| !who.pod.is_empty()));
                })?;
                return Ok(());
            }
            Received::Other(message) => message,
        };
        match message.payload {
            Some(Payload::Lost(lost)) if !lost.repaired => self.lost += lost.count.unwrap_or(1),
            Some(Payload::Events(_)) => return Err("the agent does not know the compact encoding".into()),
            _ => {}
        }
        Ok(())
    }
}

fn kinds(arguments: &Arguments) -> Vec<i32> {
    use EventKind::{Accept, Close, Connect, ConnectFailed, StateChange};
    let states = arguments.kinds.has(agent::event::EventKind::StateChange).then_some(StateChange);
    [Connect, ConnectFailed, Accept, Close].into_iter().chain(states).map(i32::from).collect()
}

/// Waits until the agent is there and knows its pods.
async fn ready(arguments: &Arguments) -> Result<Channel> {
    let began = Instant::now();
    loop {
        let why = match look(arguments).await {
            Ok(Ok(channel)) => return Ok(channel),
            Ok(Err(pods)) => format!("the agent knows {pods} pods of {}", arguments.pods),
            Err(error) => error.to_string(),
        };
        if began.elapsed() > READY_WITHIN {
            return Err(why.into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The way to an agent that knows its pods, or how many it knows.
async fn look(arguments: &Arguments) -> Result<std::result::Result<Channel, u64>> {
    let channel = connect(&arguments.socket).await?;
    let mut client = ObserverServiceClient::new(channel.clone());
    let status = client.get_server_status(GetServerStatusRequest {}).await?.into_inner();
    let pods = status.watch.filter(|watch| watch.synced).map_or(0, |watch| watch.pods);
    Ok(if pods == arguments.pods { Ok(channel) } else { Err(pods) })
}

async fn connect(socket: &Path) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(STREAM_BYTES);
    Ok(endpoint.connect().await?)
}
