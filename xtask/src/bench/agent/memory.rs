//! What the agent holds: after its start, and after ever more events. State changes are subscribed to as well, for most
//! events come of them.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    super::{
        child,
        observe::{self, Memory},
        plan::Plan,
        progress::Progress,
        running::{Last, Output, Running},
        tool::Tool,
    },
    node::Node,
};

/// Looks at the memory, at even distances.
const LOOKS: u32 = 10;

/// The agent sends what is left, and the subscriber reads it.
const DRAIN: Duration = Duration::from_millis(300);

/// What was seen.
pub struct Over {
    /// Subscribed to, and nothing happened.
    pub ready: Memory,
    /// After each tenth of the events.
    pub looks: Vec<Memory>,
    pub connections: u32,
    /// What arrived, and what was lost.
    pub last: Last,
    pub took: Duration,
}

/// Runs the agent once.
pub fn measure(node: &Node, agent: &Tool, plan: &Plan) -> Result<Over> {
    let mut progress = Progress::new("memory", LOOKS);
    let running = Running::start(agent, Output::Nowhere)?;
    let ready = observe::memory(running.id())?;
    let each = plan.agent_connections / LOOKS;
    let mut looks = Vec::new();
    let began = Instant::now();
    for look in 0..LOOKS {
        progress.step("load", || child::load(each, Some(node.cgroup(look as usize))))?;
        sleep(DRAIN);
        looks.push(observe::memory(running.id())?);
    }
    let took = began.elapsed();
    let last = running.stop().context("memory")?;
    Ok(Over { ready, looks, connections: each * LOOKS, last, took })
}

impl Over {
    /// The largest of all looks, resident.
    pub fn most_bytes(&self) -> u64 {
        self.looks.iter().map(|look| look.resident_bytes).max().unwrap_or(self.ready.resident_bytes)
    }

    /// How much the resident memory grew from the first tenth of the events to the last.
    pub fn growth_bytes(&self) -> Option<f64> {
        let (first, last) = (self.looks.first()?, self.looks.last()?);
        Some(last.resident_bytes as f64 - first.resident_bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Last, Memory, Over};

    #[test]
    fn growth_is_from_the_first_look_on_for_the_start_fills_rings_and_history() {
        let memory = |mib: u64| Memory { resident_bytes: mib << 20, anonymous_bytes: 0 };
        let over = Over {
            ready: memory(5),
            looks: vec![memory(12), memory(14), memory(13)],
            connections: 3,
            last: Last::default(),
            took: Duration::ZERO,
        };
        assert_eq!(over.growth_bytes(), Some(f64::from(1 << 20)));
        assert_eq!(over.most_bytes(), 14 << 20);
    }
}
