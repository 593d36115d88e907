//! `tcpstates -Y` into a real journald.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    bed::{
        PATIENCE, skip,
        talk::{Over, Talk},
        until,
    },
    begin, test_name,
};

const FOLDER: &str = "/run/systemd/journal";
const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// A journald of this test, where the machine runs none.
struct Journald(Option<Child>);

impl Journald {
    fn start() -> Result<Self, String> {
        if std::os::unix::net::UnixDatagram::unbound().unwrap().connect(socket()).is_ok() {
            return Ok(Self(None));
        }
        if !Path::new(JOURNALD).exists() {
            return Err(format!("{JOURNALD} is not there"));
        }
        let mut command = Command::new(JOURNALD);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("{JOURNALD}: {error}"))?;
        let journald = Self(Some(child));
        let listens = || std::os::unix::net::UnixDatagram::unbound().unwrap().connect(socket()).ok();
        until(PATIENCE, listens).map(|()| journald).ok_or_else(|| format!("{JOURNALD} does not listen"))
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
            // A socket that nobody reads would look like a journal to whoever comes next.
            for name in ["socket", "stdout", "dev-log"] {
                let _ = std::fs::remove_file(Path::new(FOLDER).join(name));
            }
        }
    }
}

fn socket() -> String {
    format!("{FOLDER}/socket")
}

#[test]
fn every_state_change_is_an_entry_with_the_fields_of_bcc() {
    begin!();
    let _journald = match Journald::start() {
        Ok(journald) => journald,
        Err(reason) => return skip(test_name!(), &reason),
    };
    let mut talk = Talk::new("journal-client", "journal-server");
    for over in [Over::V4, Over::V6] {
        let listener = talk.listen(over, 0);
        let port = listener.local.port().to_string();
        let mut trace = talk.trace(&["tcpstates", "-Y", "-D", &port]);
        let connection = talk.whole(over, &listener, 1, 1);
        trace.wait_for("the end", |event| {
            event.of(connection.client.cookie) && event.text("state.new") == "CLOSE"
        });
        trace.stop();
        let entries = until(PATIENCE, || {
            let entries = entries(&port);
            (entries.len() >= 5).then_some(entries)
        });
        let entries = entries.expect("five entries");
        let states: Vec<&str> =
            entries.iter().map(|entry| entry["OBJECT_TCP_NEW_STATE"].as_str().unwrap()).collect();
        assert_eq!(states, ["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE"]);
        let version = if over == Over::V4 { 4 } else { 6 };
        for entry in &entries {
            assert_eq!(entry["OBJECT_PID"], talk.client.pid.to_string());
            assert_eq!(entry["OBJECT_COMM"], "journal-client");
            assert_eq!(entry[format!("OBJECT_IPV{version}_SOURCE_ADDRESS")], over.client());
            assert_eq!(entry[format!("OBJECT_IPV{version}_DESTINATION_ADDRESS")], over.server());
        }
        let local = connection.client.local.port().to_string();
        assert_eq!(entries[4]["OBJECT_TCP_SOURCE_PORT"], local);
        assert!(entries[4]["OBJECT_TCP_SPAN_TIME"].as_str().unwrap().parse::<u64>().is_ok());
    }
}

/// The journal's entries for this destination, in order.
fn entries(port: &str) -> Vec<Value> {
    let port = format!("OBJECT_TCP_DESTINATION_PORT={port}");
    let arguments = ["--no-pager", "-b", "-o", "json", "SYSLOG_IDENTIFIER=tcpstates", &port];
    let output = Command::new("journalctl").args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
