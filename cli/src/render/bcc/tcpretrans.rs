//! tcpretrans: `TIME PID IP LADDR:LPORT T> RADDR:RPORT STATE [SEQ]`.

use agent_common::event::RetransmitType;

use super::{Form, cell, place, time_of_day, timestamp};
use crate::{
    render::{Paper, column::Column, word},
    text,
    view::Row,
};

pub(super) fn columns(form: Form<'_>) -> Vec<Column> {
    let end = if form.wide() { 45 } else { 20 };
    let kind = if form.options.loss_probe { marked } else { sent_again };
    let mut columns = Vec::new();
    columns.extend(time_of_day(form, 0));
    columns.extend(timestamp(form, cell::seconds::<3>));
    columns.push(Column::new("PID", 7, cell::pid));
    if form.wide() {
        columns.push(Column::new("COMM", 15, cell::comm::<15>));
    }
    columns.extend([
        Column::new("IP", 2, cell::family),
        Column::new("LADDR:LPORT", end, cell::local_end),
        Column::new("T", 1, kind),
        Column::new(">", 1, arrow).close().table_only(),
        Column::new("RADDR:RPORT", end, cell::remote_end),
    ]);
    let many = form.wide() || form.options.sequence;
    columns.push(Column::new("STATE", if many { 12 } else { 4 }, cell::state_now));
    if many {
        columns.push(Column::new("SEQ", 10, sequence));
    }
    if form.wide() {
        columns.extend([
            Column::new("TYPE", 13, kind_word),
            Column::new("ATTEMPT", 7, attempt).right(),
            Column::new("SEGS", 4, segments).right(),
            Column::new("BYTES", 6, bytes).right(),
            Column::new("CONGESTION", 10, congestion),
            Column::new("ERROR", 12, error),
            Column::new("UID", 6, cell::uid),
        ]);
        columns.extend(place());
    }
    columns
}

fn sent_again(_: &Row<'_>, paper: &mut Paper<'_>) {
    paper.out.push(b'R');
}

fn marked(row: &Row<'_>, paper: &mut Paper<'_>) {
    let probe = row.event.retransmit.is_some_and(|again| again.kind == RetransmitType::Tlp);
    paper.out.push(if probe { b'L' } else { b'R' });
}

fn arrow(_: &Row<'_>, paper: &mut Paper<'_>) {
    paper.out.push(b'>');
}

fn sequence(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.retransmit.and_then(|again| again.sequence), paper, text::number);
}

fn kind_word(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.retransmit, paper, |again, out| {
        out.extend_from_slice(word::retransmit(again.kind).as_bytes());
    });
}

fn attempt(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.retransmit.and_then(|again| again.attempt), paper, text::number);
}

fn segments(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.retransmit.map(|again| again.segments), paper, text::number);
}

fn bytes(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.retransmit.map(|again| again.bytes), paper, text::number);
}

fn congestion(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.retransmit.and_then(|again| again.congestion), paper, |state, out| {
        out.extend_from_slice(word::congestion(state).as_bytes());
    });
}

fn error(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.retransmit.and_then(|again| again.error), paper, cell::errno_name);
}
