//! What `cargo xtask bench agent` has beside the agent: the engine by itself, which the agent is compared with, and a
//! subscriber that receives, decodes and shows nothing.
//!
//! ```text
//! counterpart engine default|states --ready-file PATH
//! counterpart subscriber default|states --socket PATH --pods N --ready-file PATH
//! ```
//!
//! Both end with SIGINT, and say on stderr what they lost.

mod engine;
mod subscriber;

use std::{error::Error, path::PathBuf, process::ExitCode};

use agent::event::{EventKind, Kinds};

/// What goes wrong is told and ends everything.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What somebody asked for.
struct Arguments {
    kinds: Kinds,
    ready_file: PathBuf,
    socket: PathBuf,
    pods: u64,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self> {
        use EventKind::{Accept, Close, Connect, ConnectFailed, StateChange};
        let mut kinds = Kinds::from_iter([Connect, ConnectFailed, Accept, Close]);
        match words.next().as_deref() {
            Some("default") => {}
            Some("states") => kinds.0 |= StateChange.bit(),
            other => return Err(format!("kinds: {other:?}, expected default or states").into()),
        }
        let mut read = Self { kinds, ready_file: PathBuf::new(), socket: PathBuf::new(), pods: 0 };
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            match &*name {
                "--ready-file" => read.ready_file = value.into(),
                "--socket" => read.socket = value.into(),
                "--pods" => read.pods = value.parse()?,
                _ => return Err(format!("no such argument: {name}").into()),
            }
        }
        Ok(read)
    }

    /// Says that from now on nothing is missed.
    fn ready(&self) -> Result<()> {
        std::fs::write(&self.ready_file, []).map_err(|error| format!("--ready-file: {error}").into())
    }
}

fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let role = words.next();
    let arguments = Arguments::read(words)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match role.as_deref() {
        Some("engine") => runtime.block_on(engine::run(&arguments)),
        Some("subscriber") => runtime.block_on(subscriber::run(&arguments)),
        other => Err(format!("role: {other:?}, expected engine or subscriber").into()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counterpart: {error}");
            ExitCode::FAILURE
        }
    }
}
