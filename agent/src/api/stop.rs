//! How serving ends: first no new calls, then streams are told to come back, then what is left is cut.

use std::sync::Arc;

use tokio::sync::watch;

/// How far stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not at all.
    Running,
    /// No new connections; services send what they have and end their streams with [`come_back`].
    Stopping,
    /// Streams that are still there are ended with [`come_back`].
    Ending,
    /// Connections that are still there are cut.
    Cut,
}

/// The phase, for everybody who has to know. It only goes forward.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<Phase>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Running)))
    }
}

impl Stop {
    /// Begins to stop.
    pub fn stop(&self) {
        self.advance(Phase::Stopping);
    }

    /// Whether it has begun.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow() >= Phase::Stopping
    }

    /// Returns once it has begun.
    pub async fn stopping(&self) {
        self.reached(Phase::Stopping).await;
    }

    pub(super) fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let further = *phase < to;
            if further {
                *phase = to;
            }
            further
        });
    }

    /// Returns once `phase` is reached. The future holds nothing of the value that is borrowed.
    pub(super) fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut watch = self.0.subscribe();
        let alive = Arc::clone(&self.0);
        async move {
            // The sender lives as long as this future: it cannot fail.
            let _ = watch.wait_for(|reached| *reached >= phase).await;
            drop(alive);
        }
    }
}

/// What a stream ends with when the agent stops.
pub fn come_back() -> tonic::Status {
    tonic::Status::unavailable("the agent is stopping; come back")
}
