//! tcpaccept: `[TIME] [TIME(s)] PID COMM IP RADDR RPORT LADDR LPORT`.

use super::{Form, cell, place, time_of_day, timestamp};
use crate::{
    render::{Paper, column::Column},
    text,
    view::Row,
};

pub(super) fn columns(form: Form<'_>) -> Vec<Column> {
    let address = if form.wide() { 39 } else { 16 };
    let mut columns = Vec::new();
    columns.extend(time_of_day(form, 1));
    columns.extend(timestamp(form, cell::seconds::<3>));
    columns.extend([
        Column::new("PID", 7, cell::pid).close(),
        Column::new("COMM", 12, cell::comm::<12>),
        Column::new("IP", 2, cell::family),
        Column::new("RADDR", address, cell::remote_address),
        Column::new("RPORT", 5, cell::remote_port),
        Column::new("LADDR", address, cell::local_address),
        Column::new("LPORT", 5, cell::local_port),
    ]);
    if form.wide() {
        columns.push(Column::new("QUEUE", 5, queue).right());
        columns.push(Column::new("LIMIT", 5, limit).right());
        columns.push(Column::new("UID", 6, cell::uid));
        columns.extend(place());
    }
    columns
}

fn queue(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.backlog, paper, |(queue, _), out| text::number(queue, out));
}

fn limit(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.backlog, paper, |(_, limit), out| text::number(limit, out));
}
