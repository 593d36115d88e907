//! The real thing: waits with poll(2) for the reader and for a signal.

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::Errno,
    process::Signal,
};

/// A pipe that is ready takes so many bytes without blocking (PIPE_BUF, pipe(7)).
const AT_ONCE: usize = 4096;
/// How long a reader may take nothing once the run is to end.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it has for the rest, however steadily it reads.
const LAST_CHANCE: Duration = Duration::from_secs(10);

/// A writer that waits for its reader until the run is to end, and then only as long as the reader reads on, and
/// not for ever: it answers [`io::ErrorKind::TimedOut`].
pub struct Patient {
    file: File,
    /// Readable once a signal came.
    signal: UnixStream,
    /// When the run ends without a signal.
    end: Option<Instant>,
    /// When to give up: if nothing is taken until then, and in any case; set when the run is to end.
    give_up: Option<(Instant, Instant)>,
    /// Writes to it can block for ever: a pipe, a terminal, a socket.
    can_block: bool,
}

impl Patient {
    /// Waits for the reader of `output` until SIGINT or SIGTERM come, or the duration is over.
    fn new(output: OwnedFd, duration: Option<Duration>) -> io::Result<Self> {
        let (signal, sender) = UnixStream::pair()?;
        signal.set_nonblocking(true)?;
        for number in [Signal::INT, Signal::TERM] {
            signal_hook::low_level::pipe::register(number.as_raw(), sender.try_clone()?)?;
        }
        let kind = FileType::from_raw_mode(fstat(&output)?.st_mode);
        let can_block = !matches!(kind, FileType::RegularFile | FileType::BlockDevice);
        // A duration so long that it has no end in this clock has none here either.
        let end = duration.and_then(|duration| Instant::now().checked_add(duration));
        Ok(Self { file: File::from(output), signal, end, give_up: None, can_block })
    }

    /// Standard output. Not std's own: that one splits what it gets into lines, and the buffers are ours already.
    pub fn of_stdout(duration: Option<Duration>) -> io::Result<Self> {
        Self::new(io::stdout().as_fd().try_clone_to_owned()?, duration)
    }

    /// Waits until a few bytes can be written without blocking.
    fn wait(&mut self) -> io::Result<()> {
        loop {
            let until = self.give_up.map(|(pause, _)| pause).or(self.end);
            let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            let mut fds = [
                PollFd::from_borrowed_fd(self.file.as_fd(), PollFlags::OUT),
                PollFd::from_borrowed_fd(self.signal.as_fd(), PollFlags::IN),
            ];
            // Once the run is to end, more signals change nothing.
            let watched = if self.give_up.is_some() { &mut fds[..1] } else { &mut fds[..] };
            match poll(watched, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            // A closed pipe answers with an error flag: the write will tell which.
            if !fds[0].revents().is_empty() {
                return Ok(());
            }
            let now = Instant::now();
            if self.give_up.is_some_and(|(pause, _)| now >= pause) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let is_over = self.end.is_some_and(|end| now >= end);
            if self.give_up.is_none() && (is_over || !fds[1].revents().is_empty()) {
                self.give_up = Some((now + PAUSE, now + LAST_CHANCE));
            }
        }
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.can_block {
            return self.file.write(bytes);
        }
        self.wait()?;
        let written = self.file.write(&bytes[..bytes.len().min(AT_ONCE)])?;
        if let Some((pause, last)) = &mut self.give_up {
            *pause = (Instant::now() + PAUSE).min(*last);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read as _, pipe},
        os::fd::OwnedFd,
        thread,
        time::Duration,
    };

    use super::Patient;
    use crate::patient::write_all;

    #[test]
    fn a_reader_that_is_slow_gets_everything_when_the_run_ends() {
        let (mut reader, writer) = pipe().unwrap();
        let bytes = vec![b'x'; 300_000];
        let slow = thread::spawn(move || {
            let mut piece = vec![0; 40_000];
            let mut taken = 0;
            loop {
                thread::sleep(Duration::from_millis(200));
                match reader.read(&mut piece).unwrap() {
                    0 => return taken,
                    some => taken += some,
                }
            }
        });
        // The run is over at once.
        let mut patient = Patient::new(OwnedFd::from(writer), Some(Duration::ZERO)).unwrap();
        write_all(&mut patient, &bytes).unwrap();
        drop(patient);
        assert_eq!(slow.join().unwrap(), bytes.len());
    }

    #[test]
    fn a_reader_that_takes_nothing_is_given_up() {
        let (reader, writer) = pipe().unwrap();
        let mut patient = Patient::new(OwnedFd::from(writer), Some(Duration::ZERO)).unwrap();
        let error = write_all(&mut patient, &vec![b'x'; 300_000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(reader);
    }
}
