//! tcpstates' `-Y`: each state change as an entry of the systemd journal, with bcc's fields, by the journal's
//! native protocol (one datagram an entry). Never blocks: what the journal does not take is counted and told.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use agent_common::event::Family;
use rustix::net::sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force};
use thiserror::Error;

use crate::{escape, text, view::Row};

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Names another socket, for tests.
const SOCKET_VARIABLE: &str = "SOCKEYE_JOURNAL_SOCKET";
/// As sd_journal_send does: entries queue in the socket, not here.
const SEND_BUFFER: usize = 8 << 20;

/// A connection to the journal.
pub struct Journal {
    socket: UnixDatagram,
    as_root: bool,
    entry: Vec<u8>,
    value: Vec<u8>,
    lost: u64,
    told: Option<Instant>,
}

/// No journal is there.
#[derive(Debug, Error)]
#[error("-Y: no journal at {path}")]
pub struct NoJournal {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Journal {
    /// Connects to the journal of this machine.
    pub fn connect() -> Result<Self, NoJournal> {
        let path = std::env::var_os(SOCKET_VARIABLE).map_or_else(|| PathBuf::from(SOCKET), PathBuf::from);
        Self::at(&path).map_err(|source| NoJournal { path, source })
    }

    fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        // Without rights the limit of the system holds; less room is no error.
        if set_socket_send_buffer_size_force(&socket, SEND_BUFFER).is_err() {
            let _ = set_socket_send_buffer_size(&socket, SEND_BUFFER);
        }
        let as_root = rustix::process::getuid().is_root();
        Ok(Self { socket, as_root, entry: Vec::with_capacity(1024), value: Vec::new(), lost: 0, told: None })
    }

    /// Sends one row.
    pub fn send(&mut self, row: &Row<'_>) {
        self.entry.clear();
        self.write(row);
        if self.socket.send(&self.entry).is_err() {
            self.lost += 1;
        }
    }

    /// What was lost since the last time; at most once a second.
    pub fn losses(&mut self) -> Option<String> {
        let quiet = self.told.is_none_or(|told| told.elapsed() >= Duration::from_secs(1));
        if self.lost == 0 || !quiet {
            return None;
        }
        self.told = Some(Instant::now());
        let lost = std::mem::take(&mut self.lost);
        Some(format!("lost {lost} journal entries: the journal does not keep up"))
    }

    fn write(&mut self, row: &Row<'_>) {
        let (event, process) = (row.event, row.process());
        let version = if event.family == Family::V4 { "4" } else { "6" };
        let remote = event.remote;
        self.field("SYSLOG_IDENTIFIER", |out| out.extend_from_slice(b"tcpstates"));
        self.field("PRIORITY", |out| out.push(b'5'));
        if let Some(process) = process {
            self.field("OBJECT_PID", |out| text::number(process.pid, out));
            // For root the journal itself adds it from /proc, as bcc leaves it to do.
            if !self.as_root {
                self.field("OBJECT_COMM", |out| escape::terminal(process.comm.bytes(), usize::MAX, out));
            }
        }
        self.address("SOURCE", version, event.local);
        self.optional("OBJECT_TCP_SOURCE_PORT", event.local_port, text::number);
        self.address("DESTINATION", version, remote.map(|remote| remote.ip()));
        self.optional("OBJECT_TCP_DESTINATION_PORT", remote.map(|remote| remote.port()), text::number);
        if let Some(state) = event.state {
            self.field("OBJECT_TCP_OLD_STATE", |out| out.extend_from_slice(state.old.name().as_bytes()));
            self.field("OBJECT_TCP_NEW_STATE", |out| out.extend_from_slice(state.new.name().as_bytes()));
            self.optional("OBJECT_TCP_SPAN_TIME", state.in_old, |span, out| {
                text::number(text::nanoseconds(span) / 1_000, out);
            });
        }
        self.field("MESSAGE", |out| message(row, out));
    }

    fn address(&mut self, end: &str, version: &str, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        // A name of at most 34 bytes, put together without an allocation.
        let mut name = [0; 40];
        let mut rest = &mut name[..];
        let _ = write!(rest, "OBJECT_IPV{version}_{end}_ADDRESS");
        let left = rest.len();
        let used = name.len() - left;
        let name = std::str::from_utf8(&name[..used]).unwrap_or_default();
        self.field(name, |out| text::address(address, out));
    }

    fn optional<T>(&mut self, name: &str, value: Option<T>, write: impl FnOnce(T, &mut Vec<u8>)) {
        if let Some(value) = value {
            self.field(name, |out| write(value, out));
        }
    }

    /// `NAME`, newline, length as little-endian u64, value, newline: the form that takes any bytes.
    fn field(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.value.clear();
        write(&mut self.value);
        self.entry.extend_from_slice(name.as_bytes());
        self.entry.push(b'\n');
        self.entry.extend_from_slice(&(self.value.len() as u64).to_le_bytes());
        self.entry.extend_from_slice(&self.value);
        self.entry.push(b'\n');
    }
}

/// bcc's sentence: `curl 10.0.0.1 45678 → 10.0.0.2 443 SYN_SENT → ESTABLISHED`.
fn message(row: &Row<'_>, out: &mut Vec<u8>) {
    let event = row.event;
    word(row.process, out, |process, out| escape::terminal(process.comm.bytes(), usize::MAX, out));
    word(event.local, out, text::address);
    word(event.local_port, out, text::number);
    word(Some(ARROW), out, put);
    word(event.remote, out, |remote, out| text::address(remote.ip(), out));
    word(event.remote, out, |remote, out| text::number(remote.port(), out));
    word(event.state, out, |state, out| put(state.old.name(), out));
    word(Some(ARROW), out, put);
    word(event.state, out, |state, out| put(state.new.name(), out));
}

const ARROW: &str = "→";

fn word<T>(value: Option<T>, out: &mut Vec<u8>, write: impl FnOnce(T, &mut Vec<u8>)) {
    if !out.is_empty() {
        out.push(b' ');
    }
    match value {
        Some(value) => write(value, out),
        None => out.push(b'-'),
    }
}

fn put(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::net::UnixDatagram, path::PathBuf};

    use agent_common::event::{Event, TcpState};

    use super::Journal;
    use crate::{fixture, view::Row};

    struct Listener {
        socket: UnixDatagram,
        path: PathBuf,
    }

    impl Listener {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sockeye-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Self { socket: UnixDatagram::bind(&path).unwrap(), path }
        }

        fn fields(&self) -> BTreeMap<String, String> {
            let mut bytes = vec![0; 4096];
            let length = self.socket.recv(&mut bytes).unwrap();
            let mut rest = &bytes[..length];
            let mut fields = BTreeMap::new();
            while !rest.is_empty() {
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
                let name = String::from_utf8(rest[..end].to_vec()).unwrap();
                let size = u64::from_le_bytes(rest[end + 1..end + 9].try_into().unwrap()) as usize;
                let value = String::from_utf8(rest[end + 9..end + 9 + size].to_vec()).unwrap();
                assert_eq!(rest[end + 9 + size], b'\n');
                rest = &rest[end + 10 + size..];
                fields.insert(name, value);
            }
            fields
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn sent(name: &str, as_root: bool, event: &Event) -> BTreeMap<String, String> {
        let listener = Listener::new(name);
        let mut journal = Journal::at(&listener.path).unwrap();
        journal.as_root = as_root;
        let row = Row { event, name: "state_change", process: event.process.as_ref(), query: None };
        journal.send(&row);
        listener.fields()
    }

    #[test]
    fn an_entry_has_bccs_fields() {
        let event = fixture::state(TcpState::SynSent, TcpState::Established);
        let fields = sent("fields", false, &event);
        let expected = [
            ("MESSAGE", "curl 10.0.0.1 45678 → 10.0.0.2 443 SYN_SENT → ESTABLISHED"),
            ("OBJECT_COMM", "curl"),
            ("OBJECT_IPV4_DESTINATION_ADDRESS", "10.0.0.2"),
            ("OBJECT_IPV4_SOURCE_ADDRESS", "10.0.0.1"),
            ("OBJECT_PID", "1234"),
            ("OBJECT_TCP_DESTINATION_PORT", "443"),
            ("OBJECT_TCP_NEW_STATE", "ESTABLISHED"),
            ("OBJECT_TCP_OLD_STATE", "SYN_SENT"),
            ("OBJECT_TCP_SOURCE_PORT", "45678"),
            ("OBJECT_TCP_SPAN_TIME", "2345"),
            ("PRIORITY", "5"),
            ("SYSLOG_IDENTIFIER", "tcpstates"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields, BTreeMap::from(expected));
        assert!(!sent("root", true, &event).contains_key("OBJECT_COMM"));
    }

    #[test]
    fn ipv6_has_its_own_fields_and_what_is_unknown_has_none() {
        let event = fixture::over_v6(fixture::state(TcpState::Close, TcpState::Listen));
        assert_eq!(sent("v6", false, &event)["OBJECT_IPV6_SOURCE_ADDRESS"], "2001:db8::1");
        let fields = sent("unknown", false, &fixture::unknown(event));
        assert_eq!(fields["MESSAGE"], "- - - → - - CLOSE → LISTEN");
        assert!(
            !fields
                .keys()
                .any(|name| name.contains("ADDRESS") || name.contains("PID") || name.contains("SPAN"))
        );
    }

    #[test]
    fn a_name_full_of_controls_is_harmless_in_an_entry() {
        let mut event = fixture::state(TcpState::SynSent, TcpState::Established);
        event.process = Some(fixture::process_of_bytes(1, b"\x1b[2J\nPRI=0\xff"));
        let fields = sent("controls", false, &event);
        assert_eq!(fields["OBJECT_COMM"], "\\x1b[2J\\x0aPRI=0\\xff");
        assert!(fields["MESSAGE"].starts_with("\\x1b[2J\\x0aPRI=0\\xff 10.0.0.1"));
    }

    #[test]
    fn a_journal_that_does_not_read_costs_entries_and_no_time() {
        let listener = Listener::new("full");
        let mut journal = Journal::at(&listener.path).unwrap();
        let event = fixture::state(TcpState::SynSent, TcpState::Established);
        let row = Row { event: &event, name: "state_change", process: None, query: None };
        for _ in 0..20_000 {
            journal.send(&row);
        }
        let line = journal.losses().expect("a datagram socket takes no 20,000 entries");
        assert!(line.starts_with("lost ") && line.ends_with("the journal does not keep up"), "{line}");
        assert_eq!(journal.losses(), None);
    }
}
