//! Standard output that can be given up: a pipe that nobody reads blocks a write for ever, and with it the
//! loop that would hear Ctrl-C.

#[cfg(not(unix))]
mod plain;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub use plain::Patient;
#[cfg(unix)]
pub use unix::Patient;
