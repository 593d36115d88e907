//! tcptracer: `[TIME(s)] T [UID] PID COMM IP SADDR DADDR SPORT DPORT`; `-v`: words, nanoseconds, NETNS.

use super::{Form, cell, place, time_of_day, timestamp};
use crate::{
    render::{Paper, column::Column},
    view::Row,
};

pub(super) fn columns(form: Form<'_>) -> Vec<Column> {
    let options = form.options;
    // 41: IPv6 addresses are in brackets.
    let address = if form.wide() { 41 } else { 16 };
    let mut columns = Vec::new();
    columns.extend(time_of_day(form, 1));
    if options.verbose {
        let nanoseconds = Column::new("TIME(ns)", 14, cell::nanoseconds).close();
        columns.extend(options.timestamp.then_some(nanoseconds));
    } else {
        columns.extend(timestamp(form, cell::seconds::<3>));
    }
    // The C tool has the UID before the type, as the Python tools have it before the pid.
    if options.uid || form.wide() {
        columns.push(Column::new("UID", 6, cell::uid).close());
    }
    columns.push(if options.verbose {
        Column::new("TYPE", 12, word).close()
    } else {
        Column::new("T", 2, letter).close()
    });
    columns.extend([
        Column::new("PID", 6, cell::pid),
        Column::new("COMM", 16, cell::comm::<16>),
        Column::new("IP", 2, cell::family),
        Column::new("SADDR", address, |row, paper| cell::bracketed(row.event.local, paper)),
        Column::new("DADDR", address, |row, paper| {
            cell::bracketed(row.event.remote.map(|remote| remote.ip()), paper);
        }),
        Column::new("SPORT", 6, cell::local_port),
        Column::new("DPORT", 6, cell::remote_port),
    ]);
    if form.wide() {
        columns.extend(place());
    } else if options.verbose && !options.one_netns {
        columns.push(Column::new("NETNS", 8, cell::netns));
    } else if options.verbose {
        // With one namespace bcc leaves the column out, but not the space before it in the header.
        columns.push(Column::new(" ", 0, cell::nothing).close().table_only());
    }
    columns
}

fn word(row: &Row<'_>, paper: &mut Paper<'_>) {
    paper.out.extend_from_slice(row.name.as_bytes());
}

fn letter(row: &Row<'_>, paper: &mut Paper<'_>) {
    paper.out.push(match row.name {
        "connect" => b'C',
        "accept" => b'A',
        "close" => b'X',
        _ => b'U',
    });
}
