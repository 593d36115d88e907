//! The loop: rings -> decode -> sink.
//!
//! Awake, it looks every 5 ms and takes all there is; after three empty looks it arms the rings and sleeps
//! until a program wakes it. So a busy machine pays a few hundred looks a second and no wake-up at all, an
//! idle one nothing, and the first event after silence is out at once.

use std::{future::Future, ops::ControlFlow, pin::pin, time::Duration};

use super::{Engine, EngineError, Routing, Sink, losses::Losses};
use crate::{
    decode::{self, Context, Verdict},
    event::Event,
    host::clock::{Clock, boot_ns},
};

const LOOK_EVERY: Duration = Duration::from_millis(5);
const EMPTY_LOOKS_BEFORE_SLEEP: u32 = 3;
/// A bounded sleep: wake-ups are not lost, but if one ever were, this is how late its events would be, and a
/// loss that left no record is told as late. tokio's timer wheel wakes twice or three times for one sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(4);
const REPORT_LOSSES_EVERY: Duration = Duration::from_secs(1);

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The sink wanted no more.
    BySink,
    /// The shutdown future came true.
    ByShutdown,
}

impl Engine {
    /// Gives events to `sink` until it breaks or `shutdown` comes true. Whatever is in the rings then is
    /// still given.
    pub async fn run(
        &mut self,
        sink: &mut impl Sink,
        context: &mut Context,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Ended, EngineError> {
        let mut shutdown = pin!(shutdown);
        let bulk = self.rings[0].watch().map_err(EngineError::Wait)?;
        let rare = self.rings[1].watch().map_err(EngineError::Wait)?;
        let mut clock = Clock::measure();
        context.wall_offset_ns = clock.offset_ns();
        let mut reported_ns = boot_ns();
        let first = || Losses::new(clock.wall_ns(reported_ns));
        let mut losses = self.losses.take().unwrap_or_else(first);
        let mut lost = Vec::new();
        // A run that goes on after a command does not look again and again.
        let mut empty = self.empty_looks;
        loop {
            let (records, flow) = self.drain(sink, context, &mut losses);
            let now = boot_ns();
            let due = sink.deadline().is_some_and(|deadline| deadline <= now);
            let flow = if flow.is_continue() && (records > 0 || due) { sink.idle(now) } else { flow };
            let report_due = now - reported_ns >= REPORT_LOSSES_EVERY.as_nanos() as u64;
            if flow.is_break() || report_due {
                clock.refresh(REPORT_LOSSES_EVERY);
                context.wall_offset_ns = clock.offset_ns();
                losses.since_last(self, clock.wall_ns(now), flow.is_break(), &mut lost);
                reported_ns = now;
                let heard = if lost.is_empty() { ControlFlow::Continue(()) } else { sink.lost(&lost) };
                if flow.is_break() || heard.is_break() {
                    self.losses = Some(losses);
                    return Ok(Ended::BySink);
                }
            }
            empty = if records > 0 { 0 } else { empty + 1 };
            let to_deadline =
                sink.deadline().map(|deadline| Duration::from_nanos(deadline.saturating_sub(now)));
            let ended = if empty < EMPTY_LOOKS_BEFORE_SLEEP {
                let pause = to_deadline.map_or(LOOK_EVERY, |until| until.min(LOOK_EVERY));
                tokio::select! {
                    biased;
                    () = &mut shutdown => true,
                    () = tokio::time::sleep(pause) => false,
                }
            } else if self.arm() {
                let sleep = to_deadline.map_or(LONGEST_SLEEP, |until| until.min(LONGEST_SLEEP));
                let ended = tokio::select! {
                    biased;
                    () = &mut shutdown => true,
                    guard = bulk.readable() => { guard.map_err(EngineError::Wait)?.clear_ready(); false }
                    guard = rare.readable() => { guard.map_err(EngineError::Wait)?.clear_ready(); false }
                    () = tokio::time::sleep(sleep) => false,
                };
                self.rings.iter().for_each(crate::bpf::Ring::disarm);
                ended
            } else {
                // A program is about to commit: look again at once, but let others run.
                empty = 0;
                tokio::task::yield_now().await;
                false
            };
            if ended {
                let (_, flow) = self.drain(sink, context, &mut losses);
                if flow.is_continue() {
                    let _ = sink.idle(u64::MAX);
                }
                losses.since_last(self, clock.wall_ns(boot_ns()), true, &mut lost);
                if !lost.is_empty() {
                    let _ = sink.lost(&lost);
                }
                self.losses = Some(losses);
                self.empty_looks = empty;
                return Ok(Ended::ByShutdown);
            }
        }
    }

    fn arm(&self) -> bool {
        let armed = self.rings.iter().all(crate::bpf::Ring::arm);
        if !armed {
            // The other one may be armed already.
            self.rings.iter().for_each(crate::bpf::Ring::disarm);
        }
        armed
    }

    fn drain(
        &mut self,
        sink: &mut impl Sink,
        context: &Context,
        losses: &mut Losses,
    ) -> (usize, ControlFlow<()>) {
        let mut records = 0;
        let compiled = &self.compiled;
        let in_force = self.object.generation();
        let mut event = Event::BLANK;
        let context = &Context { reset_reasons: self.reset_reasons, ..*context };
        // The rare one first: a new cgroup has to be known before the events of its processes.
        for ring in self.rings.iter_mut().rev() {
            let drained = ring.drain(|bytes| {
                let decoded = if decode::is_cgroup(bytes) {
                    decode::cgroup(bytes).map(|made| {
                        sink.cgroup(&made);
                        ControlFlow::Continue(())
                    })
                } else {
                    decode::decode_into(bytes, context, &mut event).map(|Verdict { verdict, generation }| {
                        let is_current = Some(generation) == in_force;
                        sink.record(&mut event, &Routing { compiled, verdict, is_current })
                    })
                };
                decoded.unwrap_or_else(|error| {
                    tracing::debug!(%error, "record not understood");
                    losses.undecoded += 1;
                    ControlFlow::Continue(())
                })
            });
            records += drained.records;
            if drained.stopped {
                return (records, ControlFlow::Break(()));
            }
        }
        (records, ControlFlow::Continue(()))
    }
}
