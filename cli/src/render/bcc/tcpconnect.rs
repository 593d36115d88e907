//! tcpconnect: `[TIME(s)] [UID] PID COMM IP SADDR [LPORT] DADDR [SPORT] DPORT [QUERY]`.

use super::{Form, cell, place, time_of_day, timestamp};
use crate::{
    render::{Paper, column::Column},
    text,
    view::Row,
};

pub(super) fn columns(form: Form<'_>) -> Vec<Column> {
    let options = form.options;
    let address = if form.wide() { 39 } else { 16 };
    let mut columns = Vec::new();
    columns.extend(time_of_day(form, 1));
    columns.extend(timestamp(form, cell::seconds::<3>));
    if options.uid || form.wide() {
        columns.push(Column::new("UID", 6, cell::uid).close());
    }
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
    if options.sport {
        columns.push(Column::new("SPORT", 5, cell::local_port));
    }
    columns.push(Column::new("DPORT", 6, cell::remote_port));
    if options.failed {
        columns.extend([
            Column::new("CAUSE", 16, cell::cause),
            Column::new("ERRNO", 13, cell::errno),
            Column::new("SYNS", 4, syns_sent).right(),
            Column::new("MS", 9, cell::failed_after).right(),
        ]);
    }
    if form.wide() {
        columns.extend(place());
    }
    if options.dns {
        columns.push(Column::new("QUERY", 0, cell::query));
    } else if !(form.csv() || form.wide() || options.failed) {
        // bcc prints the empty QUERY with the space before it.
        columns.push(Column::new("", 0, cell::nothing).table_only());
    }
    columns
}

fn syns_sent(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.failure.and_then(|failure| failure.syns_sent), paper, text::number);
}
