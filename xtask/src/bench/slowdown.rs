//! How much slower connections get while a tool watches, and what CPU the tool itself uses.
//!
//! Rounds in shuffled blocks: in each block every tool has one round, and so has no tool, twice. A round is
//! compared with the untraced round of its own block only, for the machine's speed drifts.

use std::{path::Path, thread::sleep, time::Duration};

use anyhow::Result;
use aya::Btf;

use super::{
    child::{self, Load},
    figures::{Estimate, at, median, percentile},
    floor::Floor,
    observe,
    plan::Plan,
    progress::Progress,
    running::{Output, Running},
    tool::Tool,
};

pub const AGAIN: &str = "no tracer, again";
pub const FLOOR: &str = "no-op program";

/// Connections before the first round: caches, and the kernel's list of TIME_WAIT sockets, fill up.
const WARM_UP: u32 = 20_000;

/// A tool reads what is left and goes to sleep, before its CPU time is read.
const DRAIN: Duration = Duration::from_millis(80);

/// Where the load runs, and what comes before a tool's round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting<'a> {
    /// The load's cgroup.
    pub cgroup: Option<&'a Path>,
    /// Connections after which a tool has touched all the memory that it has for them: they do not count.
    pub warm_up: u32,
}

/// All rounds of one tool, by block.
pub struct Rounds {
    pub name: &'static str,
    loads: Vec<Load>,
    /// CPU time of the tool itself for one connection.
    tool_cpu_us: Vec<f64>,
    /// Events that arrived for one connection, where that is counted.
    events: Vec<f64>,
    /// What it said about lost events, and in how many rounds.
    pub lost: Vec<String>,
}

/// All rounds.
pub struct Slowdown {
    base: Vec<Load>,
    pub rounds: Vec<Rounds>,
}

/// One round.
struct Round {
    load: Load,
    tool_cpu_us: Option<f64>,
    events: Option<f64>,
    lost: Option<String>,
}

enum Subject<'tools> {
    Nothing,
    Floor,
    Tool(&'tools Tool),
}

/// Runs all blocks.
pub fn measure(
    tools: &[Tool],
    plan: &Plan,
    types: &Btf,
    random: &mut fastrand::Rng,
    setting: Setting<'_>,
) -> Result<Slowdown> {
    // The first is what the others are compared with.
    let mut subjects =
        vec![("no tracer", Subject::Nothing), (AGAIN, Subject::Nothing), (FLOOR, Subject::Floor)];
    subjects.extend(tools.iter().map(|tool| (tool.name, Subject::Tool(tool))));
    let mut rounds: Vec<Rounds> = subjects
        .iter()
        .map(|(name, _)| Rounds {
            name,
            loads: Vec::new(),
            tool_cpu_us: Vec::new(),
            events: Vec::new(),
            lost: Vec::new(),
        })
        .collect();
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    let mut progress = Progress::new("slowdown", plan.blocks * order.len() as u32);
    child::load(WARM_UP, setting.cgroup)?;
    for _ in 0..plan.blocks {
        random.shuffle(&mut order);
        for &index in &order {
            let (name, subject) = &subjects[index];
            let round = progress.step(name, || round(subject, plan.connections, types, setting))?;
            let rounds = &mut rounds[index];
            rounds.loads.push(round.load);
            rounds.tool_cpu_us.extend(round.tool_cpu_us);
            rounds.events.extend(round.events);
            rounds.lost.extend(round.lost);
        }
    }
    let base = rounds.remove(0).loads;
    Ok(Slowdown { base, rounds })
}

fn round(subject: &Subject<'_>, connections: u32, types: &Btf, setting: Setting<'_>) -> Result<Round> {
    let Setting { cgroup, warm_up } = setting;
    let untouched = |load| Round { load, tool_cpu_us: None, events: None, lost: None };
    match subject {
        Subject::Nothing => Ok(untouched(child::load(connections, cgroup)?)),
        Subject::Floor => {
            let _floor = Floor::attach(types)?;
            Ok(untouched(child::load(connections, cgroup)?))
        }
        Subject::Tool(tool) => {
            let running = Running::start(tool, Output::Nowhere)?;
            if warm_up > 0 {
                child::load(warm_up, cgroup)?;
                sleep(DRAIN);
            }
            let before = observe::cpu_ns(running.id())?;
            let load = child::load(connections, cgroup)?;
            sleep(DRAIN);
            let used = observe::cpu_ns(running.id())?.saturating_sub(before);
            let tool_cpu_us = used as f64 / 1e3 / f64::from(connections);
            let last = running.stop()?;
            let events = last.received.map(|received| received as f64 / f64::from(connections + warm_up));
            Ok(Round { load, tool_cpu_us: Some(tool_cpu_us), events, lost: last.lost })
        }
    }
}

impl Slowdown {
    /// The rounds of a tool.
    pub fn of(&self, name: &str) -> Option<&Rounds> {
        self.rounds.iter().find(|rounds| rounds.name == name)
    }

    /// Time for a connection while nothing watches.
    pub fn base_us(&self) -> Option<Estimate> {
        Estimate::median(&walls(&self.base))
    }

    /// Time for a connection, as a multiple of the untraced one of the same block: the median.
    pub fn wall(&self, rounds: &Rounds) -> Option<Estimate> {
        Estimate::median(&ratios(&walls(&rounds.loads), &walls(&self.base)))
    }

    /// The tenth percentiles' ratio: the rounds that nothing else disturbed.
    pub fn wall_p10(&self, rounds: &Rounds) -> Option<Estimate> {
        let (own, base) = (walls(&rounds.loads), walls(&self.base));
        let p10 = |samples: &[f64], drawn: &[usize]| percentile(&at(samples, drawn), 10.0);
        Estimate::bootstrap(own.len(), |drawn| p10(&own, drawn) / p10(&base, drawn))
    }

    /// CPU time of the load for a connection, as a multiple of the untraced one of the same block: what other
    /// processes do meanwhile does not count.
    pub fn cpu(&self, rounds: &Rounds) -> Option<Estimate> {
        let cpu = |loads: &[Load]| loads.iter().map(|load| load.cpu_us).collect::<Vec<_>>();
        Estimate::median(&ratios(&cpu(&rounds.loads), &cpu(&self.base)))
    }

    /// How many times the CPU of `ours` the tool `peer` uses for a connection, in the same block.
    pub fn cpu_ratio(&self, peer: &str, ours: &str) -> Option<Estimate> {
        Estimate::median(&ratios(&self.of(peer)?.tool_cpu_us, &self.of(ours)?.tool_cpu_us))
    }

    /// How much more CPU `name` uses for a connection than `base`, in the same block.
    pub fn cpu_above(&self, name: &str, base: &str) -> Option<Estimate> {
        let (name, base) = (&self.of(name)?.tool_cpu_us, &self.of(base)?.tool_cpu_us);
        Estimate::median(&name.iter().zip(base).map(|(name, base)| name - base).collect::<Vec<_>>())
    }
}

impl Rounds {
    /// CPU time that the tool uses for one connection.
    pub fn tool_cpu(&self) -> Option<Estimate> {
        Estimate::median(&self.tool_cpu_us)
    }

    /// Events that arrived for one connection: the fewest and the most of all rounds.
    pub fn events(&self) -> Option<(f64, f64)> {
        let fold = |pick: fn(f64, f64) -> f64| self.events.iter().copied().reduce(pick);
        Some((fold(f64::min)?, fold(f64::max)?))
    }

    /// How long a connection took, at the median.
    pub fn wall_us(&self) -> f64 {
        median(&walls(&self.loads))
    }
}

fn walls(loads: &[Load]) -> Vec<f64> {
    loads.iter().map(|load| load.wall_us).collect()
}

/// Pair by pair; of pairs only.
fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}

#[cfg(test)]
mod tests {
    use super::{Load, Rounds, Slowdown};

    fn loads(walls: &[f64]) -> Vec<Load> {
        walls.iter().map(|&wall_us| Load { wall_us, cpu_us: wall_us / 2.0 }).collect()
    }

    fn rounds(name: &'static str, walls: &[f64], tool_cpu_us: &[f64]) -> Rounds {
        Rounds {
            name,
            loads: loads(walls),
            tool_cpu_us: tool_cpu_us.to_vec(),
            events: Vec::new(),
            lost: Vec::new(),
        }
    }

    #[test]
    fn a_round_is_compared_with_its_own_block() {
        // The machine became three times slower; the tool costs the same tenth all the time.
        let slowdown = Slowdown {
            base: loads(&[50.0, 100.0, 150.0]),
            rounds: vec![rounds("ours", &[55.0, 110.0, 165.0], &[0.5, 1.0, 1.0])],
        };
        let ours = slowdown.of("ours").unwrap();
        let close = |estimate: Option<super::Estimate>| (estimate.unwrap().value - 1.1).abs() < 1e-9;
        assert!(close(slowdown.wall(ours)) && close(slowdown.cpu(ours)) && close(slowdown.wall_p10(ours)));
    }

    #[test]
    fn a_tool_that_was_left_out_has_no_ratio() {
        let slowdown = Slowdown {
            base: loads(&[50.0]),
            rounds: vec![rounds("ours", &[55.0], &[0.5]), rounds("peer", &[80.0], &[8.0])],
        };
        assert_eq!(slowdown.cpu_ratio("peer", "ours").unwrap().value, 16.0);
        assert_eq!(slowdown.cpu_ratio("absent", "ours"), None);
        assert_eq!(slowdown.cpu_above("peer", "ours").unwrap().value, 7.5);
        assert_eq!(slowdown.cpu_above("peer", "absent"), None);
    }
}
