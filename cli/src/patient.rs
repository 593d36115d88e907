//! Standard output that can be given up: a pipe that nobody reads blocks a write for ever, and with it the
//! loop that would hear Ctrl-C.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

#[cfg(not(unix))]
mod plain;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub use plain::Patient;
#[cfg(unix)]
pub use unix::Patient;

/// `write_all` for an output that somebody else may have made non-blocking (a terminal shared with ssh).
pub fn write_all(writer: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a broken output means for the run. A reader that went away is no failure.
pub fn verdict(broken: Option<io::Error>) -> io::Result<()> {
    match broken {
        Some(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(io::Error::new(error.kind(), "its reader took nothing more; the rows behind are lost"))
        }
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
