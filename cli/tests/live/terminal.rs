//! On a terminal: colour only where it is welcome, and nothing that a process could put into its name.

use std::{
    fs::File,
    io::Read as _,
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::{
    bed::{
        PATIENCE,
        order::Order,
        talk::{Over, Talk},
        trace,
    },
    begin,
};

/// Both ends of a pseudo-terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    (ours, theirs)
}

/// What tcplife writes to a terminal for one connection of a client of this name.
fn shown(comm: &[u8], arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut talk = Talk::new("-", "tty-server");
    let listener = talk.listen(Over::V4, 0);
    talk.client.done(&Order::Comm(comm.to_vec()));
    let (ours, theirs) = terminal();
    let port = listener.local.port().to_string();
    let all = [&["tcplife", "--max-events", "1", "-D", &port], arguments].concat();
    let (mut command, ready): (Command, _) = trace::command(&all);
    command.stdout(Stdio::from(theirs)).env("TERM", "xterm-256color").env_remove("NO_COLOR");
    command.envs(environment.iter().copied());
    let mut child = command.spawn().unwrap();
    // The command holds their end open, and reading ours would never end.
    drop(command);
    trace::wait_until_ready(&mut child, &ready);
    let (give, output) = channel();
    std::thread::spawn(move || {
        let (mut ours, mut bytes) = (File::from(ours), [0; 4096]);
        // The last close of the other end is EIO here.
        while let Ok(count @ 1..) = ours.read(&mut bytes) {
            give.send(bytes[..count].to_vec()).unwrap();
        }
    });
    talk.whole(Over::V4, &listener, 1, 1);
    let end = Instant::now() + PATIENCE;
    let mut text = Vec::new();
    while let Ok(bytes) = output.recv_timeout(end.saturating_duration_since(Instant::now())) {
        text.extend_from_slice(&bytes);
    }
    assert!(child.wait().unwrap().success());
    assert!(Instant::now() < end + Duration::from_secs(1));
    String::from_utf8(text).expect("UTF-8")
}

const ESCAPE: char = '\u{1b}';

#[test]
fn a_terminal_gets_colour_and_nobody_else() {
    begin!();
    let plain = shown(b"tty-client", &[], &[]);
    assert!(plain.contains(ESCAPE), "{plain:?}");
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let pale = shown(b"tty-client", &[], &[environment]);
        assert!(!pale.contains(ESCAPE) && pale.contains("tty-client"), "{pale:?}");
    }
    let pale = shown(b"tty-client", &["--color", "never"], &[]);
    assert!(!pale.contains(ESCAPE), "{pale:?}");
}

#[test]
fn a_name_full_of_escapes_cannot_reach_the_terminal() {
    begin!();
    let hostile = b"\x1b[2J\x1b]0;x\x07\r\n\x9b";
    let text = shown(hostile, &["--color", "never"], &[]);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    assert_eq!(lines.len(), 2, "{text:?}");
    for forbidden in [ESCAPE, '\u{7}', '\u{9b}'] {
        assert!(!text.contains(forbidden), "{text:?}");
    }
}
