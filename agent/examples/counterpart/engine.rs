//! The engine as the agent has it, with the same kinds and rings: events are decoded, counted and dropped. What the
//! agent uses more than this is for naming, routing, keeping, encoding and sending.

use std::{hint::black_box, ops::ControlFlow};

use agent::{
    decode::Context,
    engine::{Config, DEFAULT_RING_BYTES, Engine, Sink},
    event::{Event, Lost},
    filter::Filter,
    host::{Roots, netns},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{Arguments, Result};

#[derive(Default)]
struct Count {
    events: u64,
    lost: u64,
}

impl Sink for Count {
    fn event(&mut self, event: &Event) -> ControlFlow<()> {
        self.events += u64::from(black_box(event).kinds.0.count_ones());
        ControlFlow::Continue(())
    }

    fn idle(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn lost(&mut self, lost: &[Lost]) -> ControlFlow<()> {
        let events = lost.iter().filter(|one| one.stage.loses_events());
        self.lost += events.map(|one| one.count).sum::<u64>();
        ControlFlow::Continue(())
    }
}

pub async fn run(arguments: &Arguments) -> Result<()> {
    let roots = Roots::default();
    let config = Config {
        kinds: arguments.kinds,
        filter: Filter::default(),
        ring_bytes: DEFAULT_RING_BYTES,
        syscall_failures: false,
        snapshot: true,
        names: true,
        roots: roots.clone(),
        pinned_cgroup: None,
        pinned_mntns: None,
        shared: true,
    };
    let mut context =
        Context { wall_offset_ns: 0, host_netns: netns::host(&roots), root_cgroup: 1, reset_reasons: &[] };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut engine = Engine::load(&config)?;
    let mut count = Count::default();
    arguments.ready()?;
    let stop = async move {
        interrupt.recv().await;
    };
    engine.run(&mut count, &mut context, stop).await?;
    if count.lost > 0 {
        eprintln!("lost {} events", count.lost);
    }
    eprintln!("received {} events", count.events);
    Ok(())
}
