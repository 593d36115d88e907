//! tcpstates: `[TIME] [TIME(s)] SKADDR C-PID C-COMM [IP] LADDR LPORT RADDR RPORT OLDSTATE -> NEWSTATE MS`.
//!
//! SKADDR is the socket's cookie: kernel pointers do not leave, and a cookie is what `ss -e` shows.

use super::{Form, cell, place, time_of_day};
use crate::{
    render::{Paper, column::Column},
    text,
    view::Row,
};

pub(super) fn columns(form: Form<'_>) -> Vec<Column> {
    let wide = form.options.wide_addresses;
    let address = if wide { 39 } else { 15 };
    let mut columns = Vec::new();
    columns.extend(time_of_day(form, 0));
    // Unlike the other tools' times, these two are followed by a space of their own.
    columns.extend(form.options.timestamp.then(|| Column::new("TIME(s)", 9, cell::seconds::<6>)));
    columns.push(Column::new("SKADDR", 16, cookie));
    columns.push(Column::new("C-PID", 5, cell::pid));
    columns.push(if wide {
        Column::new("C-COMM", 16, cell::comm::<16>)
    } else {
        Column::new("C-COMM", 10, cell::comm::<10>)
    });
    if wide || form.csv() {
        columns.push(Column::new("IP", 2, cell::family));
    }
    columns.extend([
        Column::new("LADDR", address, cell::local_address),
        Column::new("LPORT", 5, cell::local_port),
        Column::new("RADDR", address, cell::remote_address),
        Column::new("RPORT", 5, cell::remote_port),
        Column::new("OLDSTATE", 11, old_state),
        Column::new("->", 2, arrow).table_only(),
        Column::new("NEWSTATE", 11, new_state),
    ]);
    if form.wide() {
        columns.push(Column::new("MS", 12, milliseconds));
        columns.push(Column::new("UID", 6, cell::uid));
        columns.extend(place());
    } else {
        columns.push(Column::new("MS", 0, milliseconds));
    }
    columns
}

fn cookie(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.cookie, paper, text::hexadecimal);
}

fn old_state(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.state, paper, |state, out| out.extend_from_slice(state.old.name().as_bytes()));
}

fn new_state(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.state, paper, |state, out| out.extend_from_slice(state.new.name().as_bytes()));
}

fn arrow(_: &Row<'_>, paper: &mut Paper<'_>) {
    paper.out.extend_from_slice(b"->");
}

fn milliseconds(row: &Row<'_>, paper: &mut Paper<'_>) {
    let in_old = row.event.state.and_then(|state| state.in_old);
    cell::or_dash(in_old, paper, cell::milliseconds::<3>);
}
