//! `cargo xtask bench agent`: the agent as it runs in a cluster, beside the engine by itself.
//!
//! ```text
//! node      110 pods with their cgroups, an agent that knows them, a subscriber
//! server    as much of an API server as the agent's watch of pods takes
//! memory    what the agent holds after ever more events
//! page      wanted and measured
//! ```
//!
//! The load runs in a pod's cgroup, so that each event is named as in a cluster.

mod memory;
mod node;
mod page;
mod server;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use aya::Btf;
use clap::ValueEnum;

use self::{node::Node, page::Results};
use super::{
    Options,
    machine::Machine,
    pipeline,
    plan::Plan,
    slowdown::{self, Setting, Slowdown},
    tool::Tool,
};

/// The agent with the kinds that a request without kinds gets, and with changes of state besides.
pub const AGENT: &str = "agent";
pub const AGENT_STATES: &str = "agent, with states";
/// The engine by itself, with the same kinds.
pub const ENGINE: &str = "engine alone";
pub const ENGINE_STATES: &str = "engine alone, with states";

/// Connections before a round: of their events the history is full.
pub const WARM_UP: u32 = 2_500;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Only these parts
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// The examples that are measured and measured with, instead of building them
    #[arg(long, value_name = "PATH", hide = true, overrides_with = "pipeline")]
    pipeline: Option<PathBuf>,
    #[arg(long, value_name = "PATH", hide = true, overrides_with = "counterpart")]
    counterpart: Option<PathBuf>,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Events a second from the ring's bytes to the client, and the look-up of names
    Pipeline,
    /// Connections slowed, and the agent's CPU beside the engine's
    Slowdown,
    /// Memory over many events
    Memory,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { options, only, pipeline, counterpart } = arguments;
    let built = |path: &Option<PathBuf>, name| path.clone().map_or_else(|| pipeline::example(name), Ok);
    // All of them as the user; the rest takes root.
    let sockeye = options.sockeye()?;
    let (pipeline, counterpart) = (built(pipeline, "pipeline")?, built(counterpart, "counterpart")?);
    let built = [("--sockeye", &sockeye), ("--pipeline", &pipeline), ("--counterpart", &counterpart)];
    if let Some(code) = super::become_root(&built)? {
        return Ok(code);
    }
    let run = options.begin()?;
    let wanted = |part| only.is_empty() || only.contains(&part);
    let mut machine = Machine::look(&sockeye, false);
    let mut results = Results::default();
    if wanted(Part::Pipeline) {
        eprintln!("measuring: pipeline …");
        results.pipeline = Some(pipeline::measure(&pipeline)?);
    }
    if wanted(Part::Slowdown) || wanted(Part::Memory) {
        let node = Node::new()?;
        if wanted(Part::Slowdown) {
            results.slowdown = Some(slow(&node, &sockeye, &counterpart, &run.plan, run.seed)?);
        }
        if wanted(Part::Memory) {
            let agent = node.agent(AGENT_STATES, "states", &sockeye, &counterpart);
            results.memory = Some(memory::measure(&node, &agent, &run.plan)?);
        }
    }
    machine.end();
    let page = results.page(&run.date, &run.plan, &machine);
    options.publish(&page, &format!("{}-agent", run.date), only.is_empty())?;
    Ok(ExitCode::SUCCESS)
}

fn slow(node: &Node, sockeye: &Path, counterpart: &Path, plan: &Plan, seed: u64) -> Result<Slowdown> {
    let types = Btf::from_sys_fs().context("cannot read the kernel's types")?;
    let tools = [
        node.agent(AGENT, "default", sockeye, counterpart),
        Tool::own(ENGINE, counterpart, &["engine", "default"]),
        node.agent(AGENT_STATES, "states", sockeye, counterpart),
        Tool::own(ENGINE_STATES, counterpart, &["engine", "states"]),
    ];
    let mut random = fastrand::Rng::with_seed(seed);
    let setting = Setting { cgroup: Some(node.cgroup(0)), warm_up: WARM_UP };
    slowdown::measure(&tools, plan, &types, &mut random, setting)
}
