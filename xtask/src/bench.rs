//! `cargo xtask bench`: Sockeye beside its peers, in one run, as ratios with their spread.
//!
//! ```text
//! tool        what is compared                running   a tool that runs
//! child       the load, in a child process    observe   what /proc says about a process
//! floor       the program that does nothing   lines     what a tool writes, waited for
//! slowdown    shuffled rounds of connections
//! accounting  time in the kernel, by its own account
//! start       start, and what older sockets add
//! quiet       idle tools, and the first event after silence
//! agent       the agent beside the engine alone: a page of its own
//! pipeline    events a second from ring to client, without kernel
//! figures     medians and intervals           (pure)
//! targets     wanted and measured             (pure)
//! results     the page                        (pure)
//! ```
//!
//! The rule of all of them: nothing is compared with a figure of another run.

mod accounting;
mod agent;
mod child;
mod figures;
mod floor;
mod lines;
mod machine;
mod observe;
mod pipeline;
mod plan;
mod progress;
mod quiet;
mod results;
mod running;
mod slowdown;
mod start;
mod table;
mod targets;
mod tool;

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use aya::Btf;
use clap::ValueEnum;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use self::{child::Role, machine::Machine, plan::Plan, results::Results};
use crate::{build, process, workspace};

/// More running processes than this, and figures by the clock mean little.
const QUIET_LOAD: f64 = 0.7;

const TRACEFS: &str = "/sys/kernel/tracing";

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    options: Options,
    /// Only these parts
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
}

/// What every page takes.
#[derive(clap::Args)]
pub struct Options {
    /// Fewer and shorter rounds; nothing is written but to the terminal
    #[arg(long)]
    quick: bool,
    /// Blocks of rounds, instead of 40 (with --quick 5)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    blocks: Option<u32>,
    /// Where the page goes, instead of docs/benchmarks/<date>.md
    #[arg(long, value_name = "PATH")]
    page: Option<PathBuf>,
    /// The binary to measure, instead of building one
    #[arg(long, value_name = "PATH", overrides_with = "sockeye")]
    sockeye: Option<PathBuf>,
    /// Repeat the order of another run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Time until attached, until ready, until the first line
    Start,
    /// What older sockets add to the start
    Snapshot,
    /// Wake-ups of idle tools, the first event after silence
    Quiet,
    /// Time in the kernel, and memory after the load
    Kernel,
    /// Connections slowed, and the tools' own CPU
    Slowdown,
}

/// A run.
struct Run {
    plan: Plan,
    seed: u64,
    date: String,
}

impl Options {
    /// The binary to measure.
    fn sockeye(&self) -> Result<PathBuf> {
        match &self.sockeye {
            Some(path) => {
                path.canonicalize().with_context(|| format!("--sockeye: no file {}", path.display()))
            }
            None => build::sockeye(),
        }
    }

    /// Says how it can be repeated, and whether that is worth it.
    fn begin(&self) -> Result<Run> {
        let mut plan = if self.quick { Plan::QUICK } else { Plan::FULL };
        if let Some(blocks) = self.blocks {
            plan.blocks = blocks;
        }
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
        eprintln!("order: --seed {seed}");
        if let Some(load) = machine::load().filter(|&load| load > QUIET_LOAD) {
            eprintln!(
                "attention: this machine is busy (load average {load}); figures by the clock will be off"
            );
        }
        Ok(Run { plan, seed, date: machine::date()? })
    }

    /// Prints a page, and writes it where it belongs if it is a whole one.
    fn publish(&self, page: &str, name: &str, all: bool) -> Result<()> {
        print!("{page}");
        let path = match &self.page {
            Some(path) => path.clone(),
            None if self.quick || !all => return Ok(()),
            None => workspace::root().join("docs/benchmarks").join(format!("{name}.md")),
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        // By sudo, but in the user's work tree. A page that stays root's is a nuisance, not a failure.
        if let Ok(root) = workspace::root().metadata() {
            let _ = chown(&path, Some(root.uid()), Some(root.gid()));
        }
        eprintln!("written: {}", path.display());
        Ok(())
    }
}

pub fn main(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(role) = &arguments.role {
        return role.run();
    }
    let options = &arguments.options;
    let sockeye = options.sockeye()?;
    if let Some(code) = become_root(&[("--sockeye", &sockeye)])? {
        return Ok(code);
    }
    let run = options.begin()?;
    let page = measure(&sockeye, arguments, &run)?;
    options.publish(&page, &run.date, arguments.only.is_empty())?;
    Ok(ExitCode::SUCCESS)
}

fn measure(sockeye: &Path, arguments: &Arguments, run: &Run) -> Result<String> {
    let plan = &run.plan;
    let mut random = fastrand::Rng::with_seed(run.seed);
    let types = Btf::from_sys_fs().context("cannot read the kernel's types")?;
    show_tracepoints()?;
    let (tools, absent) = tool::available(sockeye);
    for tool in &absent {
        eprintln!("left out: {} ({})", tool.name, tool.why);
    }
    if !tools.iter().any(tool::Tool::is_ours) {
        bail!("sockeye does not run here, so there is nothing to compare");
    }
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let mut machine = Machine::look(sockeye, true);
    let mut results = Results::default();
    // Those without load first: after it, tens of thousands of sockets stay in TIME_WAIT for a minute, and a
    // snapshot walks over them.
    if wanted(Part::Start) {
        results.starts = start::measure(&tools, plan, &mut random)?;
    }
    if wanted(Part::Snapshot) {
        results.snapshot = Some(start::snapshot(&tools, plan)?);
    }
    if wanted(Part::Quiet) {
        results.silence = Some(quiet::idle(&tools, plan, &types)?);
        results.first_events = quiet::first_events(&tools, plan)?;
    }
    if wanted(Part::Kernel) {
        results.passes = accounting::measure(&tools, plan, &types, &mut random)?;
    }
    if wanted(Part::Slowdown) {
        results.slowdown =
            Some(slowdown::measure(&tools, plan, &types, &mut random, slowdown::Setting::default())?);
    }
    machine.end();
    Ok(results.page(&run.date, plan, &machine, &tools, &absent))
}

/// The same command once more, as root, if this process is not; with what was built already, as the user.
fn become_root(built: &[(&str, &PathBuf)]) -> Result<Option<ExitCode>> {
    if process::is_root() {
        return Ok(None);
    }
    let Some(sudo) = process::find("sudo") else {
        bail!("the benchmark loads programs into the kernel, which takes root, and there is no sudo");
    };
    let own = std::env::current_exe().context("cannot find the running program")?;
    let mut command = Command::new(sudo);
    command.arg(own).args(std::env::args_os().skip(1));
    for (name, path) in built {
        command.arg(name).arg(path);
    }
    let error = command.exec();
    Err(error).context("cannot run sudo")
}

/// Peers look up tracepoints in tracefs. Where nobody mounted it, it is mounted for this process and its
/// children only.
fn show_tracepoints() -> Result<()> {
    if Path::new(TRACEFS).join("events").exists() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS).context("cannot have mounts of its own")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("cannot keep mounts to itself")?;
    mount(Some("tracefs"), TRACEFS, Some("tracefs"), MsFlags::empty(), None::<&str>)
        .context("cannot mount tracefs")
}
