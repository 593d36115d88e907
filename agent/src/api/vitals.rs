//! Whether the agent lives and whether it is of use: what /healthz, /readyz and grpc.health.v1 say.
//!
//! Alive means that its own loops go round; nothing outside of the process plays a part, or an outage of the API server
//! would restart the agents of a whole cluster. Ready means that streams can be served.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// Shared by those who know and those who tell.
#[derive(Clone, Debug)]
pub struct Vitals(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    beats: Mutex<BTreeMap<&'static str, Beat>>,
    waiting: watch::Sender<BTreeMap<&'static str, String>>,
}

#[derive(Clone, Copy, Debug)]
struct Beat {
    last: Instant,
    longest: Duration,
}

impl Default for Vitals {
    fn default() -> Self {
        Self(Arc::new(Inner { beats: Mutex::default(), waiting: watch::Sender::new(BTreeMap::new()) }))
    }
}

impl Vitals {
    /// The loop `name` went round, and will again within `longest`.
    pub fn beat(&self, name: &'static str, longest: Duration) {
        let beat = Beat { last: Instant::now(), longest };
        self.0.beats.lock().unwrap_or_else(PoisonError::into_inner).insert(name, beat);
    }

    /// The loop `name` has ended as it should.
    pub fn rest(&self, name: &'static str) {
        self.0.beats.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// What does not go round, in words; `None` is alive.
    pub fn stuck(&self) -> Option<String> {
        let beats = self.0.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.iter().find_map(|(name, beat)| {
            let silent = beat.last.elapsed();
            (silent > beat.longest).then(|| format!("{name} has not gone round for {} s", silent.as_secs()))
        })
    }

    /// `name` is not ready, and why.
    pub fn not_ready(&self, name: &'static str, why: impl Into<String>) {
        let why = why.into();
        self.0.waiting.send_if_modified(|waiting| waiting.insert(name, why.clone()) != Some(why.clone()));
    }

    /// `name` is ready.
    pub fn ready(&self, name: &'static str) {
        self.0.waiting.send_if_modified(|waiting| waiting.remove(name).is_some());
    }

    /// What is not ready, in words; `None` is ready.
    pub fn unready(&self) -> Option<String> {
        let waiting = self.0.waiting.borrow();
        let words: Vec<String> = waiting.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Tells of each change of readiness, the state now first.
    pub(super) fn readiness(&self) -> watch::Receiver<BTreeMap<&'static str, String>> {
        let mut receiver = self.0.waiting.subscribe();
        receiver.mark_changed();
        receiver
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Vitals;

    #[test]
    fn a_loop_that_does_not_go_round_is_named() {
        let vitals = Vitals::default();
        assert_eq!(vitals.stuck(), None);
        vitals.beat("reader", Duration::from_secs(60));
        assert_eq!(vitals.stuck(), None);
        vitals.beat("reader", Duration::ZERO);
        assert_eq!(vitals.stuck().unwrap(), "reader has not gone round for 0 s");
        vitals.rest("reader");
        assert_eq!(vitals.stuck(), None);
    }

    #[test]
    fn ready_is_when_nothing_is_missing_any_more() {
        let vitals = Vitals::default();
        assert_eq!(vitals.unready(), None);
        vitals.not_ready("pods", "not listed yet");
        vitals.not_ready("programs", "loading");
        assert_eq!(vitals.unready().unwrap(), "pods: not listed yet; programs: loading");
        vitals.ready("programs");
        assert_eq!(vitals.unready().unwrap(), "pods: not listed yet");
        vitals.ready("pods");
        assert_eq!(vitals.unready(), None);
    }
}
