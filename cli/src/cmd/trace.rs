//! `sockeye trace`: the glue between the command line and the engine.

use std::{fs::File, io};

use agent::{
    bpf::LoadError,
    decode::Context,
    doctor,
    engine::{Config, Degraded, Engine, EngineError},
};

use super::{Failure, explain};
use crate::{
    args::{Plan, ToolArgs},
    journal::Journal,
    machine::{ThisMachine, one_line},
    message,
    output::Output,
    patient::Patient,
    render, request,
    tool::Tool,
    view,
};

/// Runs a tool until it is stopped.
pub fn run(tool: ToolArgs) -> Result<(), Failure> {
    let plan = tool.plan()?;
    if plan.common.usage {
        let usage = format!("usage: sockeye trace {} [OPTIONS] (--help lists them)\n", plan.tool.name());
        super::print(usage.as_bytes());
        return Ok(());
    }
    let machine = ThisMachine::default();
    let config = request::resolve(&plan, &machine)?;
    if plan.common.explain || plan.common.ebpf {
        super::print(explain::explain(&plan, &config).as_bytes());
        return Ok(());
    }
    if plan.verbose {
        for line in explain::explain(&plan, &config).lines() {
            message::note(line);
        }
    }
    machine.check_rights(plan.tool).map_err(Failure::Rights)?;
    let journal = plan.options.journal.then(Journal::connect).transpose()?;
    let output = output(&plan, journal).map_err(Failure::Output)?;
    trace(&plan, &config, output, &mut machine.context())
}

fn output(plan: &Plan, journal: Option<Journal>) -> io::Result<Output<Patient>> {
    let bold = plan.common.color.on(&io::stdout());
    let writer = Patient::of_stdout(plan.common.duration)?;
    let view = view::of(plan.tool, &plan.options);
    let render = render::of(plan.tool, plan.format, &plan.options, bold);
    Ok(Output::new(view, render, journal, plan.common.max_events, plan.common.buffer_size, writer))
}

fn trace(
    plan: &Plan,
    config: &Config,
    mut output: Output<Patient>,
    context: &mut Context,
) -> Result<(), Failure> {
    super::runtime()?.block_on(async {
        // Before anything is loaded, so that a signal in between does not cut the program off.
        let stop = super::stop(plan.common.duration).map_err(Failure::Runtime)?;
        let mut engine = Engine::load(config).map_err(|error| failure(&error))?;
        warn_of_missing(plan.tool, engine.degraded());
        if plan.options.count {
            let what = if plan.tool == Tool::Tcpretrans { "retransmits" } else { "connects" };
            message::note(&format!("counting {what}; Ctrl-C ends and prints them"));
        }
        if output.begin().is_continue() {
            if let Some(path) = &plan.common.ready_file {
                File::create(path).map_err(|error| Failure::Ready { path: path.clone(), error })?;
            }
            let ended = engine.run(&mut output, context, stop).await;
            ended.map_err(|error| failure(&error))?;
        }
        output.finish().map_err(Failure::Output)
    })
}

/// One line for each thing that the tool's user will notice; what the tool does not use is the doctor's business.
fn warn_of_missing(tool: Tool, degraded: &[Degraded]) {
    let mut said: Vec<(&str, String)> = Vec::new();
    for missing in degraded {
        let Some(effect) = doctor::concern(tool.name(), missing) else { continue };
        // Several programs can be missing for one thing.
        match said.iter_mut().find(|(known, _)| *known == effect) {
            Some((_, reasons)) => *reasons = format!("{reasons}; {}", missing.reason),
            None => said.push((effect, missing.reason.clone())),
        }
    }
    for (effect, reasons) in said {
        message::warning(&format!("{effect}: {reasons}"));
    }
}

/// The error with its causes on one line. A pinned map of another shape was named on the command line.
fn failure(error: &EngineError) -> Failure {
    let text = one_line(error);
    match error {
        EngineError::Load(LoadError::Pinned(_)) => Failure::Named(text),
        _ => Failure::Engine(text),
    }
}
