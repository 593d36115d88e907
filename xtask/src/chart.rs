//! `cargo xtask chart`: what the Helm chart must hold to, seen by the programs that users and clusters use.
//!
//! ```text
//! helm      the real one: lint, renderings
//! golden    renderings of charts/sockeye/ci/*-values.yaml, word for word
//! refusals  values that contradict each other or that nobody knows, and what is said about them
//! conform   the same renderings against the API of the oldest and newest Kubernetes, by kubeconform
//! schemas   where those APIs come from: Kubernetes' own Go modules
//! metrics   alerts and dashboard: queries that promtool reads, metrics that there are
//! promtool  where it comes from
//! readme    the table of values in the chart's README
//! yaml      YAML as JSON values
//! ```

mod conform;
mod golden;
mod helm;
mod metrics;
mod promtool;
mod readme;
mod refusals;
mod schemas;
mod yaml;

use std::{
    io::{Write as _, stdout},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;

use self::helm::Helm;
use crate::{
    test::Report,
    tools::{HELM, Have},
    workspace,
};

#[derive(clap::Args)]
pub struct Arguments {
    /// Write what is compared: the golden renderings, and the table of values in the chart's README
    #[arg(long)]
    write: bool,
}

pub fn main(arguments: &Arguments) -> Result<ExitCode> {
    let mut report = Report::here();
    if arguments.write {
        report.step("write the table of values", readme::write);
        if let Some(Have::Yes(program)) = report.step("helm", || HELM.get()) {
            let helm = Helm::new(program);
            report.step("write the golden renderings", || golden::write(&helm));
        }
    }
    check(&mut report);
    println!("{report}");
    // The exit status must not be lost with a pipe that is closed.
    let _ = stdout().flush();
    Ok(if report.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All checks, each a step; those that lack a program are skipped by name.
pub fn check(report: &mut Report) {
    report.step("chart: table of values", readme::compare);
    report.step("chart: metrics that there are", metrics::known);
    let helm = match report.step("chart: helm", || HELM.get()) {
        Some(Have::Yes(program)) => Helm::new(program),
        Some(Have::No(why)) => return report.skip("chart by helm", &why),
        None => return,
    };
    report.step("chart: lint", || helm.lint_all());
    report.step("chart: golden renderings", || golden::compare(&helm));
    report.step("chart: refusals", || refusals::check(&helm));
    match report.step("chart: queries by promtool", || metrics::queries(&helm)) {
        Some(Have::No(why)) => report.skip("chart: queries by promtool", &why),
        Some(Have::Yes(())) | None => {}
    }
    match report.step("chart: objects by kubeconform", || conform::check(&helm)) {
        Some(Have::No(why)) => report.skip("chart: objects by kubeconform", &why),
        Some(Have::Yes(())) | None => {}
    }
}

/// The chart's folder.
fn folder() -> PathBuf {
    workspace::root().join("charts/sockeye")
}
