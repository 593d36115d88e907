//! `cargo xtask test`: everything. Lints, unit and property tests, live tests on the running kernel, the same
//! live tests under every kernel of the matrix, Sockeye in a real Kubernetes.

mod matrix;
mod report;

use std::{
    io::{Write as _, stdout},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Result, bail};

pub use self::report::Report;
use crate::{
    buf, build,
    cargo::{self, Executable},
    chart, e2e, lint,
    live::Live,
    process,
    setup::{self, Scope, Target},
    tools::Have,
};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only these parts, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// Passed to the tests: only those whose names contain one of the words
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
}

/// A part of all tests.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Formatting, clippy, the workspace's rules
    Lint,
    /// Unit and property tests; no root needed
    Unit,
    /// The Helm chart, by helm, kubeconform and promtool
    Chart,
    /// Live tests on the running kernel; as root
    Live,
    /// The same live tests under the kernels of the matrix, in virtual machines
    Vm,
    /// Sockeye in a real Kubernetes of one node; as root
    E2e,
}

pub fn main(arguments: &Arguments) -> Result<ExitCode> {
    let mut report = Report::here();
    run(arguments, &mut report);
    println!("{report}");
    // The exit status must not be lost with a pipe that is closed.
    let _ = stdout().flush();
    Ok(if report.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(arguments: &Arguments, report: &mut Report) {
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let live = wanted(Part::Live) || wanted(Part::Vm);
    let scope = if live || wanted(Part::E2e) { Scope::Everything } else { Scope::Build };
    let Some(target) = report.step("setup", || setup::ensure(scope)) else { return };
    if wanted(Part::Lint) {
        report.step("format", lint::format);
        report.step("lints in force", lint::lints_in_force);
        lint_api(report);
        report.step("clippy", lint::clippy);
        report.step("clippy, client alone", lint::clippy_client);
        report.step("clippy, kernel programs", lint::clippy_kernel);
    }
    if wanted(Part::Chart) {
        chart::check(report);
    }
    if wanted(Part::Unit) || live {
        tests_of_crates(arguments, &target, report);
    }
    if wanted(Part::E2e)
        && let Some(sockeye) = report.step("build sockeye for the cluster", build::sockeye)
    {
        e2e::run(&sockeye, &arguments.filter, report);
    }
}

fn tests_of_crates(arguments: &Arguments, target: &Target, report: &mut Report) {
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let live = wanted(Part::Live) || wanted(Part::Vm);
    let Some(tests) = report.step("build the tests", || tests(target)) else { return };
    let (live_tests, unit_tests): (Vec<_>, Vec<_>) = tests.into_iter().partition(Executable::is_live);
    if wanted(Part::Unit) {
        report.step("unit and property tests", || unit(&unit_tests, &arguments.filter));
        report.step("documentation tests", || documentation(target, &arguments.filter));
    }
    if !live {
        return;
    }
    let Some(sockeye) = report.step("build sockeye", build::sockeye) else { return };
    let Some(live_tests) = live_tests.into_iter().next() else {
        report.skip("live tests", "there are none");
        return;
    };
    let live = Live::new(sockeye, live_tests);
    if wanted(Part::Live) {
        here(&live, &arguments.filter, report);
    }
    if wanted(Part::Vm) {
        matrix::run(&live, &arguments.filter, report);
    }
}

fn lint_api(report: &mut Report) {
    let name = "lint of the API";
    match report.step("buf", buf::get) {
        Some(Have::Yes(program)) => drop(report.step(name, || buf::lint(&program))),
        Some(Have::No(why)) => report.skip(name, &why),
        None => {}
    }
}

/// All tests as static executables: what runs here is what runs in the guests.
fn tests(target: &Target) -> Result<Vec<Executable>> {
    let mut command = cargo::command();
    command.args(["test", "--no-run", "--workspace", "--exclude", lint::KERNEL_CRATE]);
    build::for_target(&mut command, target);
    Ok(cargo::build(&mut command)?.into_iter().filter(|executable| executable.test).collect())
}

fn unit(executables: &[Executable], filter: &[String]) -> Result<()> {
    let mut failed = Vec::new();
    for Executable { name, path, folder, .. } in executables {
        println!("{name}:");
        let mut command = Command::new(path);
        command.args(filter).current_dir(folder).stdin(Stdio::null());
        if process::run(&mut command).is_err() {
            failed.push(name.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("tests failed in {}", failed.join(", "));
    }
    Ok(())
}

fn documentation(target: &Target, filter: &[String]) -> Result<()> {
    let mut command = cargo::command();
    command.args(["test", "--quiet", "--doc", "--workspace", "--exclude", lint::KERNEL_CRATE]);
    build::for_target(&mut command, target);
    process::run(command.arg("--").args(filter).stdin(Stdio::null()))
}

fn here(live: &Live, filter: &[String], report: &mut Report) {
    if !process::is_root() {
        report.skip("live tests", "not root");
        return;
    }
    let name = "live tests on this kernel";
    let mut skips = Vec::new();
    let mut second_tries = Vec::new();
    report.step(name, || {
        let outcome = live.here(filter)?;
        println!("{}", outcome.slowest());
        let result = outcome.check(filter);
        (skips, second_tries) = (outcome.skips, outcome.second_try);
        result
    });
    report.skips_of(name, skips);
    report.second_tries_of(name, &second_tries);
}
