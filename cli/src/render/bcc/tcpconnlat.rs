//! tcpconnlat: `[TIME(s)] PID COMM IP SADDR [LPORT] DADDR DPORT LAT(ms)`; with `--failed` also RESULT.

use super::{Form, cell, place, time_of_day, timestamp};
use crate::{
    render::{Paper, column::Column},
    view::{Row, connect_latency},
};

pub(super) fn columns(form: Form<'_>) -> Vec<Column> {
    let options = form.options;
    let address = if form.wide() { 39 } else { 16 };
    let mut columns = Vec::new();
    columns.extend(time_of_day(form, 1));
    columns.extend(timestamp(form, cell::seconds::<3>));
    columns.extend([
        Column::new("PID", 7, cell::pid).close(),
        Column::new("COMM", 12, cell::comm::<12>),
        Column::new("IP", 2, cell::family),
        Column::new("SADDR", address, cell::local_address),
    ]);
    if options.lport || form.wide() {
        columns.push(Column::new("LPORT", 6, cell::local_port));
    }
    columns.push(Column::new("DADDR", address, cell::remote_address));
    columns.push(Column::new("DPORT", 5, cell::remote_port));
    let more = options.failed || form.wide();
    columns.push(Column::new("LAT(ms)", if more { 10 } else { 0 }, latency));
    if more {
        columns.push(Column::new("RESULT", if form.wide() { 16 } else { 0 }, result));
    }
    if form.wide() {
        columns.push(Column::new("SYN_RT", 6, cell::syn_retransmits));
        columns.push(Column::new("UID", 6, cell::uid));
        columns.extend(place());
    }
    columns
}

fn latency(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(connect_latency(row.event), paper, cell::milliseconds::<2>);
}

fn result(row: &Row<'_>, paper: &mut Paper<'_>) {
    match row.event.failure {
        None => paper.out.extend_from_slice(b"connected"),
        Some(_) => cell::cause(row, paper),
    }
}
