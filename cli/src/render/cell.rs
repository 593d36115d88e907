//! The cells that columns are made of: each appends one value of a row, unpadded. Unknown is `-`.

use std::{net::IpAddr, time::Duration};

use agent_common::event::{Family, Process};

use super::Paper;
use crate::{escape, text, view::Row};

/// How a column gets its value.
pub type Cell = fn(&Row<'_>, &mut Paper<'_>);

/// What stands for "not known".
const UNKNOWN: &[u8] = b"-";

/// Appends the value where there is one.
pub fn or_dash<T>(value: Option<T>, paper: &mut Paper<'_>, write: impl FnOnce(T, &mut Vec<u8>)) {
    match value {
        Some(value) => write(value, paper.out),
        None => paper.out.extend_from_slice(UNKNOWN),
    }
}

/// TIME.
pub fn time(row: &Row<'_>, paper: &mut Paper<'_>) {
    paper.clock.time(row.event.wall_ns, paper.out);
}

/// TIME(s) with `DECIMALS` decimals.
pub fn seconds<const DECIMALS: u32>(row: &Row<'_>, paper: &mut Paper<'_>) {
    let ns = paper.clock.since_first(row.event.boot_ns);
    // bcc divides what it stored in microseconds and rounds; so do we.
    let us = ns.unsigned_abs() / 1_000;
    let unit = 10u64.pow(6 - DECIMALS);
    if ns < 0 {
        paper.out.push(b'-');
    }
    text::decimal((us + unit / 2) / unit, DECIMALS, paper.out);
}

/// TIME(ns).
pub fn nanoseconds(row: &Row<'_>, paper: &mut Paper<'_>) {
    let ns = paper.clock.since_first(row.event.boot_ns);
    text::number(ns, paper.out);
}

/// PID.
pub fn pid(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.process(), paper, |process, out| text::number(process.pid, out));
}

/// COMM, cut after `MOST` characters.
pub fn comm<const MOST: usize>(row: &Row<'_>, paper: &mut Paper<'_>) {
    let process = row.process();
    if paper.csv {
        return or_dash(process, paper, |process: Process, out| escape::csv(process.comm.bytes(), out));
    }
    or_dash(process, paper, |process, out| escape::terminal(process.comm.bytes(), MOST, out));
}

/// UID.
pub fn uid(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.process(), paper, |process, out| text::number(process.uid, out));
}

/// IP: 4 or 6.
pub fn family(row: &Row<'_>, paper: &mut Paper<'_>) {
    paper.out.push(match row.event.family {
        Family::V4 => b'4',
        Family::V6 => b'6',
    });
}

/// LADDR or SADDR.
pub fn local_address(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.local, paper, text::address);
}

/// LPORT or SPORT.
pub fn local_port(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.local_port, paper, text::number);
}

/// RADDR or DADDR.
pub fn remote_address(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.remote, paper, |remote, out| text::address(remote.ip(), out));
}

/// RPORT or DPORT.
pub fn remote_port(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.remote, paper, |remote, out| text::number(remote.port(), out));
}

/// An address as tcptracer prints it in tables: IPv6 in brackets.
pub fn bracketed(address: Option<IpAddr>, paper: &mut Paper<'_>) {
    let csv = paper.csv;
    or_dash(address, paper, |ip, out| match ip {
        _ if csv || ip.is_ipv4() => text::address(ip, out),
        _ => {
            out.push(b'[');
            text::address(ip, out);
            out.push(b']');
        }
    });
}

/// LADDR:LPORT.
pub fn local_end(row: &Row<'_>, paper: &mut Paper<'_>) {
    end_point(row.event.local, row.event.local_port, paper);
}

/// RADDR:RPORT.
pub fn remote_end(row: &Row<'_>, paper: &mut Paper<'_>) {
    let remote = row.event.remote;
    end_point(remote.map(|remote| remote.ip()), remote.map(|remote| remote.port()), paper);
}

/// Both joined, without brackets, as bcc does where it joins them.
fn end_point(address: Option<IpAddr>, port: Option<u16>, paper: &mut Paper<'_>) {
    or_dash(address, paper, text::address);
    paper.out.push(b':');
    or_dash(port, paper, text::number);
}

/// STATE: the one that the socket is in.
pub fn state_now(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.state, paper, |state, out| out.extend_from_slice(state.new.name().as_bytes()));
}

/// NETNS: the inode.
pub fn netns(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.netns, paper, text::number);
}

/// CGROUP: the v2 id.
pub fn cgroup(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.cgroup_id, paper, text::number);
}

/// SYNs sent again.
pub fn syn_retransmits(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.syn_retransmits, paper, text::number);
}

/// Why a connect failed.
pub fn cause(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.failure, paper, |failure, out| {
        out.extend_from_slice(super::word::cause(failure.cause).as_bytes());
    });
}

/// The errno that the application got, by name.
pub fn errno(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.failure.and_then(|failure| failure.errno), paper, errno_name);
}

/// Appends `ECONNREFUSED`, or the number of an errno that has no name here.
pub fn errno_name(errno: u32, out: &mut Vec<u8>) {
    match super::word::errno(errno) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => text::number(errno, out),
    }
}

/// From connect() to the failure, in milliseconds with two decimals.
pub fn failed_after(row: &Row<'_>, paper: &mut Paper<'_>) {
    or_dash(row.event.failure.and_then(|failure| failure.elapsed), paper, milliseconds::<2>);
}

/// Appends a duration in milliseconds with `DECIMALS` (up to 3) decimals, from whole microseconds as bcc's.
pub fn milliseconds<const DECIMALS: u32>(duration: Duration, out: &mut Vec<u8>) {
    let us = text::nanoseconds(duration) / 1_000;
    let unit = 10u64.pow(3 - DECIMALS);
    text::decimal((us + unit / 2) / unit, DECIMALS, out);
}

/// QUERY: the destination's name.
pub fn query(row: &Row<'_>, paper: &mut Paper<'_>) {
    let Some(query) = row.query else {
        return paper.out.extend_from_slice(UNKNOWN);
    };
    if paper.csv { escape::csv(query, paper.out) } else { escape::terminal(query, 253, paper.out) }
}

/// Nothing: the space that bcc leaves where a column could be.
pub fn nothing(_: &Row<'_>, _: &mut Paper<'_>) {}
