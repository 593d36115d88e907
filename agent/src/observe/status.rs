//! How the agent is: the hub's status, with what the machine can and cannot have.

use std::{sync::Arc, time::Instant};

use proto::v1;

use super::stream;
use crate::{
    api::{
        metrics::Source,
        status::{About, Buffer, Health, History, Loss, Program, Snapshot, Subscriber, Tool, Watch},
    },
    bpf::Counts,
    doctor::{self, Support},
    event::LostStage,
    host::Roots,
    hub::{self, Hub},
    identity::watch::WatchState,
};

/// Tells how the agent is.
pub struct HubStatus {
    hub: Hub,
    about: About,
    machine: doctor::Machine,
    watch: Option<Arc<WatchState>>,
    history_bytes: u64,
    started: Instant,
}

impl HubStatus {
    /// Of a hub; `watch` is that of its pods, if there is one.
    pub fn new(
        hub: Hub,
        about: About,
        roots: &Roots,
        watch: Option<Arc<WatchState>>,
        history_bytes: u64,
    ) -> Self {
        let machine = doctor::inspect(roots);
        Self { hub, about, machine, watch, history_bytes, started: Instant::now() }
    }

    /// As `GetServerStatus` tells it.
    pub fn response(&self, status: &hub::Status) -> v1::GetServerStatusResponse {
        self.of(status).response(&self.about, self.started.elapsed())
    }

    fn of(&self, status: &hub::Status) -> Snapshot {
        let support = match &status.error {
            Some(error) => Support::Refused(error),
            None => Support::Loads(&status.degraded),
        };
        let report = doctor::report(&self.machine, support);
        let watch = self.watch.as_ref().map(|watch| watch.snapshot()).map(|watch| Watch {
            synced: watch.synced,
            pods: watch.pods as u64,
            since_last_event: watch.since_last_word,
            error: watch.error,
        });
        let history = (self.history_bytes > 0).then_some(History {
            size_bytes: self.history_bytes,
            used_bytes: status.history_bytes as u64,
            events: status.history as u64,
        });
        Snapshot {
            tools: report.tools.iter().map(tool).collect(),
            programs: status.programs.iter().map(|(name, counts)| program(name, *counts)).collect(),
            buffers: status.rings.iter().map(|ring| buffer(ring, &status.losses)).collect(),
            subscribers: status.subscribers.iter().map(subscriber).collect(),
            sent_events: status.sent,
            watch,
            history,
            events: status.events_by_kind.clone(),
            events_per_second: status.events_per_second,
            lost: status.losses.iter().map(|(stage, count)| loss(*stage, *count)).collect(),
        }
    }
}

impl Source for HubStatus {
    fn snapshot(&self) -> Snapshot {
        self.of(&self.hub.last_status())
    }
}

fn tool(report: &doctor::ToolReport) -> Tool {
    let health = match report.health {
        doctor::Health::Ok => Health::Ok,
        doctor::Health::Degraded => Health::Degraded,
        doctor::Health::Unavailable => Health::Unavailable,
    };
    let reasons = report.notes.iter().map(|note| format!("{}: {}", note.effect, note.reason)).collect();
    Tool { name: report.tool, health, reasons }
}

fn program(name: &str, counts: Counts) -> Program {
    let hook = crate::probes::ALL.iter().find(|probe| probe.program == name);
    Program {
        name: name.to_owned(),
        hook: hook.map(|probe| probe.hook.describe()).unwrap_or_default(),
        run_count: counts.runs,
        run_time: counts.run_time,
        recursion_misses: counts.recursion_misses,
    }
}

fn buffer(ring: &hub::RingStatus, losses: &[(LostStage, u64)]) -> Buffer {
    use agent_common::loss::Loss;
    let full = if ring.name == "RING_BULK" { Loss::BulkRingFull } else { Loss::RareRingFull };
    let lost = losses.iter().find(|(stage, _)| *stage == LostStage::Kernel(full));
    Buffer {
        name: ring.name.to_owned(),
        ring: true,
        size: ring.size,
        used: Some(ring.used),
        lost: lost.map_or(0, |(_, count)| *count),
    }
}

fn subscriber(one: &hub::SubscriptionStatus) -> Subscriber {
    Subscriber {
        id: one.id,
        client: one.client.clone(),
        age: one.age,
        sent: one.taken,
        lost: one.lost,
        queued: one.queued,
        in_kernel: one.in_kernel.clone(),
        in_user_space: one.in_user_space.clone(),
    }
}

fn loss(stage: LostStage, count: u64) -> Loss {
    Loss { stage: stage.name(), api_stage: stream::stage(stage), count, repaired: !stage.loses_events() }
}
