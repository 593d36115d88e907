//! The agent's log, on stderr: one line an entry, nothing on it that could control a terminal or forge an entry.

use std::io::{self, Write};

use agent::api::config::{LogFormat, LogLevel};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::escape;

/// Starts it, for as long as the process lives.
pub fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Libraries tell of each frame; what matters of theirs comes as an error.
    let ours = Targets::new().with_target("agent", level).with_target("sockeye", level);
    let layer = fmt::layer().with_ansi(false).with_target(false).with_writer(|| Lines);
    let layer = match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // Fails only where there is one already, which then is as good.
    let _ = tracing_subscriber::registry().with(layer.with_filter(ours)).try_init();
}

/// Takes whole entries.
struct Lines;

impl Write for Lines {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(entry);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        // A closed stderr is no reason to fail.
        let _ = writeln!(io::stderr(), "{}", escape::line(line));
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
