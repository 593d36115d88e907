//! tcpreset: `TIME PID COMM IP WHAT LADDR:LPORT RADDR:RPORT STATE REASON`, in the manner of bcc's tools.

use super::{Form, cell, place, time_of_day, timestamp};
use crate::{
    render::{Paper, column::Column},
    view::Row,
};

pub(super) fn columns(form: Form<'_>) -> Vec<Column> {
    let end = if form.wide() { 45 } else { 20 };
    let mut columns = Vec::new();
    columns.extend(time_of_day(form, 0));
    columns.extend(timestamp(form, cell::seconds::<3>));
    columns.extend([
        Column::new("PID", 7, cell::pid),
        Column::new("COMM", 12, cell::comm::<12>),
        Column::new("IP", 2, cell::family),
        Column::new("WHAT", 5, what),
        Column::new("LADDR:LPORT", end, cell::local_end),
        Column::new("RADDR:RPORT", end, cell::remote_end),
        Column::new("STATE", 11, cell::state_now),
        Column::new("REASON", 20, reason),
    ]);
    if form.wide() {
        columns.push(Column::new("UID", 6, cell::uid));
        columns.extend(place());
    }
    columns
}

/// Sent, received, or an error: of the whole connection, or one that it survives.
fn what(row: &Row<'_>, paper: &mut Paper<'_>) {
    let word = match (row.event.reset, row.event.error) {
        (Some(reset), _) => {
            if reset.sent {
                "sent"
            } else {
                "recv"
            }
        }
        (None, Some(error)) => {
            if error.soft {
                "soft"
            } else {
                "error"
            }
        }
        (None, None) => "-",
    };
    paper.out.extend_from_slice(word.as_bytes());
}

fn reason(row: &Row<'_>, paper: &mut Paper<'_>) {
    match row.event.error {
        Some(error) => cell::or_dash(error.errno, paper, cell::errno_name),
        None => cell::or_dash(row.event.reset.and_then(|reset| reset.reason), paper, |reason, out| {
            out.extend_from_slice(reason.as_bytes());
        }),
    }
}
