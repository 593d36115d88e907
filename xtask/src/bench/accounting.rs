//! What tools cost inside the kernel, by the kernel's own account: time and runs of every program, with the
//! statistics switched on for this process only. Each pass also has the no-op program beside the tool; what
//! a run of that costs is subtracted from every run of the tool's programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::{
    Btf,
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};

use super::{
    child,
    floor::Floor,
    observe::{self, Memory},
    plan::Plan,
    progress::Progress,
    running::{Output, Running},
    tool::Tool,
};

/// One program in one pass.
#[derive(Clone, Debug)]
pub struct Cost {
    pub name: String,
    pub runs: u64,
    pub time_ns: u64,
    /// Instructions after the verifier, and bytes of machine code.
    pub instructions: u32,
    pub code_bytes: u32,
}

/// One tool in one pass.
pub struct Pass {
    /// What a run of the no-op program cost.
    pub floor_ns: f64,
    /// The tool's programs that ran, the one that took the most time first.
    pub programs: Vec<Cost>,
    state_program: Option<&'static str>,
    connections: u32,
    /// The tool's memory after the load.
    pub memory: Memory,
    pub lost: Option<String>,
}

/// All passes, by the tool's name.
pub type Passes = BTreeMap<&'static str, Vec<Pass>>;

/// Runs all passes, the tools in another order each time.
pub fn measure(tools: &[Tool], plan: &Plan, types: &Btf, random: &mut fastrand::Rng) -> Result<Passes> {
    let mut passes = Passes::new();
    let mut order: Vec<&Tool> = tools.iter().collect();
    let mut progress = Progress::new("time in the kernel", plan.passes * order.len() as u32);
    for _ in 0..plan.passes {
        random.shuffle(&mut order);
        for tool in &order {
            let pass = progress.step(tool.name, || pass(tool, plan.pass_connections, types))?;
            passes.entry(tool.name).or_default().push(pass);
        }
    }
    Ok(passes)
}

fn pass(tool: &Tool, connections: u32, types: &Btf) -> Result<Pass> {
    let mut floor = Floor::attach(types)?;
    let floor_id = BTreeSet::from([floor.id()?]);
    let running = Running::start(tool, Output::Nowhere)?;
    let ids = observe::programs(running.id())?;
    // Before: what the programs did while the tool started, and if others had the statistics on.
    let (floor_before, before) = (costs(&floor_id), costs(&ids));
    let statistics = enable_stats(Stats::RunTime).context("cannot switch the statistics of programs on")?;
    child::load(connections, None)?;
    drop(statistics);
    let (floor_after, after) = (costs(&floor_id), costs(&ids));
    sleep(Duration::from_millis(50));
    let memory = observe::memory(running.id())?;
    let lost = running.stop()?.lost;
    let [floor] = &difference(&floor_before, &floor_after)[..] else {
        anyhow::bail!("the no-op program did not run");
    };
    let floor_ns = floor.time_ns as f64 / floor.runs as f64;
    let programs = difference(&before, &after);
    Ok(Pass { floor_ns, programs, state_program: tool.state_program(), connections, memory, lost })
}

/// What the kernel has counted for these programs.
fn costs(ids: &BTreeSet<u32>) -> BTreeMap<u32, Cost> {
    // One that vanishes between two steps of the walk is somebody else's.
    let programs = loaded_programs().flatten().filter(|program| ids.contains(&program.id()));
    programs
        .map(|program| {
            let cost = Cost {
                name: program.name_as_str().unwrap_or_default().to_owned(),
                runs: program.run_count(),
                time_ns: program.run_time().as_nanos() as u64,
                instructions: program.size_translated().unwrap_or_default() / 8,
                code_bytes: program.size_jitted(),
            };
            (program.id(), cost)
        })
        .collect()
}

/// What was added between two looks, of the programs that ran; the one that took the most time first.
fn difference(before: &BTreeMap<u32, Cost>, after: &BTreeMap<u32, Cost>) -> Vec<Cost> {
    let mut costs: Vec<Cost> = after
        .iter()
        .filter_map(|(id, after)| {
            let (runs, time_ns) = before.get(id).map_or((0, 0), |before| (before.runs, before.time_ns));
            let runs = after.runs.checked_sub(runs).filter(|&runs| runs > 0)?;
            Some(Cost { runs, time_ns: after.time_ns.saturating_sub(time_ns), ..after.clone() })
        })
        .collect();
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.time_ns));
    costs
}

impl Pass {
    /// Time of a program for one of its runs, without the floor.
    pub fn run_ns(&self, cost: &Cost) -> f64 {
        cost.time_ns as f64 / cost.runs as f64 - self.floor_ns
    }

    /// How often a program ran for one connection. More than the connection has events: others' connections.
    pub fn runs_per_connection(&self, cost: &Cost) -> f64 {
        cost.runs as f64 / f64::from(self.connections)
    }

    /// Time for one state event, without the floor.
    pub fn state_event_ns(&self) -> Option<f64> {
        let cost = match self.state_program {
            Some(name) => self.programs.iter().find(|cost| cost.name == name)?,
            None => self.programs.first()?,
        };
        Some(self.run_ns(cost))
    }

    /// Time of all programs for one connection, both ends, without the floor.
    pub fn connection_ns(&self) -> f64 {
        self.programs.iter().map(|cost| self.run_ns(cost) * self.runs_per_connection(cost)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Cost, Memory, Pass, difference};

    fn cost(name: &str, runs: u64, time_ns: u64) -> Cost {
        Cost { name: name.to_owned(), runs, time_ns, instructions: 0, code_bytes: 0 }
    }

    #[test]
    fn only_what_ran_between_the_looks_counts() {
        let before = BTreeMap::from([(1, cost("set_state", 5, 500)), (2, cost("iterator", 3, 900))]);
        let after = BTreeMap::from([
            (1, cost("set_state", 105, 20_500)),
            (2, cost("iterator", 3, 900)),
            (3, cost("destroy_sock", 10, 30_000)),
        ]);
        let costs = difference(&before, &after);
        let found: Vec<_> = costs.iter().map(|cost| (cost.name.as_str(), cost.runs, cost.time_ns)).collect();
        assert_eq!(found, [("destroy_sock", 10, 30_000), ("set_state", 100, 20_000)]);
    }

    #[test]
    fn the_floor_is_subtracted_from_every_run() {
        let pass = Pass {
            floor_ns: 50.0,
            programs: vec![cost("destroy_sock", 2, 1_100), cost("set_state", 10, 2_000)],
            state_program: Some("set_state"),
            connections: 1,
            memory: Memory { resident_bytes: 0, anonymous_bytes: 0 },
            lost: None,
        };
        assert_eq!(pass.state_event_ns(), Some(150.0));
        assert_eq!(pass.connection_ns(), 1_000.0 + 1_500.0);
    }
}
