//! tcpconnect's `-c`: how many connects per source address and destination, printed at the end.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use super::Render;
use crate::{args::Format, text, view::Row};

/// Destinations that are told apart; the connects to all others are one number.
const DESTINATIONS: usize = 65_536;

/// What connects are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    remote: Option<SocketAddr>,
    local: Option<IpAddr>,
    /// Only with `-s`.
    local_port: Option<u16>,
}

/// The counts.
pub struct Counts {
    format: Format,
    by_local_port: bool,
    bold: bool,
    counts: HashMap<Key, u64>,
    beyond: u64,
}

impl Counts {
    /// Nothing counted yet.
    pub fn new(format: Format, by_local_port: bool, bold: bool) -> Self {
        Self { format, by_local_port, bold, counts: HashMap::new(), beyond: 0 }
    }

    /// IPv4 first and the largest count first, as bcc; equal ones in the order of their addresses.
    fn sorted(&self) -> Vec<(Key, u64)> {
        let mut counts: Vec<(Key, u64)> = self.counts.iter().map(|(key, count)| (*key, *count)).collect();
        counts.sort_by_key(|(key, count)| {
            let v6 = key.remote.is_some_and(|remote| remote.is_ipv6());
            (v6, std::cmp::Reverse(*count), *key)
        });
        counts
    }

    fn title(&self, out: &mut Vec<u8>) {
        let csv = self.format == Format::Csv;
        if !csv {
            out.push(b'\n');
        }
        if self.bold {
            out.extend_from_slice(b"\x1b[1m");
        }
        self.fields(csv, out, |field, out| out.extend_from_slice(field.header().as_bytes()));
        if self.bold {
            out.extend_from_slice(b"\x1b[0m");
        }
        out.push(b'\n');
    }

    fn line(&self, key: Key, count: u64, out: &mut Vec<u8>) {
        self.fields(self.format == Format::Csv, out, |field, out| match field {
            Field::Local => or_dash(key.local, out, text::address),
            Field::Remote => or_dash(key.remote.map(|remote| remote.ip()), out, text::address),
            Field::LocalPort => or_dash(key.local_port, out, text::number),
            Field::RemotePort => or_dash(key.remote.map(|remote| remote.port()), out, text::number),
            Field::Connects => text::number(count, out),
        });
        out.push(b'\n');
    }

    fn fields(&self, csv: bool, out: &mut Vec<u8>, mut write: impl FnMut(Field, &mut Vec<u8>)) {
        let all = [Field::Local, Field::Remote, Field::LocalPort, Field::RemotePort, Field::Connects];
        let shown = all.into_iter().filter(|field| *field != Field::LocalPort || self.by_local_port);
        for (index, field) in shown.enumerate() {
            if index > 0 {
                out.push(if csv { b',' } else { b' ' });
            }
            let start = out.len();
            write(field, out);
            if !csv {
                text::pad(start, field.width(), false, out);
            }
        }
    }

    fn json(&self, key: Key, count: u64, out: &mut Vec<u8>) {
        let end = |address: Option<IpAddr>, port: Option<u16>| {
            let address = address.map(|address| address.to_string());
            serde_json::json!({ "address": address, "port": port })
        };
        let local = match self.by_local_port {
            true => end(key.local, key.local_port),
            false => serde_json::json!({ "address": key.local.map(|address| address.to_string()) }),
        };
        let remote = key.remote.map(|remote| end(Some(remote.ip()), Some(remote.port())));
        // Written piece by piece: the order of the keys is part of the schema.
        let line = format!(
            "{{\"tool\":\"tcpconnect\",\"event\":\"count\",\"local\":{local},\"remote\":{},\"connects\":{count}}}\n",
            remote.unwrap_or_default()
        );
        out.extend_from_slice(line.as_bytes());
    }
}

impl Render for Counts {
    fn row(&mut self, row: &Row<'_>, _: &mut Vec<u8>) {
        let key = Key {
            remote: row.event.remote,
            local: row.event.local,
            local_port: row.event.local_port.filter(|_| self.by_local_port),
        };
        if self.counts.len() >= DESTINATIONS && !self.counts.contains_key(&key) {
            self.beyond += 1;
        } else {
            *self.counts.entry(key).or_default() += 1;
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.format != Format::Json {
            self.title(out);
        }
        let others = Key { remote: None, local: None, local_port: None };
        let beyond = (self.beyond > 0).then_some((others, self.beyond));
        for (key, count) in self.sorted().into_iter().chain(beyond) {
            match self.format {
                Format::Json => self.json(key, count, out),
                Format::Table | Format::Wide | Format::Csv => self.line(key, count, out),
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Local,
    Remote,
    LocalPort,
    RemotePort,
    Connects,
}

impl Field {
    const fn header(self) -> &'static str {
        match self {
            Self::Local => "LADDR",
            Self::Remote => "RADDR",
            Self::LocalPort => "LPORT",
            Self::RemotePort => "RPORT",
            Self::Connects => "CONNECTS",
        }
    }

    const fn width(self) -> usize {
        match self {
            Self::Local | Self::Remote => 25,
            Self::LocalPort | Self::RemotePort => 20,
            Self::Connects => 10,
        }
    }
}

/// Appends the value where there is one.
pub(super) fn or_dash<T>(value: Option<T>, out: &mut Vec<u8>, write: impl FnOnce(T, &mut Vec<u8>)) {
    match value {
        Some(value) => write(value, out),
        None => out.push(b'-'),
    }
}

#[cfg(test)]
mod tests {
    use agent_common::event::EventKind;

    use super::{Counts, Render as _};
    use crate::{args::Format, fixture, view};

    fn counted(format: Format, by_local_port: bool) -> String {
        let mut counts = Counts::new(format, by_local_port, false);
        let mut out = Vec::new();
        let web = fixture::event(&[EventKind::Connect]);
        let mut db = web;
        db.remote = Some("10.0.0.3:5432".parse().unwrap());
        for event in [web, db, web, fixture::over_v6(web), fixture::over_v6(web), fixture::over_v6(web)] {
            counts.row(&view::Row { event: &event, name: "connect", process: None, query: None }, &mut out);
        }
        assert!(out.is_empty(), "nothing before the end");
        counts.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_is_bccs_ipv4_first_the_most_first() {
        assert_eq!(
            counted(Format::Table, false),
            "
LADDR                     RADDR                     RPORT                CONNECTS  
10.0.0.1                  10.0.0.2                  443                  2         
10.0.0.1                  10.0.0.3                  5432                 1         
2001:db8::1               2001:db8::2               443                  3         
"
        );
    }

    #[test]
    fn with_s_the_local_port_tells_connects_apart_too() {
        assert_eq!(
            counted(Format::Table, true).lines().nth(2),
            Some(
                "10.0.0.1                  10.0.0.2                  45678                443                  2         "
            )
        );
    }

    #[test]
    fn csv_and_json_say_the_same() {
        assert_eq!(
            counted(Format::Csv, false),
            "LADDR,RADDR,RPORT,CONNECTS
10.0.0.1,10.0.0.2,443,2
10.0.0.1,10.0.0.3,5432,1
2001:db8::1,2001:db8::2,443,3
"
        );
        assert_eq!(
            counted(Format::Json, true).lines().next(),
            Some(
                "{\"tool\":\"tcpconnect\",\"event\":\"count\",\"local\":{\"address\":\"10.0.0.1\",\"port\":45678},\
                 \"remote\":{\"address\":\"10.0.0.2\",\"port\":443},\"connects\":2}"
            )
        );
    }
}
