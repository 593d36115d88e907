//! The project's own tool: `cargo xtask`. One module per subcommand, and what they share:
//!
//! ```text
//! process    other programs: started, checked, named when they fail
//! cargo      cargo's messages: what was built, and where it is
//! buf        the API's lint: its program, fetched once
//! apt        a private apt: Debian's archive without touching this machine's lists
//! live       the live tests: how they are run, what their output says
//! tools      Go's programs, built and kept
//! workspace  where things are: the root, the cache
//! ```

mod apt;
mod bench;
mod buf;
mod build;
mod cargo;
mod chart;
mod e2e;
mod image;
mod lint;
mod live;
mod process;
mod run;
mod setup;
mod test;
mod tools;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Sets up, builds and tests Sockeye")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building and testing take; says what it did or found
    Setup(setup::Arguments),
    /// Build the static binary and print its path
    Build,
    /// Build, then run `sockeye` with the arguments after `--`; as root where that loads programs
    Run(run::Arguments),
    /// Run all tests: lints, units, live on this kernel, live in virtual machines
    Test(test::Arguments),
    /// Run a command or the live tests in a virtual machine under a kernel of Debian's archive
    Vm(vm::Arguments),
    /// Assemble the container image as an OCI archive and print its path
    Image(image::Arguments),
    /// Check the Helm chart; with --write, renew what is compared
    Chart(chart::Arguments),
    /// Sockeye in a real Kubernetes of one node: bring it up, run the scenarios
    E2e(e2e::Arguments),
    /// Measure Sockeye beside its peers; writes docs/benchmarks/<date>.md
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup(arguments) => setup::main(&arguments),
        Command::Build => build::main(),
        Command::Run(arguments) => run::main(&arguments),
        Command::Test(arguments) => test::main(&arguments),
        Command::Vm(arguments) => vm::main(&arguments),
        Command::Image(arguments) => image::main(&arguments),
        Command::Chart(arguments) => chart::main(&arguments),
        Command::E2e(arguments) => e2e::main(&arguments),
        Command::Bench(arguments) => bench::main(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
