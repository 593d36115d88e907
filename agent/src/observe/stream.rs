//! One stream: from a subscriber's queue to encoded answers.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use prost::Message as _;
use proto::{
    mask::Mask,
    v1::{self, Heartbeat, LossStage, LostEvents, ObserveResponse, observe_response::Payload},
};
use tokio::sync::mpsc;
use tonic::Status;

use super::raw::Encoded;
use crate::{
    event::{Lost, LostStage},
    host::clock::Clock,
    hub::{Batch, End, Item, ItemRef, Overflow, Queue, Subscriber},
    wire::{Encoder, Origin, convert},
};

/// Events of a batch; a queue that has so many is emptied without waiting for more.
const FULL: usize = 512;
/// How often a stream that has nothing to say says so.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A stream that has had nothing to say for so long gives its queue's empty memory back.
const QUIET: Duration = Duration::from_millis(100);
/// An event can be on its way for so long: it may have waited for its pod's name.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// Losses of this subscriber are told at most so often.
const TELL_LOSSES_EVERY: Duration = Duration::from_secs(1);

/// How a stream is written.
pub struct Manner {
    /// Fields that are wanted.
    pub mask: Mask,
    /// Readable or compact.
    pub encoding: v1::Encoding,
    /// What is put into every event.
    pub origin: Origin,
    /// How long events are held back for a batch.
    pub delay: Duration,
    /// Go on with what happens from now on.
    pub follow: bool,
    /// The end, nanoseconds since the Unix epoch.
    pub until_ns: Option<u64>,
}

/// Why a stream ends before its subscriber wants it to.
enum Over {
    /// Nobody takes the answers any more.
    Gone,
    /// This is said last.
    With(Status),
}

struct Stream {
    subscriber: Subscriber,
    manner: Manner,
    encoder: Encoder,
    answers: mpsc::Sender<Result<Encoded, Status>>,
    buffer: BytesMut,
    clock: Clock,
    /// The last event that was sent.
    seq: u64,
    overflow: Option<Overflow>,
    told: Option<Instant>,
}

/// Sends everything to `answers` until the stream ends. `barred` comes true when the caller may not go on.
pub async fn pump(
    subscriber: Subscriber,
    manner: Manner,
    answers: mpsc::Sender<Result<Encoded, Status>>,
    barred: impl Future<Output = Status>,
) {
    let encoder = Encoder::new(manner.encoding, &manner.mask, manner.origin.clone());
    let seq = subscriber.seq;
    let last = answers.clone();
    let mut stream = Stream {
        subscriber,
        manner,
        encoder,
        answers,
        buffer: BytesMut::new(),
        clock: Clock::measure(),
        seq,
        overflow: None,
        told: None,
    };
    let over = tokio::select! {
        status = barred => Err(Over::With(status)),
        over = stream.run() => over,
    };
    if let Err(Over::With(status)) = over {
        let _ = last.send(Err(status)).await;
    }
}

impl Stream {
    async fn run(&mut self) -> Result<(), Over> {
        self.past().await?;
        if !self.manner.follow && self.manner.until_ns.is_none() {
            return Ok(());
        }
        // For those who wait for the first word: the stream lives, and what happens from now on is in it.
        self.heartbeat().await?;
        let queue = Arc::clone(&self.subscriber.queue);
        let mut batch = Batch::default();
        loop {
            let deadline = self.until();
            let silence = HEARTBEAT.min(deadline.unwrap_or(HEARTBEAT));
            let news = tokio::select! {
                () = queue.news() => true,
                () = silent(&queue, silence) => false,
                () = self.answers.closed() => return Err(Over::Gone),
            };
            if news && queue.len() < FULL {
                tokio::time::sleep(self.manner.delay).await;
            }
            let mut sent = false;
            loop {
                queue.take(FULL, &mut batch);
                sent |= self.batch(&mut batch).await?;
                if !batch.more {
                    break;
                }
            }
            match batch.ended.take() {
                Some(End::Stopping) => {
                    let status = Status::unavailable("the agent stops; come back and resume");
                    return Err(Over::With(status));
                }
                Some(End::Broken(why)) => return Err(Over::With(Status::failed_precondition(why))),
                None => {}
            }
            if deadline.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            if !sent {
                self.heartbeat().await?;
            }
        }
    }

    /// What there is to say of the past.
    async fn past(&mut self) -> Result<(), Over> {
        if let Some(count) = self.subscriber.gone {
            self.send(Payload::Lost(LostEvents {
                stage: LossStage::History.into(),
                count,
                remedy: "raise the agent's history".to_owned(),
                ..LostEvents::default()
            }))
            .await?;
        }
        let past = std::mem::take(&mut self.subscriber.past);
        self.events(past.iter().map(Item::borrowed)).await.map(drop)
    }

    /// How long until the end that was asked for.
    fn until(&mut self) -> Option<Duration> {
        let until = self.manner.until_ns?;
        Some(Duration::from_nanos(until.saturating_sub(self.now_ns())))
    }

    fn now_ns(&mut self) -> u64 {
        self.clock.refresh(Duration::from_secs(10));
        self.clock.wall_ns(crate::host::clock::boot_ns())
    }

    /// Sends what was taken out of the queue; whether there was anything.
    async fn batch(&mut self, batch: &mut Batch) -> Result<bool, Over> {
        if let Some(more) = batch.overflow.take() {
            let all = self.overflow.get_or_insert(Overflow { count: 0, ..more });
            all.count += more.count;
            all.last_ns = more.last_ns;
        }
        let may_tell = self.told.is_none_or(|told| told.elapsed() >= TELL_LOSSES_EVERY);
        if may_tell && let Some(overflow) = self.overflow.take() {
            self.told = Some(Instant::now());
            self.send(Payload::Lost(LostEvents {
                stage: LossStage::SubscriberQueue.into(),
                count: Some(overflow.count),
                first_time: Some(timestamp(overflow.first_ns)),
                last_time: Some(timestamp(overflow.last_ns)),
                remedy: "read faster, ask for less, or raise the agent's queue".to_owned(),
                ..LostEvents::default()
            }))
            .await?;
        }
        let lost = std::mem::take(&mut batch.lost);
        for one in &lost {
            self.send(Payload::Lost(lost_events(one))).await?;
        }
        batch.lost = lost;
        let until = self.manner.until_ns.unwrap_or(u64::MAX);
        self.events(batch.items.iter().filter(|item| item.event.wall_ns <= until)).await
    }

    /// Sends these; whether there were any.
    async fn events(&mut self, items: impl Iterator<Item = ItemRef<'_>>) -> Result<bool, Over> {
        let mut any = false;
        for item in items {
            if !self.encoder.has_room() {
                self.finish().await?;
            }
            self.encoder.push(item.event, Some(item.local));
            self.seq = self.seq.max(item.seq);
            any = true;
        }
        if self.encoder.events() > 0 {
            self.finish().await?;
        }
        Ok(any)
    }

    async fn finish(&mut self) -> Result<(), Over> {
        let token = self.subscriber.token(self.seq).bytes();
        let now = self.now_ns();
        self.encoder.finish(now, &token, &mut self.buffer);
        let bytes = self.buffer.split().freeze();
        self.answers.send(Ok(Encoded(bytes))).await.map_err(|_| Over::Gone)
    }

    async fn heartbeat(&mut self) -> Result<(), Over> {
        let watermark = self.now_ns().saturating_sub(UNDER_WAY.as_nanos() as u64);
        let resume_token = self.subscriber.token(self.seq).bytes().to_vec();
        self.send(Payload::Heartbeat(Heartbeat { watermark: Some(timestamp(watermark)), resume_token })).await
    }

    async fn send(&mut self, payload: Payload) -> Result<(), Over> {
        let answer = ObserveResponse {
            node_name: self.manner.origin.node_name.to_string(),
            time: Some(timestamp(self.now_ns())),
            payload: Some(payload),
        };
        let bytes = answer.encode_to_vec().into();
        self.answers.send(Ok(Encoded(bytes))).await.map_err(|_| Over::Gone)
    }
}

/// Waits, and tidies up meanwhile.
async fn silent(queue: &Queue, mut time: Duration) {
    if queue.is_untidy() && time > QUIET {
        tokio::time::sleep(QUIET).await;
        queue.tidy();
        time -= QUIET;
    }
    tokio::time::sleep(time).await;
}

/// A loss on the way to the subscribers, as the API's message.
pub fn lost_events(lost: &Lost) -> LostEvents {
    LostEvents {
        stage: stage(lost.stage).into(),
        count: Some(lost.count),
        first_time: Some(timestamp(lost.since_wall_ns)),
        last_time: Some(timestamp(lost.until_wall_ns)),
        cpu: lost.cpu,
        remedy: lost.stage.remedy().unwrap_or_default().to_owned(),
        repaired: !lost.stage.loses_events(),
        ..LostEvents::default()
    }
}

/// A stage, as the API's.
pub fn stage(stage: LostStage) -> LossStage {
    use agent_common::loss::Loss;
    match stage {
        LostStage::Kernel(Loss::BulkRingFull | Loss::RareRingFull) => LossStage::KernelRing,
        LostStage::Kernel(Loss::GapRepaired) | LostStage::Recursion => LossStage::KernelMissed,
        LostStage::Kernel(_) => LossStage::KernelMap,
        LostStage::Decode => LossStage::Decode,
    }
}

fn timestamp(wall_ns: u64) -> prost_types::Timestamp {
    convert::timestamp(i64::try_from(wall_ns).unwrap_or(i64::MAX))
}
