//! tcpretrans's `-c`: how many segments each connection sent again, printed at the end.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use super::{Render, counts::or_dash};
use crate::{args::Format, text, view::Row};

/// Connections that are told apart; the segments of all others are one number.
const CONNECTIONS: usize = 65_536;

/// A connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    local: Option<IpAddr>,
    local_port: Option<u16>,
    remote: Option<SocketAddr>,
}

/// The counts.
pub struct Retransmits {
    format: Format,
    bold: bool,
    counts: HashMap<Key, u64>,
    beyond: u64,
}

impl Retransmits {
    /// Nothing counted yet.
    pub fn new(format: Format, bold: bool) -> Self {
        Self { format, bold, counts: HashMap::new(), beyond: 0 }
    }

    /// IPv4 first and the largest count last, as bcc; equal ones in the order of their addresses.
    fn sorted(&self) -> Vec<(Key, u64)> {
        let mut counts: Vec<(Key, u64)> = self.counts.iter().map(|(key, count)| (*key, *count)).collect();
        counts.sort_by_key(|(key, count)| (key.remote.is_some_and(|remote| remote.is_ipv6()), *count, *key));
        counts
    }

    fn title(&self, out: &mut Vec<u8>) {
        if self.format == Format::Csv {
            return out.extend_from_slice(b"LADDR,LPORT,RADDR,RPORT,RETRANSMITS\n");
        }
        let (on, off) = if self.bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let title = format!("\n{on}{:<25} {:<25} {:<10}{off}\n", "LADDR:LPORT", "RADDR:RPORT", "RETRANSMITS");
        out.extend_from_slice(title.as_bytes());
    }

    fn line(key: Key, count: u64, out: &mut Vec<u8>) {
        end_point(key.local, key.local_port, out);
        out.extend_from_slice(b" <-> ");
        end_point(key.remote.map(|remote| remote.ip()), key.remote.map(|remote| remote.port()), out);
        out.extend_from_slice(format!(" {count:>10}\n").as_bytes());
    }

    fn csv(key: Key, count: u64, out: &mut Vec<u8>) {
        or_dash(key.local, out, text::address);
        out.push(b',');
        or_dash(key.local_port, out, text::number);
        out.push(b',');
        or_dash(key.remote.map(|remote| remote.ip()), out, text::address);
        out.push(b',');
        or_dash(key.remote.map(|remote| remote.port()), out, text::number);
        out.extend_from_slice(format!(",{count}\n").as_bytes());
    }

    fn json(key: Key, count: u64, out: &mut Vec<u8>) {
        let end = |address: Option<IpAddr>, port: Option<u16>| serde_json::json!({ "address": address.map(|address| address.to_string()), "port": port });
        let local = end(key.local, key.local_port);
        let remote = end(key.remote.map(|remote| remote.ip()), key.remote.map(|remote| remote.port()));
        // Written piece by piece: the order of the keys is part of the schema.
        let line = format!(
            "{{\"tool\":\"tcpretrans\",\"event\":\"count\",\"local\":{local},\"remote\":{remote},\"segments\":{count}}}\n"
        );
        out.extend_from_slice(line.as_bytes());
    }
}

impl Render for Retransmits {
    fn row(&mut self, row: &Row<'_>, _: &mut Vec<u8>) {
        // What could not be sent was not sent again.
        let Some(again) = row.event.retransmit.filter(|again| again.error.is_none()) else { return };
        let key = Key { local: row.event.local, local_port: row.event.local_port, remote: row.event.remote };
        let segments = u64::from(again.segments);
        if self.counts.len() >= CONNECTIONS && !self.counts.contains_key(&key) {
            self.beyond += segments;
        } else {
            *self.counts.entry(key).or_default() += segments;
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.format != Format::Json {
            self.title(out);
        }
        let beyond = (self.beyond > 0).then_some((Key::default(), self.beyond));
        for (key, count) in self.sorted().into_iter().chain(beyond) {
            match self.format {
                Format::Json => Self::json(key, count, out),
                Format::Csv => Self::csv(key, count, out),
                Format::Table | Format::Wide => Self::line(key, count, out),
            }
        }
    }
}

/// `[address]#port`, as bcc has it here.
fn end_point(address: Option<IpAddr>, port: Option<u16>, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'[');
    or_dash(address, out, text::address);
    out.extend_from_slice(b"]#");
    or_dash(port, out, text::number);
    text::pad(start, 20, false, out);
}

#[cfg(test)]
mod tests {
    use super::{Render as _, Retransmits};
    use crate::{args::Format, fixture, view};

    fn counted(format: Format) -> String {
        let mut counts = Retransmits::new(format, false);
        let mut out = Vec::new();
        let web = fixture::retransmit();
        let mut db = web;
        db.remote = Some("10.0.0.3:5432".parse().unwrap());
        let mut failed = web;
        failed.retransmit.as_mut().unwrap().error = Some(16);
        for event in [web, db, web, failed, fixture::over_v6(web)] {
            let row = view::Row { event: &event, name: "retransmit", process: None, query: None };
            counts.row(&row, &mut out);
        }
        assert!(out.is_empty(), "nothing before the end");
        counts.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_is_bccs_and_counts_segments() {
        assert_eq!(
            counted(Format::Table),
            "
LADDR:LPORT               RADDR:RPORT               RETRANSMITS
[10.0.0.1]#45678     <-> [10.0.0.3]#5432               3
[10.0.0.1]#45678     <-> [10.0.0.2]#443                6
[2001:db8::1]#45678  <-> [2001:db8::2]#443             3
"
        );
    }

    #[test]
    fn csv_and_json_say_the_same() {
        assert_eq!(counted(Format::Csv).lines().nth(2), Some("10.0.0.1,45678,10.0.0.2,443,6"));
        assert_eq!(
            counted(Format::Json).lines().nth(1),
            Some(
                "{\"tool\":\"tcpretrans\",\"event\":\"count\",\"local\":{\"address\":\"10.0.0.1\",\"port\":45678},\
                 \"remote\":{\"address\":\"10.0.0.2\",\"port\":443},\"segments\":6}"
            )
        );
    }
}
