//! `sockets`: a row a socket.

use proto::v1::{Event, SocketEntry};

use super::{
    columns::{self, Column},
    json,
    words::{self, duration, end_point, quote, say, size, span},
};
use crate::{
    args::{SocketsFormat, name::Named as _},
    render::object::{Object, null},
    text,
};

/// Writes sockets.
pub struct Sockets {
    format: SocketsFormat,
    states: Vec<i32>,
    bold: bool,
}

const TABLE: &[Column] = &[
    Column::cut("POD", 22),
    Column::new("STATE", 11),
    Column::new("LOCAL", 18),
    Column::new("REMOTE", 18),
    Column::new("AGE", 0),
];

const WIDE: &[Column] = &[
    Column::new("NODE", 12),
    Column::new("NAMESPACE", 12),
    Column::new("POD", 28),
    Column::new("CONTAINER", 12),
    Column::right("PID", 7),
    Column::new("COMM", 15),
    Column::new("STATE", 11),
    Column::new("LOCAL", 21),
    Column::new("REMOTE", 21),
    Column::right("AGE", 8),
    Column::right("TX", 9),
    Column::right("RX", 9),
    Column::right("RTT", 8),
    Column::right("UNREAD", 8),
    Column::right("UNSENT", 8),
    Column::new("QUEUE", 0),
];

impl Sockets {
    /// For these states; empty = all.
    pub const fn new(format: SocketsFormat, states: Vec<i32>, bold: bool) -> Self {
        Self { format, states, bold }
    }

    /// What comes first.
    pub fn header(&self, out: &mut Vec<u8>) {
        match self.format {
            SocketsFormat::Table => columns::header(TABLE, self.bold, out),
            SocketsFormat::Wide => columns::header(WIDE, self.bold, out),
            SocketsFormat::Json => {}
        }
    }

    /// The sockets of a node.
    pub fn node(&mut self, node: &str, sockets: &[SocketEntry], out: &mut Vec<u8>) {
        for entry in sockets {
            let state = entry.socket.as_ref().map_or(0, |socket| socket.state);
            if !self.states.is_empty() && !self.states.contains(&state) {
                continue;
            }
            match self.format {
                SocketsFormat::Table => {
                    const CELLS: [Cell; 5] = [Cell::Who, Cell::State, Cell::Local, Cell::Remote, Cell::Age];
                    columns::row(TABLE, out, |index, out| cell(CELLS[index], node, entry, out));
                }
                SocketsFormat::Wide => {
                    columns::row(WIDE, out, |index, out| cell(WIDE_CELLS[index], node, entry, out));
                }
                SocketsFormat::Json => object(node, entry, out),
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Cell {
    Who,
    State,
    Local,
    Remote,
    Age,
    Node,
    Namespace,
    Pod,
    Container,
    Pid,
    Comm,
    Sent,
    Received,
    Rtt,
    Unread,
    Unsent,
    Queue,
}

const WIDE_CELLS: [Cell; 16] = [
    Cell::Node,
    Cell::Namespace,
    Cell::Pod,
    Cell::Container,
    Cell::Pid,
    Cell::Comm,
    Cell::State,
    Cell::Local,
    Cell::Remote,
    Cell::Age,
    Cell::Sent,
    Cell::Received,
    Cell::Rtt,
    Cell::Unread,
    Cell::Unsent,
    Cell::Queue,
];

fn cell(cell: Cell, node: &str, entry: &SocketEntry, out: &mut Vec<u8>) {
    let socket = entry.socket.as_ref();
    let identity = entry.local.as_ref();
    let counters = entry.counters.as_ref();
    let bytes = |bytes: Option<u64>, out: &mut Vec<u8>| {
        if let Some(bytes) = bytes {
            size(bytes, out);
        }
    };
    match cell {
        // Whose it is, is told as of an event.
        Cell::Who => words::who(
            &Event { local: entry.local.clone(), process: entry.process.clone(), ..Event::default() },
            out,
        ),
        Cell::State => {
            if let Some(socket) = socket.filter(|socket| socket.state != 0) {
                say(socket.state().short(), out);
            }
        }
        Cell::Local => end_point(socket.and_then(|socket| socket.local.as_ref()), out),
        Cell::Remote => end_point(socket.and_then(|socket| socket.remote.as_ref()), out),
        Cell::Age => {
            if let Some(age) = duration(entry.age.as_ref()) {
                span(age, out);
            }
        }
        Cell::Node => quote(node, out),
        Cell::Namespace => quote(identity.map_or("", |identity| &identity.namespace), out),
        Cell::Pod => match identity {
            Some(identity) if identity.pod.is_empty() && identity.host => say("host", out),
            Some(identity) if identity.pod.is_empty() => quote(&identity.pod_uid, out),
            Some(identity) => quote(&identity.pod, out),
            None => {}
        },
        Cell::Container => quote(identity.map_or("", |identity| &identity.container), out),
        Cell::Pid => {
            if let Some(process) = &entry.process {
                text::number(process.pid, out);
            }
        }
        Cell::Comm => quote(entry.process.as_ref().map_or("", |process| &process.comm), out),
        Cell::Sent => bytes(counters.and_then(|counters| counters.bytes_sent), out),
        Cell::Received => bytes(counters.and_then(|counters| counters.bytes_received), out),
        Cell::Rtt => {
            if let Some(rtt) = counters.and_then(|counters| duration(counters.srtt.as_ref())) {
                span(rtt, out);
            }
        }
        Cell::Unread => bytes(counters.and_then(|counters| counters.unread_bytes), out),
        Cell::Unsent => bytes(counters.and_then(|counters| counters.unsent_bytes), out),
        Cell::Queue => {
            if let (Some(length), Some(limit)) = (entry.accept_queue_length, entry.accept_queue_limit) {
                text::number(length, out);
                say("/", out);
                text::number(limit, out);
            }
        }
    }
}

fn object(node: &str, entry: &SocketEntry, out: &mut Vec<u8>) {
    let socket = entry.socket.as_ref();
    let mut object = Object::begin(out);
    object.name("node", node);
    object.optional("cookie", socket.and_then(|socket| socket.cookie), text::number);
    object.optional("netns", socket.and_then(|socket| socket.netns), text::number);
    object.optional("cgroup_id", socket.and_then(|socket| socket.cgroup_id), text::number);
    json::whose(entry.local.as_ref(), &mut object);
    object
        .name("state", socket.filter(|socket| socket.state != 0).map_or("", |socket| socket.state().short()));
    object.word("role", &socket.map_or_else(|| "unknown".to_owned(), |socket| json::word(socket.role())));
    object.key("local");
    json::end_point(socket.and_then(|socket| socket.local.as_ref()), object.out);
    object.key("remote");
    match socket.and_then(|socket| socket.remote.as_ref()) {
        Some(remote) => json::end_point(Some(remote), object.out),
        None => null(object.out),
    }
    match &entry.process {
        None => object.optional("process", None::<()>, |(), _| {}),
        Some(process) => {
            let mut inner = object.object("process");
            inner.number("pid", process.pid);
            inner.number("uid", process.uid);
            inner.string("comm", &process.comm);
            inner.end();
        }
    }
    object.duration("age_ns", duration(entry.age.as_ref()));
    json::counted(entry.counters.as_ref(), &mut object);
    object.optional("queue", entry.accept_queue_length, text::number);
    object.optional("limit", entry.accept_queue_limit, text::number);
    object.end();
    out.push(b'\n');
}
