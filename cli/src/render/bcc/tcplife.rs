//! tcplife: `[TIME] [TIME(s)] PID COMM [IP] LADDR LPORT RADDR RPORT TX_KB RX_KB MS`.
//!
//! TX_KB and RX_KB are the kernel's `bytes_acked` and `bytes_received`, off by one or two bytes as in bcc
//! (they count SYN and FIN); the exact payload is in the JSON.

use agent_common::event::Counters;

use super::{Form, cell, place, time_of_day};
use crate::{
    render::{Paper, column::Column, word},
    text,
    view::Row,
};

pub(super) fn columns(form: Form<'_>) -> Vec<Column> {
    let wide = form.options.wide_addresses;
    let (address, kilobytes) = if wide { (39, 6) } else { (15, 5) };
    let mut columns = Vec::new();
    columns.extend(time_of_day(form, 0));
    // Unlike the other tools' times, these two are followed by a space of their own.
    columns.extend(form.options.timestamp.then(|| Column::new("TIME(s)", 9, cell::seconds::<6>)));
    columns.push(Column::new("PID", 5, cell::pid));
    columns.push(if wide {
        Column::new("COMM", 16, cell::comm::<16>)
    } else {
        Column::new("COMM", 10, cell::comm::<10>)
    });
    if wide || form.csv() {
        columns.push(Column::new("IP", 2, cell::family));
    }
    columns.extend([
        Column::new("LADDR", address, cell::local_address),
        Column::new("LPORT", 5, cell::local_port),
        Column::new("RADDR", address, cell::remote_address),
        Column::new("RPORT", 5, cell::remote_port),
        Column::new("TX_KB", kilobytes, transmitted).right(),
        Column::new("RX_KB", kilobytes, received).right(),
    ]);
    if form.wide() {
        columns.push(Column::new("MS", 12, milliseconds));
        columns.extend([
            Column::new("ROLE", 7, role),
            Column::new("SEGS_OUT", 8, segments_out).right(),
            Column::new("SEGS_IN", 8, segments_in).right(),
            Column::new("RETRANS", 7, retransmits).right(),
            Column::new("MINRTT_MS", 9, minimum_rtt).right(),
            Column::new("SRTT_MS", 9, smoothed_rtt).right(),
            Column::new("CLOSED", 7, initiator),
            Column::new("HOW", 12, how),
            Column::new("UID", 6, cell::uid),
        ]);
        columns.extend(place());
    } else {
        columns.push(Column::new("MS", 0, milliseconds));
    }
    columns
}

fn counter<T>(
    row: &Row<'_>,
    paper: &mut Paper<'_>,
    value: impl Fn(&Counters) -> Option<T>,
    write: fn(T, &mut Vec<u8>),
) {
    cell::or_dash(row.event.counters.as_ref().and_then(value), paper, write);
}

fn transmitted(row: &Row<'_>, paper: &mut Paper<'_>) {
    counter(row, paper, |counters| Some(counters.bytes_acked / 1024), text::number);
}

fn received(row: &Row<'_>, paper: &mut Paper<'_>) {
    counter(row, paper, |counters| Some(counters.bytes_received / 1024), text::number);
}

fn segments_out(row: &Row<'_>, paper: &mut Paper<'_>) {
    counter(row, paper, |counters| Some(counters.segs_out), text::number);
}

fn segments_in(row: &Row<'_>, paper: &mut Paper<'_>) {
    counter(row, paper, |counters| Some(counters.segs_in), text::number);
}

fn retransmits(row: &Row<'_>, paper: &mut Paper<'_>) {
    counter(row, paper, |counters| Some(counters.total_retrans), text::number);
}

fn minimum_rtt(row: &Row<'_>, paper: &mut Paper<'_>) {
    counter(row, paper, word::min_rtt_us, thousandths);
}

fn smoothed_rtt(row: &Row<'_>, paper: &mut Paper<'_>) {
    counter(row, paper, word::srtt_us, thousandths);
}

fn thousandths(us: u32, out: &mut Vec<u8>) {
    text::decimal(us.into(), 3, out);
}

fn milliseconds(row: &Row<'_>, paper: &mut Paper<'_>) {
    let duration = row.event.close.and_then(|close| close.duration);
    cell::or_dash(duration, paper, cell::milliseconds::<2>);
}

fn role(row: &Row<'_>, paper: &mut Paper<'_>) {
    paper.out.extend_from_slice(word::role(row.event.role).as_bytes());
}

fn initiator(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.close, paper, |close, out| {
        out.extend_from_slice(word::initiator(close.initiator).as_bytes());
    });
}

fn how(row: &Row<'_>, paper: &mut Paper<'_>) {
    cell::or_dash(row.event.close, paper, |close, out| {
        out.extend_from_slice(word::how(close.how).as_bytes());
    });
}
