//! `cargo xtask e2e`: Sockeye in a real Kubernetes of one node. The cluster is built from Go modules and Debian's
//! packages, comes up in seconds, and goes away without a trace; scenarios run in it one by one.

mod cluster;
mod daemon;
mod files;
mod kubectl;
mod leftovers;
mod parts;
mod pki;
mod runc;
mod scenarios;

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};

use self::{
    cluster::{Cgroups, Cluster},
    parts::Parts,
    scenarios::Bed,
};
use crate::{
    build,
    image::Image,
    setup::{self, Scope},
    test::Report,
    tools::Have,
};

/// Held while a cluster is changed or used.
const LOCK: &str = "/run/lock/sockeye-e2e.lock";

/// What steps are called.
const NAME: &str = "e2e";

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Build what is not built yet, and bring the cluster up
    Up {
        /// How the node's cgroups look
        #[arg(long, value_enum, default_value = "host")]
        cgroups: Cgroups,
    },
    /// Take the cluster away, also what one left that crashed
    Down,
    /// Say what runs
    Status,
    /// Run the scenarios: in the cluster that is up, else in one that comes and goes with them
    Run {
        /// Only with the node's cgroups like this (default: with each, a part of the scenarios with the second)
        #[arg(long, value_enum)]
        cgroups: Option<Cgroups>,
        /// Leave the cluster up
        #[arg(long)]
        keep: bool,
        /// A static binary that was built already
        #[arg(long, value_name = "FILE")]
        sockeye: Option<PathBuf>,
        /// Only scenarios whose names contain one of the words
        #[arg(last = true, value_name = "FILTER")]
        filter: Vec<String>,
    },
    /// What containerd starts in place of runc
    #[command(hide = true)]
    Runc {
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

pub fn main(arguments: &Arguments) -> Result<ExitCode> {
    if let Command::Runc { arguments } = &arguments.command {
        return runc::main(arguments);
    }
    if let Command::Run { cgroups, keep, sockeye, filter } = &arguments.command {
        return from_nothing(*cgroups, *keep, sockeye.as_deref(), filter);
    }
    if matches!(arguments.command, Command::Down) {
        let _lock = lock()?;
        cluster::down()?;
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(arguments.command, Command::Up { .. }) {
        setup::ensure(Scope::Everything)?;
    }
    let cluster = match Parts::get()? {
        Have::Yes(parts) => Cluster::new(parts),
        Have::No(why) => bail!("there can be no cluster on this machine: {why}"),
    };
    if let Command::Up { cgroups } = arguments.command {
        let _lock = lock()?;
        cluster.up(cgroups)?;
    }
    cluster.status()?;
    Ok(ExitCode::SUCCESS)
}

fn from_nothing(
    cgroups: Option<Cgroups>,
    keep: bool,
    sockeye: Option<&Path>,
    filter: &[String],
) -> Result<ExitCode> {
    let mut report = Report::here();
    setup::ensure(Scope::Everything)?;
    if let Some(sockeye) =
        report.step("build sockeye", || sockeye.map_or_else(build::sockeye, |path| Ok(path.to_owned())))
    {
        let modes = cgroups.map_or_else(modes, |mode| vec![mode]);
        run_in(&modes, &sockeye, keep, filter, &mut report);
    }
    println!("{report}");
    Ok(if report.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Both, unless they are the same here.
fn modes() -> Vec<Cgroups> {
    if Cgroups::machine_is_v2() { vec![Cgroups::Host] } else { vec![Cgroups::Host, Cgroups::V2] }
}

/// Runs all scenarios with a binary; what of it cannot be done here is in the report by name.
pub fn run(sockeye: &Path, filter: &[String], report: &mut Report) {
    run_in(&modes(), sockeye, false, filter, report);
}

fn run_in(modes: &[Cgroups], sockeye: &Path, keep: bool, filter: &[String], report: &mut Report) {
    let Some(parts) = report.step("e2e: parts of the cluster", Parts::get) else { return };
    let parts = match parts {
        Have::Yes(parts) => parts,
        Have::No(why) => return report.skip(NAME, &why),
    };
    let cluster = Cluster::new(parts);
    let Some(image) = report.step("e2e: image", || Image::of(sockeye, scenarios::IMAGE)) else { return };
    let Some(_lock) = report.step("e2e: nobody else's run", lock) else { return };
    for (turn, &mode) in modes.iter().enumerate() {
        let was_up = cluster.is_up() == Some(mode);
        let up = || if was_up { Ok(()) } else { cluster.up(mode) };
        if report.step(&format!("e2e: cluster, cgroups {mode}"), up).is_some() {
            let bed =
                report.step(&format!("e2e: images, cgroups {mode}"), || Bed::new(&cluster, sockeye, &image));
            if let Some(bed) = bed {
                scenarios::run(&bed, mode, turn > 0, filter, report);
            }
        }
        if !(keep || was_up) {
            report.step(&format!("e2e: cluster gone, cgroups {mode}"), cluster::down);
        }
    }
}

fn lock() -> Result<File> {
    let file = File::create(LOCK).with_context(|| format!("cannot make {LOCK}"))?;
    file.try_lock().ok().context("another cargo xtask e2e runs on this machine")?;
    Ok(file)
}
