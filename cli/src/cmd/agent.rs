//! `sockeye agent`: the node's agent, from its configuration to its end.

use agent::{
    api::{config::Config, privileges},
    node::{self, NodeError},
};

use super::Failure;
use crate::{args::AgentArgs, log};

/// Serves until it is told to stop.
pub fn run(args: &AgentArgs) -> Result<(), Failure> {
    let config = Config::load(&args.0, &environment()).map_err(|error| Failure::Named(error.to_string()))?;
    log::start(config.log_level, config.log_format);
    // Before there are threads: they inherit what is left.
    let kept = privileges::keep(privileges::NEEDED)
        .map_err(|error| Failure::Rights(format!("cannot give up what is not needed: {error}")))?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), capabilities = ?kept, "starting");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(node::run(config)).map_err(|error| failure(&error))
}

/// Variables that are UTF-8; none of ours is anything else.
fn environment() -> Vec<(String, String)> {
    let text = |word: std::ffi::OsString| word.into_string().ok();
    std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
}

fn failure(error: &NodeError) -> Failure {
    let words = error.to_string();
    let is_configured = matches!(error, NodeError::Serve(error) if error.of_configuration());
    if is_configured { Failure::Named(words) } else { Failure::Engine(words) }
}
