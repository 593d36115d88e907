//! Loading and attaching single programs, each fault with the program's name and the kernel's words.

use std::io;

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, FExit, Iter, Program, ProgramError, ProgramFd, TracePoint},
};
use thiserror::Error;

use crate::probes::Hook;

/// A program that the kernel did not take.
#[derive(Debug, Error)]
#[error("program {program}: {reason}")]
pub struct ProgramFault {
    /// The program's name in the object.
    pub program: &'static str,
    /// One line: the errno, and the verifier's last words where there are any.
    pub reason: String,
    /// The kernel refused with EPERM or EACCES: policy, not the program.
    pub refused: bool,
    source: Box<ProgramError>,
}

impl ProgramFault {
    fn new(program: &'static str, source: ProgramError) -> Self {
        let (reason, refused) = describe(&source);
        Self { program, reason, refused, source: Box::new(source) }
    }

    /// The verifier's whole log, where there is one.
    pub fn verifier_log(&self) -> Option<String> {
        match &*self.source {
            ProgramError::LoadError { verifier_log, .. } => Some(verifier_log.to_string()),
            _ => None,
        }
    }
}

fn describe(error: &ProgramError) -> (String, bool) {
    let policy = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let statistics = ["processed ", "stack depth ", "verification time "];
            let said = log
                .lines()
                .rev()
                .find(|line| !line.is_empty() && !statistics.iter().any(|word| line.starts_with(word)));
            let reason = match said {
                Some(line) => format!("refused by the kernel ({io_error}): {line}"),
                None => format!("refused by the kernel ({io_error})"),
            };
            (reason, policy(io_error) && said.is_none())
        }
        ProgramError::SyscallError(error) => {
            (format!("{} failed ({})", error.call, error.io_error), policy(&error.io_error))
        }
        ProgramError::Btf(error) => (format!("this kernel has no such hook ({error})"), false),
        ProgramError::TracePointError(error) => (error.to_string(), false),
        other => (other.to_string(), false),
    }
}

/// A program that is attached as long as the object lives.
pub struct Attached {
    /// Its name in the object.
    pub program: &'static str,
    /// Its descriptor, for statistics.
    pub(super) fd: ProgramFd,
}

/// Loads one program and attaches it, unless it is an iterator (those are opened when needed).
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    program: &'static str,
    hook: &Hook,
) -> Result<Attached, ProgramFault> {
    let fault = |source| ProgramFault::new(program, source);
    let found = ebpf.program_mut(program).expect("the object holds every program of the probe table");
    match hook {
        Hook::TpBtf(tracepoint) => {
            let loaded: &mut BtfTracePoint = found.try_into().map_err(fault)?;
            loaded.load(tracepoint, btf).map_err(fault)?;
            loaded.attach().map_err(fault)?;
        }
        Hook::Fexit(function) => {
            let loaded: &mut FExit = found.try_into().map_err(fault)?;
            loaded.load(function, btf).map_err(fault)?;
            loaded.attach().map_err(fault)?;
        }
        Hook::Tracepoint { category, name } => {
            let loaded: &mut TracePoint = found.try_into().map_err(fault)?;
            loaded.load().map_err(fault)?;
            loaded.attach(category, name).map_err(fault)?;
        }
        Hook::Iter(target) => {
            let loaded: &mut Iter = found.try_into().map_err(fault)?;
            loaded.load(target, btf).map_err(fault)?;
        }
    }
    let program_ref: &Program = ebpf.program(program).expect("it was there a line above");
    let fd =
        program_ref.fd().map_err(fault)?.try_clone().map_err(|error| fault(ProgramError::IOError(error)))?;
    Ok(Attached { program, fd })
}

/// Detaches a program and unloads it; it can be attached again.
pub(super) fn detach(ebpf: &mut Ebpf, attached: Attached) -> Result<(), ProgramFault> {
    let program = attached.program;
    drop(attached);
    let found = ebpf.program_mut(program).expect("the object holds every program of the probe table");
    let unloaded = match found {
        Program::BtfTracePoint(loaded) => loaded.unload(),
        Program::FExit(loaded) => loaded.unload(),
        Program::TracePoint(loaded) => loaded.unload(),
        Program::Iter(loaded) => loaded.unload(),
        _ => Ok(()),
    };
    unloaded.map_err(|source| ProgramFault::new(program, source))
}

/// Opens a loaded iterator for one read of everything.
pub(super) fn open_iterator(ebpf: &mut Ebpf, program: &'static str) -> Result<std::fs::File, ProgramFault> {
    let fault = |source| ProgramFault::new(program, source);
    let found = ebpf.program_mut(program).expect("the object holds every program of the probe table");
    let iterator: &mut Iter = found.try_into().map_err(fault)?;
    let id = iterator.attach().map_err(fault)?;
    let link = iterator.take_link(id).map_err(fault)?;
    link.into_file().map_err(|error| fault(ProgramError::IOError(io::Error::other(error))))
}
